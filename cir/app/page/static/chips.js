// The chips: objects to add to the image and objects to remove from it.

import { at, box, complain, element, form, say, swap } from "./page.js";
import { state } from "./state.js";

const TAGGING_DELAY = 300; // milliseconds after the last key before the sentence is read
const canRead = form.dataset.noTagger === undefined;

let reading = null; // aborts the reading of a sentence

const chips = () => [...at("chips").children];
const nameOf = (chip) => chip.querySelector(".word").textContent;
const doubtOf = (chip) => chip.querySelector(".doubt").title;
const wordOf = (chip) => [chip.dataset.sign, nameOf(chip), doubtOf(chip)];
const isWord = ([sign, name]) => ([otherSign, other]) => sign === otherSign && name === other;

// Returns the sign, the name and the doubt of each chip; the doubt is "" if the chip is sure.
export const chipWords = () => chips().map(wordOf);

function makeChip(sign, name, doubt = "") {
  const [added, removed] = at("chip-templates").content.cloneNode(true).children;
  const chip = sign === "add" ? added : removed;
  const [flip, word, mark, erase] = chip.children;
  const [is, instead] = sign === "add" ? ["added", "remove it"] : ["removed", "add it"];
  word.textContent = name;
  flip.setAttribute("aria-label", `${name} is ${is}: ${instead} instead`);
  word.setAttribute("aria-label", `Edit ${name}`);
  erase.setAttribute("aria-label", `Delete ${name}`);
  word.title = mark.title = doubt;
  mark.hidden = !doubt;
  return chip;
}

export const remarks = () => at("remarks").textContent;

// A screen reader says remarks that are new.
function setRemarks(text) {
  if (text !== remarks()) at("remarks").textContent = text;
}

export function setChips(words, byHand, said = "") {
  stopReading(); // the new chips come from another source
  state.deleted = [];
  at("chips").replaceChildren(...words.map((parts) => makeChip(...parts)));
  setRemarks(said);
  markEdited(byHand, false);
}

// Takes the chips and the remarks from an answer of the server.
export function takeChips(html) {
  swap(html, ["chips"]);
  setRemarks(at("chips").dataset.remarks);
}

export function markEdited(byHand, pending = byHand) {
  state.edited = byHand;
  if (byHand) {
    state.asked = box.value.trim();
    setRemarks(""); // they are about what the tagger read
  }
  at("pending").hidden = !pending;
  at("reread").hidden = !canRead || !byHand || !box.value.trim();
}

export function flip(chip) {
  const turned = makeChip(chip.dataset.sign === "add" ? "remove" : "add", nameOf(chip));
  chip.replaceWith(turned);
  markEdited(true);
  turned.querySelector(".flip").focus();
}

export function erase(chip) {
  const near = chip.nextElementSibling ?? chip.previousElementSibling;
  state.deleted.push(wordOf(chip));
  chip.remove();
  markEdited(true);
  (near?.querySelector(".word") ?? box).focus();
}

function nameField(chip, name) {
  const size = Math.max(8, name.length + 1);
  const rest = { maxLength: 200, autocomplete: "off", enterKeyHint: "done" };
  const input = element("input", { value: name, size, ...rest });
  const label = chip.dataset.sign === "add" ? "What to add" : "What to remove";
  input.setAttribute("aria-label", label);
  return input;
}

export function editChip(chip, fresh = false) {
  const word = chip.querySelector(".word");
  const before = word.textContent;
  const input = nameField(chip, before);
  word.hidden = true;
  word.after(input);
  input.focus();
  input.select();
  let done = false;
  const finish = (name) => {
    if (done) return;
    done = true;
    const focused = document.activeElement === input;
    const next = name.trim().replace(/\s+/g, " ");
    if (!next) {
      if (!fresh) state.deleted.push([chip.dataset.sign, before]);
      chip.remove();
      if (!fresh) markEdited(true);
      if (focused) box.focus();
      return;
    }
    const doubt = next === before ? doubtOf(chip) : "";
    const changed = makeChip(chip.dataset.sign, next, doubt);
    chip.replaceWith(changed);
    if (next !== before) markEdited(true);
    state.deleted = state.deleted.filter((word) => !isWord(word)([chip.dataset.sign, next]));
    if (focused) changed.querySelector(".word").focus();
  };
  input.addEventListener("blur", () => finish(input.value));
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      finish(input.value);
    }
    if (event.key === "Escape") {
      event.preventDefault();
      finish(before);
    }
  });
}

export function newChip(sign) {
  const chip = makeChip(sign, "");
  at("chips").append(chip);
  editChip(chip, true);
}

export function stopReading() { reading?.abort(); }

// Takes chips that were deleted by hand out of a new reading, which then counts as changed.
function leaveOutDeleted() {
  const again = chips().filter((chip) => state.deleted.some(isWord(wordOf(chip))));
  for (const chip of again) chip.remove();
  if (again.length) markEdited(true);
}

// Reads the sentence into chips while it is typed, unless the chips were changed by hand.
export async function readSentence(delay = TAGGING_DELAY) {
  stopReading();
  if (!canRead || !state.image || state.edited) return;
  const text = box.value.trim();
  if (!text) {
    setChips([], false);
    return;
  }
  const { signal } = reading = new AbortController();
  await new Promise((resolve) => { setTimeout(resolve, delay); });
  if (signal.aborted) return;
  const data = new FormData();
  data.set("q", text);
  try {
    const answer = await fetch("page/chips", { method: "POST", body: data, signal });
    const html = await answer.text();
    if (!answer.ok || state.edited || signal.aborted) return;
    takeChips(html);
    leaveOutDeleted();
    say(chipWords().map(([sign, name]) => `${sign} ${name}`).join(", "));
  } catch { /* the search will show the error */ }
}

export function sentenceChanged() {
  complain("");
  if (state.edited && box.value.trim() !== state.asked) markEdited(false);
  readSentence();
}

export function readAgain() {
  state.edited = false;
  state.deleted = [];
  readSentence(0);
  box.focus();
}
