// Says in the place of an image why it cannot be shown.

import { element } from "./page.js";
import { offer } from "./reindex.js";

const MOVED = "moved, changed or removed since it was indexed; index again";

async function reason(address) {
  try {
    const { status } = await fetch(address, { method: "HEAD" });
    return status === 404 ? MOVED : "cannot be shown";
  } catch {
    return "the server does not answer";
  }
}

async function replace(image) {
  const { src } = image;
  const sentence = await reason(src);
  if (image.src !== src) return; // the large view shows another image now
  image.hidden = true;
  image.after(element("span", { className: "missing", textContent: sentence }));
  if (sentence === MOVED) offer();
}

// Shows the image again, before it gets another address.
export function unhide(image) {
  image.hidden = false;
  image.parentElement.querySelector(".missing")?.remove();
}

export function followMissing() {
  document.addEventListener("error", ({ target }) => {
    if (target.matches?.(".picture img, .large img")) replace(target);
  }, true);
  for (const image of document.querySelectorAll(".picture img")) {
    if (image.complete && image.src && !image.naturalWidth) replace(image); // before this script
  }
}
