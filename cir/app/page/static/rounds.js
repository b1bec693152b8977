// The rounds of a search: the list and the browser's history lead back to each of them.

import { chipWords, remarks, setChips } from "./chips.js";
import { fields, setFields } from "./filters.js";
import { setMarks } from "./marks.js";
import { keep, keepPlace, kept, keptPlace, tabName } from "./keeping.js";
import { at, box, element, swap } from "./page.js";
import { settle } from "./results.js";
import { preview, setImage } from "./start_image.js";
import { state } from "./state.js";

// Returns the present question.
export const asking = () => ({
  text: box.value.trim(),
  image: state.image,
  marks: state.marks,
  edited: state.edited,
  words: state.image ? chipWords() : [],
  remarks: state.image ? remarks() : "",
  fields: fields(),
});

export const sameWords = (some, others) => JSON.stringify(some) === JSON.stringify(others);
const sameMarks = (some, others) => some.length === others.length
  && some.every((mark, place) => mark === others[place]);
const sameQuery = (one, other) => one && one.text === other.text && one.image === other.image
  && sameMarks(one.marks, other.marks) && sameWords(one.words, other.words);

const views = []; // what the entries of the browser's history show: {round, as, top}
let on = -1; // the view on show
let noted = null; // how far down a person was before the page moved by itself

export function notePlace(anew = true) { if (anew || noted === null) noted = scrollY; }

// Keeps the place for the way back; the browser would note it after the results have changed.
export function leave() {
  if (views[on]) views[on].top = noted ?? scrollY;
  noted = null;
}

// Notes a round as it is now, and returns what the browser's history keeps of it.
function place(round, view = views.length) {
  views[view] = { round, as: { ...round } };
  on = view;
  keep(state, views);
  return { view, tab: tabName() };
}

// Notes that the round on show has more results now, which is no step for the browser's back.
export function grown() {
  state.current.html = at("results").outerHTML;
  history.replaceState(place(state.current, on), "");
}

// Adds a round, or changes the round on show if the question is the same: another page of results,
// a filter. Either is a step for the browser's back.
export function remember(next, url, html) {
  const { rounds, current } = state;
  if (sameQuery(current, next)) {
    Object.assign(current, next, { url, html });
    history.pushState(place(current), "", url);
  } else {
    const round = { ...next, url, html, number: rounds.length + 1, parent: current };
    rounds.push(round);
    state.current = round;
    history.pushState(place(round), "", url);
  }
  drawRounds();
}

function show(round, push = true) {
  state.running?.abort();
  leave();
  state.current = round === state.beginning ? null : round;
  box.value = round.text;
  setImage(round.image);
  setMarks(round.marks);
  setFields(round.fields);
  state.asked = round.text;
  state.edited = round.edited;
  swap(round.html, ["results"]);
  at("results").setAttribute("aria-busy", "false");
  setChips(round.words, round.edited, round.remarks);
  if (push) history.pushState(place(round), "", round.url);
  drawRounds();
  settle();
}

export function undo() {
  if (state.current?.parent) show(state.current.parent);
}

function described(round) {
  const changes = round.image ? round.words : [];
  const parts = changes.flatMap(([sign, name]) => [
    element(sign === "add" ? "ins" : "del", { textContent: name }),
    " ",
  ]);
  if (!parts.length) {
    parts.push(element("span", { textContent: round.text || "like this one" }));
  }
  const count = (kind) => round.marks.filter((mark) => mark.kind === kind).length;
  const [others, like, unlike] = ["others", "like", "unlike"].map(count);
  if (others) parts.push(` and ${others} more`);
  if (like) parts.push(` +${like}`);
  if (unlike) parts.push(` −${unlike}`);
  return element("span", { className: "said", title: round.text }, ...parts);
}

function roundButton(round) {
  const button = element("button", { type: "button", className: "round" });
  button.dataset.number = round.number; // which the style shows
  if (round.image) button.append(preview(round.image, "an image"));
  button.append(described(round));
  if (round === state.current) button.setAttribute("aria-current", "step");
  button.addEventListener("click", () => show(round));
  return button;
}

// A round that does not follow the one beside it says from which one it branches off.
function roundItem(round, before) {
  const branches = before && round.parent && round.parent !== before;
  const from = `from ${round.parent?.number}`;
  return element("li", { className: branches ? "branch" : "" },
    ...(branches ? [element("span", { className: "from", textContent: from })] : []),
    roundButton(round));
}

export function drawRounds() {
  const { beginning, current, rounds } = state;
  const text = (current ?? beginning)?.text;
  document.title = `${text ? `${text}: ` : ""}image search`;
  at("history").hidden = rounds.length < (current ? 2 : 1);
  at("undo").disabled = !current?.parent;
  at("rounds").replaceChildren(
    ...rounds.map((round, place) => roundItem(round, rounds[place - 1])),
  );
  const shown = at("rounds").querySelector("[aria-current]");
  if (shown) at("rounds").scrollLeft = shown.offsetLeft - at("rounds").offsetLeft - 40;
}

function showView(number) {
  const { round, as, top = 0 } = views[number];
  show(Object.assign(round, as), false);
  on = number;
  scrollTo(0, top);
}

const hasResults = () => at("results").dataset.state === "found";

// Takes up the rounds from before a reload, and shows the one at which the page was. Returns false
// if that one is not among them; the loaded page then has to begin a round.
export async function resume() {
  const { tab, view } = history.state ?? {};
  const before = tab && tab === tabName() ? await kept() : null;
  if (!before) return false;
  views.push(...before.views);
  Object.assign(state, { rounds: before.rounds, beginning: before.beginning });
  const known = views[view] ? view : views.findLastIndex(Boolean);
  if (known < 0) return false;
  if (known !== view && hasResults()) { // reloaded before the browser had kept the last round
    state.current = views[known].round;
    return false;
  }
  views[known].top = keptPlace(known);
  showView(known);
  return true;
}

// Makes the loaded page a round that follows those taken up, or the state before all rounds.
export function begin() {
  const first = {
    ...asking(),
    offset: Number(at("results").dataset.offset),
    sent: [...new URLSearchParams(location.search)],
    html: at("results").outerHTML,
    url: location.pathname + location.search,
    parent: state.current === state.beginning ? null : state.current,
  };
  if (hasResults()) {
    state.current = { ...first, number: state.rounds.length + 1 };
    state.rounds.push(state.current);
  } else {
    state.beginning = { ...first, number: 0 };
  }
  history.replaceState(place(state.current ?? state.beginning), "");
  drawRounds();
  settle();
}

// Back and forward.
export function followHistory() {
  history.scrollRestoration = "manual";
  addEventListener("pagehide", () => {
    if (views[on]) keepPlace(on, scrollY);
  });
  addEventListener("popstate", ({ state: known }) => {
    if (!known) return; // a jump within the page
    if (known.tab === tabName() && views[known.view]) showView(known.view);
    else location.reload(); // a state from before the page was loaded: load its address
  });
}
