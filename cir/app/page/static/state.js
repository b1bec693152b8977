// The state of the page, which all modules share and change.

import { at, box } from "./page.js";

export const state = {
  image: null, // what the search starts from: {id, address} of the index, or {file, bitmap}
  marks: [], // further images: {kind, image}, where kind is others, like or unlike
  edited: at("chips").dataset.edited === "1", // the chips were changed by hand
  deleted: [], // chips that were deleted by hand, which a later reading does not bring back
  asked: box.value.trim(), // the sentence that the chips belong to
  beginning: null, // the page as it was loaded, if that was not a round
  rounds: [],
  current: null, // the round on show, null at the beginning
  running: null, // aborts the search under way
};
