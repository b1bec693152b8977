// What the page is about at the moment; the modules share it and change it.

import { at, box } from "./page.js";

export const state = {
  image: null, // what the search starts from: {id, address} of the index, or {file, bitmap}
  edited: at("chips").dataset.edited === "1", // the chips were changed by hand
  asked: box.value.trim(), // the sentence that the chips belong to
  beginning: null, // what the page showed when it was loaded, if that was no round
  rounds: [],
  current: null, // the round on show, null at the beginning
  running: null, // aborts the search under way
};
