// The main script: it handles clicks and starts the page. The server renders the results; the
// modules ask for them and put them into the page. Without JavaScript the page is a plain form.

import { again, retry, search } from "./asking.js";
import { editChip, erase, flip, newChip, readAgain, sentenceChanged } from "./chips.js";
import { clearFields, setLeast, showNumbers, tagChanged } from "./filters.js";
import { followCrop } from "./crop.js";
import { followScrolling, showMore } from "./endless.js";
import { followKeys } from "./keys.js";
import { beginMarks, mark } from "./marks.js";
import { followMissing } from "./missing.js";
import { at, box, form, root } from "./page.js";
import { followIndexing } from "./reindex.js";
import { links } from "./results.js";
import { begin, followHistory, notePlace, resume, undo } from "./rounds.js";
import { followPicking } from "./picking.js";
import { indexed, setImage } from "./start_image.js";
import { state } from "./state.js";
import { followFiles, removeImage, start } from "./taking.js";
import { applyTheme, toggleTheme } from "./theme.js";
import { followView, leaveView, open } from "./view.js";

function startFrom(link) {
  const { id, name } = link.closest("[data-id]").dataset;
  leaveView(false);
  notePlace();
  start(id, name);
}

function judge(kind, link) {
  const { id, name } = link.closest("[data-id]").dataset;
  leaveView(false);
  mark(kind, indexed(id, name));
  search({ scroll: true });
}

async function turnPage(offset) {
  await search({ offset, scroll: true });
  links()[0]?.focus({ preventScroll: true });
}

const actions = {
  flip: (button) => flip(button.closest(".chip")),
  edit: (button) => editChip(button.closest(".chip")),
  delete: (button) => erase(button.closest(".chip")),
  "new-chip": (button) => newChip(button.dataset.sign),
  retry,
  open: (link) => open(link.closest(".hit")),
  more: (link) => {
    startFrom(link);
    search({ scroll: true });
  },
  but: (link) => {
    startFrom(link);
    box.focus();
    scrollTo({ top: 0 });
  },
  also: (button) => judge("like", button),
  less: (button) => judge("unlike", button),
  page: (link) => turnPage(Number(link.dataset.offset)),
  "show-more": showMore,
  lower: (link) => {
    setLeast(link.dataset.least);
    search();
  },
  "clear-filters": () => {
    clearFields();
    again();
  },
  example: (link) => {
    box.value = link.dataset.text;
    search();
  },
};

document.addEventListener("click", (event) => {
  const acting = event.target.closest("[data-action]");
  if (!acting || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  actions[acting.dataset.action](acting);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
form.addEventListener("input", showNumbers);
form.addEventListener("change", ({ target }) => {
  const counts = target.closest(".tools, .weight"); // look before a tag is removed
  tagChanged(target);
  if (counts) again();
});
box.addEventListener("input", sentenceChanged);
at("remove-image").addEventListener("click", removeImage);
at("reread").addEventListener("click", readAgain);
at("theme").addEventListener("click", toggleTheme);
at("undo").addEventListener("click", undo);
followCrop();
followFiles();
followIndexing();
followHistory();
followKeys();
followMissing();
followPicking();
followView();

root.classList.add("has-script");
applyTheme();
if (at("image-id").value) {
  setImage({ ...indexed(at("image-id").value), box: at("image-box").value });
}
beginMarks();
if (!await resume()) begin();
followScrolling(); // once there is a round that can grow
if (!state.current) box.focus();
