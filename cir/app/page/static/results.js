// The results: placeholders, failures, and moving among them by keyboard.

import { markEdited } from "./chips.js";
import { countFilters } from "./filters.js";
import { at, root, say } from "./page.js";
import { showPicked } from "./picking.js";
import { state } from "./state.js";

const SKELETON_DELAY = 150; // milliseconds; a quicker answer needs no placeholders

export const links = () => [...at("results").querySelectorAll(".grid .picture")];

export function busy(controller) {
  at("results").setAttribute("aria-busy", "true");
  setTimeout(() => {
    const waiting = at("results").getAttribute("aria-busy") === "true";
    if (controller !== state.running || !waiting) return;
    at("results").replaceChildren(at("skeleton").content.cloneNode(true));
    say("Searching");
  }, SKELETON_DELAY);
}

export function fail(sentence) {
  at("results").setAttribute("aria-busy", "false");
  const failure = at("failure-template").content.cloneNode(true);
  failure.querySelector(".sentence").textContent = sentence;
  at("results").replaceChildren(failure);
  at("results").dataset.state = "error";
  say("");
}

// Updates the rest of the page after new results came.
export function settle(pending = false) {
  root.classList.toggle("searched", at("results").dataset.state !== "start");
  if (!pending) markEdited(state.edited, false);
  countFilters();
  showPicked();
  rove(links()[0], false);
  say(at("results").dataset.said);
}

// Tab reaches one result at a time, and its buttons.
export function rove(link, focus = true) {
  for (const one of at("results").querySelectorAll(".grid .hit")) {
    const tabIndex = one.contains(link) ? 0 : -1;
    for (const stop of one.querySelectorAll("a, input")) stop.tabIndex = tabIndex;
  }
  if (focus) link.focus();
}

const topOf = (link) => link.getBoundingClientRect().top;

// Returns the link that a key leads to from another link, if any.
export function neighbour(link, key) {
  const all = links();
  const here = all.indexOf(link);
  const columns = all.filter((one) => Math.abs(topOf(one) - topOf(all[0])) < 2).length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  if (key === "Home") return all[0];
  if (key === "End") return all.at(-1);
  if (key === "ArrowDown" && here + columns >= all.length) {
    const last = all.at(-1); // the last row may be short
    return topOf(last) > topOf(link) + 2 ? last : undefined;
  }
  return all[here + steps[key]];
}
