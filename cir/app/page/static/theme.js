// Dark or light: the system's choice until a person chooses.

import { at, root } from "./page.js";

const DARK = "(prefers-color-scheme: dark)";

function apply(theme) {
  if (theme) root.dataset.theme = theme;
  const dark = theme ? theme === "dark" : matchMedia(DARK).matches;
  at("theme").setAttribute("aria-label", dark ? "Switch to light" : "Switch to dark");
  return dark;
}

export function applyTheme() {
  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch { /* the browser may forbid storage */ }
  apply(theme);
}

export function toggleTheme() {
  const next = apply(root.dataset.theme) ? "light" : "dark";
  apply(next);
  try { localStorage.setItem("theme", next); } catch { /* the choice then ends with the page */ }
}
