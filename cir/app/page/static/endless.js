// Appends the next page of results when the last ones come into view, or on request.

import { further } from "./asking.js";
import { at, say } from "./page.js";
import { showPicked } from "./picking.js";
import { links, rove } from "./results.js";
import { grown } from "./rounds.js";
import { state } from "./state.js";

const BY_THEMSELVES = 4; // pages, until a person asks for more: so the end of the page is reached

let section = null; // the results that grow
let appended = 0; // pages that came by themselves
let failed = false;
let watched = null; // the last result

const pages = () => at("results").querySelector(".pages");
const next = () => pages()?.querySelector("[rel=next]");
const idle = () => at("results").getAttribute("aria-busy") !== "true"
  && pages().getAttribute("aria-busy") !== "true";

function complain(sentence) {
  failed = true;
  const said = sentence ? `There are more results, but they did not come. ${sentence}` : "";
  pages().querySelector(".complaint").textContent = said;
}

// Makes the links lead on from the end of the appended page.
function lead(page) {
  const after = page.querySelector("[rel=next]");
  if (after) {
    next().href = after.getAttribute("href");
    next().dataset.offset = after.dataset.offset;
  } else {
    for (const one of pages().querySelectorAll("[rel=next], [data-action=show-more]")) one.remove();
    if (!pages().querySelector("a")) pages().remove();
  }
}

// Puts the results of a page below those on show, and returns the first of them.
function place(page) {
  const stop = links().find((link) => link.tabIndex === 0);
  const hits = [...page.querySelectorAll(".grid > .hit")].map((hit) => document.adoptNode(hit));
  at("results").querySelector(".grid").append(...hits);
  const [range, added] = [at("results"), page].map((one) => one.querySelector(".range"));
  if (added) range.textContent = range.textContent.replace(/\S+$/, added.textContent.match(/\S+$/));
  lead(page);
  showPicked();
  rove(stop, false);
  say(page.dataset.said);
  return hits[0]?.querySelector(".picture");
}

// A focus on a link that went away, or on the button, goes on to the first new result.
async function append(byHand) {
  const mine = state.running = new AbortController();
  pages().setAttribute("aria-busy", "true");
  const offset = Number(next().dataset.offset);
  const answer = await further(state.current, offset, mine.signal, complain);
  if (mine.signal.aborted) return;
  pages().setAttribute("aria-busy", "false");
  if (!answer) return;
  const parts = new DOMParser().parseFromString(answer.html, "text/html");
  const page = parts.getElementById("results");
  if (!answer.ok) {
    complain(page.querySelector(".sentence").textContent);
    return;
  }
  failed = false;
  pages().querySelector(".complaint").textContent = "";
  const within = pages().contains(document.activeElement);
  const first = place(page);
  const lost = within && (byHand || document.activeElement === document.body);
  if (first && lost) rove(first);
  grown();
  watch();
}

export function showMore() {
  appended = 0;
  if (idle()) append(true);
}

function wanted() {
  if (section !== at("results")) [section, appended, failed] = [at("results"), 0, false];
  const elsewhere = document.activeElement?.closest(".pages, .picked, footer");
  return next() && idle() && !failed && !elsewhere && appended < BY_THEMSELVES;
}

const seen = new IntersectionObserver((changes) => {
  if (!changes.at(-1).isIntersecting || !wanted()) return;
  appended += 1;
  append(false);
});

function watch() {
  const last = links().at(-1) ?? null;
  if (last === watched) return;
  seen.disconnect();
  watched = last;
  if (last) seen.observe(last);
}

// Without scrolling nothing comes: who sees the end of the page has the links.
export function followScrolling() {
  addEventListener("scroll", watch, { passive: true });
}
