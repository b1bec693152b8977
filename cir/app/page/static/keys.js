// The keyboard of the page.

import { erase, sentenceChanged } from "./chips.js";
import { at, box, takesText } from "./page.js";
import { links, neighbour, rove } from "./results.js";
import { state } from "./state.js";
import { removeImage } from "./taking.js";
import { turn } from "./view.js";

function inView(event) {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  event.preventDefault();
  turn(event.key === "ArrowLeft" ? -1 : 1);
}

function toBox(event) {
  event.preventDefault();
  box.focus();
  box.select();
}

function amongResults(event) {
  const { key, target } = event;
  const link = target.closest?.(".hit")?.querySelector(".grid .picture");
  const into = target === box && key === "ArrowDown" ? links()[0] : undefined;
  const next = link ? neighbour(link, key) : into;
  if (link || next) event.preventDefault();
  if (next) rove(next);
}

function clear(event) {
  event.preventDefault();
  if (box.value) {
    box.value = "";
    sentenceChanged();
  } else if (state.image) {
    removeImage();
  }
}

export function followKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const { key, target } = event;
    if (at("view").open) {
      inView(event);
    } else if (key === "/" && !takesText(target)) {
      toBox(event);
    } else if (/^Arrow|^Home$|^End$/.test(key)) {
      amongResults(event);
    } else if ((key === "Delete" || key === "Backspace") && target.closest?.(".chip")) {
      event.preventDefault();
      erase(target.closest(".chip"));
    } else if (key === "Escape" && target.closest?.("#results")) {
      box.focus();
    } else if (key === "Escape" && target === box) {
      clear(event);
    }
  });
}
