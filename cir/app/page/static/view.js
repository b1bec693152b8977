// The large view of a result.

import { unhide } from "./missing.js";
import { at } from "./page.js";
import { links, rove } from "./results.js";

let opened = null; // the result that it shows

export function open(hit) {
  opened = hit;
  rove(hit.querySelector(".picture"), false);
  const { id, name } = hit.dataset;
  const all = links().map((link) => link.closest(".hit"));
  const number = all.indexOf(hit);
  at("view").dataset.id = id;
  at("view").dataset.name = name;
  unhide(at("view-image"));
  at("view-image").src = `thumbnails/${encodeURIComponent(id)}?size=1024`;
  at("view-image").alt = hit.querySelector("img").alt;
  at("view-title").textContent = name;
  const facts = hit.querySelector(".facts").cloneNode(true);
  facts.hidden = false;
  at("view-facts").replaceChildren(facts);
  at("view-original").href = `images/${encodeURIComponent(id)}`;
  at("view-place").textContent = `${number + 1} of ${all.length} on this page`;
  at("view-previous").disabled = number === 0;
  at("view-next").disabled = number === all.length - 1;
  if (!at("view").open) at("view").showModal();
  at("view").scrollTop = 0; // the browser scrolls to the first link, away from the picture
}

export function turn(by) {
  const all = links();
  const next = all[all.indexOf(opened.querySelector(".picture")) + by];
  if (next) open(next.closest(".hit"));
}

export function leaveView(back = true) {
  if (!back) opened = null; // the focus goes elsewhere
  if (at("view").open) at("view").close();
}

export function followView() {
  const view = at("view");
  at("view-close").addEventListener("click", () => leaveView());
  at("view-previous").addEventListener("click", () => turn(-1));
  at("view-next").addEventListener("click", () => turn(1));
  view.addEventListener("click", (event) => { if (event.target === view) leaveView(); });
  view.addEventListener("close", () => {
    if (opened?.isConnected) opened.querySelector(".picture").focus();
  });
}
