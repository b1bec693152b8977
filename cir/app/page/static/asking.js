// Asks the server for results and puts them into the page.

import { chipWords, readSentence, remarks, stopReading, takeChips } from "./chips.js";
import { countFilters, listable } from "./filters.js";
import { at, box, complain, form, swap } from "./page.js";
import { busy, fail, settle } from "./results.js";
import { asking, leave, notePlace, remember, sameWords } from "./rounds.js";
import { state } from "./state.js";

let last = {}; // the page of results that was last asked for

function addFiles(data, { image, marks }) {
  const files = [image, ...marks.map((mark) => mark.image)].map((one) => one?.file);
  for (const file of files.filter(Boolean)) data.append("image", file, file.name || "pasted");
}

function values(offset) {
  const { image, edited, marks } = state;
  const data = new FormData();
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string" && value.trim()) data.append(name, value.trim());
  }
  data.set("q", box.value.trim());
  addFiles(data, { image, marks });
  if (image && edited) {
    data.set("edited", "1");
    for (const [sign, name] of chipWords()) data.append(sign, name);
  }
  if (data.get("sort") === "score") data.delete("sort");
  if (data.get("least_score") === "0") data.delete("least_score");
  if (Number(data.get("image_weight")) === 1) data.delete("image_weight");
  if (offset) data.set("offset", offset);
  return data;
}

function address(data) {
  if (data.has("image")) return "./"; // a file cannot be part of an address
  if (!data.get("q")) data.delete("q");
  const query = new URLSearchParams(data).toString();
  return query ? `./?${query}` : "./";
}

function sentenceOf(body) {
  let sentence = body.slice(0, 300);
  try { sentence = JSON.parse(body).error; } catch { /* the body is the sentence itself */ }
  return sentence || "The server gave no reason.";
}

// Returns the server's answer and its body; null if there is none, which `failed` is told, or if a
// later search runs.
async function answered(body, signal, failed = fail) {
  try {
    const answer = await fetch("page/search", { method: "POST", body, signal });
    const html = await answer.text();
    if (signal.aborted) return null;
    const kind = answer.headers.get("Content-Type") ?? "";
    if (kind.startsWith("text/html")) return { ok: answer.ok, html };
    failed(sentenceOf(html));
  } catch {
    if (!signal.aborted) failed("The server does not answer. Is it still running?");
  }
  return null;
}

function place(next, data, { ok, html }) {
  // A person who typed or changed chips in the meantime keeps their own text and chips.
  const { image } = state;
  const unchanged = box.value.trim() === next.text && image === next.image
    && (!image || sameWords(chipWords(), next.words));
  if (unchanged && !state.edited && image && ok) takeChips(html);
  leave();
  swap(html, ["results"]);
  if (ok) {
    if (unchanged && image) Object.assign(next, { words: chipWords(), remarks: remarks() });
    if (at("results").dataset.state === "found") remember(next, address(data), html);
  }
  settle(!unchanged);
}

export async function search({ offset = 0, scroll = false } = {}) {
  const text = box.value.trim();
  if (!text && !state.image && !listable()) {
    box.focus();
    complain("Describe an image, choose one, or set a filter.");
    return;
  }
  if (state.edited && text !== state.asked) state.edited = false;
  state.running?.abort();
  complain("");
  const mine = state.running = new AbortController();
  if (state.deleted.length && !state.edited) await readSentence(0); // without what was deleted
  if (mine.signal.aborted) return;
  stopReading();
  const data = values(offset);
  const sent = [...data].filter(([, value]) => typeof value === "string");
  const next = { ...asking(), offset, sent };
  last = { offset };
  notePlace(false); // before placeholders make the page shorter
  busy(mine);
  const answer = await answered(data, mine.signal);
  if (!answer) return;
  place(next, data, answer);
  if (scroll) at("results").scrollIntoView();
}

// Returns the server's answer to the question of a round, from another offset on; null as above.
export function further(round, offset, signal, failed) {
  const data = new FormData();
  for (const [name, value] of round.sent) data.append(name, value);
  data.set("offset", offset);
  addFiles(data, round);
  return answered(data, signal, failed);
}

export async function retry() {
  await search(last);
  (at("results").querySelector("[data-action=retry]") ?? at("results")).focus();
}

// Searches again after a filter or a slider changed, if there was a search.
export function again() {
  countFilters();
  if (state.current || listable()) search();
}
