// The part of the first image that counts: a box that is dragged in a dialog.

import { again } from "./asking.js";
import { at, complain } from "./page.js";
import { indexed, reduced, setImage } from "./start_image.js";
import { state } from "./state.js";

const LEAST = 0.02; // of a side
const STEP = 0.02; // of an arrow key

let source = null; // the whole image, as it can be drawn
let box = [0, 0, 1, 1]; // left, top, right and bottom in shares of the image
let corner = null; // where the drag began

const clamp = (value) => Math.min(1, Math.max(0, value));

function draw() {
  const [left, top, right, bottom] = box.map((share) => `${100 * share}%`);
  const style = { left, top, right: `calc(100% - ${right})`, bottom: `calc(100% - ${bottom})` };
  Object.assign(at("crop-box").style, style);
}

function place({ clientX, clientY }) {
  const { left, top, width, height } = at("crop-image").getBoundingClientRect();
  return [clamp((clientX - left) / width), clamp((clientY - top) / height)];
}

function drag(event) {
  if (!corner) return;
  const [x, y] = place(event);
  box = [Math.min(x, corner[0]), Math.min(y, corner[1]), Math.max(x, corner[0]),
    Math.max(y, corner[1])];
  draw();
}

function moveByKey(event) {
  const across = { ArrowLeft: -STEP, ArrowRight: STEP };
  const down = { ArrowUp: -STEP, ArrowDown: STEP };
  const [x, y] = [across[event.key] ?? 0, down[event.key] ?? 0];
  if (!x && !y) return;
  event.preventDefault();
  const [left, top, right, bottom] = box;
  const moved = event.shiftKey
    ? [left, top, clamp(right + x), clamp(bottom + y)]
    : [left + x, top + y, right + x, bottom + y];
  const fits = Math.min(...moved) >= -1e-9 && Math.max(...moved) <= 1 + 1e-9;
  if (fits && moved[2] - moved[0] >= LEAST && moved[3] - moved[1] >= LEAST) box = moved.map(clamp);
  draw();
  at("crop-said").textContent = box.map((share) => `${Math.round(100 * share)}%`).join(", ");
}

async function open() {
  const { image } = state;
  try {
    const blob = image.whole ?? image.file
      ?? await (await fetch(`thumbnails/${encodeURIComponent(image.id)}?size=1024`)).blob();
    source = await createImageBitmap(blob);
  } catch {
    complain("The browser cannot show this image, so no part of it can be chosen.");
    return;
  }
  const canvas = at("crop-image");
  [canvas.width, canvas.height] = [source.width, source.height];
  canvas.getContext("2d").drawImage(source, 0, 0);
  box = image.box ? image.box.split(",").map(Number) : [0.1, 0.1, 0.9, 0.9];
  draw();
  at("crop").showModal();
  at("crop-area").focus();
}

// A file is cut here; of an image of the index, the server cuts the box.
async function cut({ file, whole = file, label }) {
  const [left, top, right, bottom] = box;
  const [width, height] = [source.width * (right - left), source.height * (bottom - top)];
  const part = new OffscreenCanvas(Math.max(1, width), Math.max(1, height));
  part.getContext("2d").drawImage(source, -source.width * left, -source.height * top);
  const blob = await part.convertToBlob({ type: "image/jpeg", quality: 0.95 });
  const name = `part of ${whole.name || "pasted"}`;
  const made = new File([blob], name, { type: "image/jpeg" });
  return { file: made, whole, bitmap: await reduced(made), label };
}

async function use(wholly) {
  const { image } = state;
  const all = wholly || Math.min(box[2] - box[0], box[3] - box[1]) < LEAST;
  at("crop").close();
  if (image.id) {
    const taken = indexed(image.id);
    setImage(all ? taken : { ...taken, box: box.map((share) => share.toFixed(3)).join(",") });
  } else if (all) {
    const file = image.whole ?? image.file;
    setImage({ file, bitmap: await reduced(file), label: image.label });
  } else {
    setImage(await cut(image));
  }
  again();
}

export function followCrop() {
  const area = at("crop-area");
  at("choose-part").addEventListener("click", open);
  area.addEventListener("pointerdown", (event) => {
    corner = place(event);
    area.setPointerCapture(event.pointerId);
    event.preventDefault();
    area.focus();
  });
  area.addEventListener("pointermove", drag);
  area.addEventListener("pointerup", (event) => {
    drag(event);
    corner = null;
  });
  area.addEventListener("keydown", moveByKey);
  at("crop-use").addEventListener("click", () => use(false));
  at("crop-whole").addEventListener("click", () => use(true));
  at("crop-cancel").addEventListener("click", () => at("crop").close());
  at("crop").addEventListener("close", () => at("choose-part").focus());
}
