// Keeps the rounds of this tab in the browser, with uploaded images: a reload loses nothing.

import { reduced } from "./start_image.js";

const MOST_ROUNDS = 40;
const MOST_BYTES = 50e6; // of uploaded images
const OLDEST = 24 * 3600 * 1000; // milliseconds; what other tabs left behind goes after that

const imagesOf = (round) => [round.image, ...round.marks.map((mark) => mark.image)];

// Returns the name under which this tab keeps its rounds, "" if the browser forbids storage.
export function tabName() {
  try {
    sessionStorage.tab ??= `${Date.now()}-${Math.random()}`;
    return `${sessionStorage.tab} ${location.pathname}`;
  } catch {
    return "";
  }
}

// Keeps how far down a view was left, which a history's entry cannot take up while a page closes.
export function keepPlace(view, top) {
  try { sessionStorage.place = JSON.stringify([view, top]); } catch { /* as above */ }
}

export function keptPlace(view) {
  const [left, top] = JSON.parse(sessionStorage.place ?? "[]");
  return left === view ? top : 0;
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function tabs(mode) {
  const opening = indexedDB.open("image-search", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("tabs");
  return (await done(opening)).transaction("tabs", mode).objectStore("tabs");
}

function bytes(rounds) {
  const files = new Set(rounds.flatMap(imagesOf).flatMap((image) => [image?.file, image?.whole]));
  return [...files].reduce((sum, file) => sum + (file?.size ?? 0), 0);
}

// The newest rounds, as many as may be kept.
function newest(rounds) {
  const kept = rounds.slice(-MOST_ROUNDS);
  while (bytes(kept) > MOST_BYTES) kept.shift();
  return kept;
}

// Writes rounds and views in a form that the browser can store: parents by number, no bitmaps.
function packed({ rounds, beginning }, views) {
  const kept = newest(rounds);
  const bare = new Map(); // an image that several rounds have stays one
  const stripped = (image) => {
    if (image && !bare.has(image)) bare.set(image, { ...image, bitmap: null });
    return image && bare.get(image);
  };
  const written = (round) => ({
    ...round,
    image: stripped(round.image),
    marks: round.marks.map((mark) => ({ ...mark, image: stripped(mark.image) })),
    parent: kept.indexOf(round.parent),
  });
  return {
    rounds: kept.map(written),
    beginning: beginning && written(beginning),
    views: views.map((view) => {
      const { round, as, top } = view ?? {}; // a round before the oldest that is kept
      const number = kept.indexOf(round);
      return number < 0 && round !== beginning ? null : { number, as: written(as), top };
    }),
    at: Date.now(),
  };
}

export async function keep(state, views) {
  try {
    const store = await tabs("readwrite");
    await done(store.put(packed(state, views), tabName()));
  } catch { /* without storage, a reload begins anew */ }
}

async function withPreviews(rounds) {
  const images = new Set(rounds.flatMap(imagesOf).filter((image) => image?.file));
  for (const image of images) image.bitmap = await reduced(image.file).catch(() => null);
}

async function removeOld(store) {
  for (const name of await done(store.getAllKeys())) {
    const { at } = await done(store.get(name));
    if (Date.now() - at > OLDEST) store.delete(name);
  }
}

// Returns {rounds, beginning, views} of this tab, null if nothing is kept.
export async function kept() {
  try {
    const store = await tabs("readwrite");
    const found = await done(store.get(tabName()));
    await removeOld(store);
    if (!found) return null;
    const { rounds, beginning, views } = found;
    const whole = (round) => Object.assign(round, { parent: rounds[round.parent] ?? null });
    const all = [...rounds, ...(beginning ? [beginning] : [])];
    all.forEach(whole);
    await withPreviews([...all, ...views.filter(Boolean).map((view) => view.as)]);
    return {
      rounds,
      beginning,
      views: views.map((view) => view
        && { round: rounds[view.number] ?? beginning, as: whole(view.as), top: view.top }),
    };
  } catch {
    return null;
  }
}
