// The images beside the first one: others to start from, and results that are wanted or not.

import { at, say } from "./page.js";
import { indexed, preview, setImage } from "./start_image.js";
import { state } from "./state.js";

const FIELDS = { others: "image_id", like: "like", unlike: "unlike" };
const LABELS = {
  others: "An image to start from",
  like: "More like this",
  unlike: "Less like this",
};
const MOST_IMAGES = 8; // to start from, as the server takes them

function drawn(mark) {
  const item = at("mark-template").content.firstElementChild.cloneNode(true);
  const { kind, image } = mark;
  item.className = `mark ${kind}`;
  item.querySelector(".preview").replaceWith(preview(image, LABELS[kind]));
  const field = item.querySelector("input");
  field.name = FIELDS[kind];
  field.value = image.id ?? "";
  field.disabled = !image.id;
  item.querySelector("button").addEventListener("click", () => {
    setMarks(state.marks.filter((one) => one !== mark));
    say("Image removed.");
  });
  return item;
}

export function setMarks(marks) {
  state.marks = marks;
  at("marks").replaceChildren(...marks.map(drawn));
}

// Takes a result or a file beside the first image; an image counts in one way only.
export function mark(kind, image) {
  const rest = state.marks.filter((one) => !image.id || one.image.id !== image.id);
  const others = rest.filter((one) => one.kind === "others");
  if (kind === "others" && others.length + 1 >= MOST_IMAGES) return false;
  setMarks([...rest, { kind, image }]);
  say(`${LABELS[kind]}: noted.`);
  return true;
}

// Makes the next of the other images the first one, if there is one.
export function promote() {
  const next = state.marks.find((one) => one.kind === "others");
  setImage(next?.image ?? null);
  if (next) setMarks(state.marks.filter((one) => one !== next));
}

// Takes over what the server has drawn.
export function beginMarks() {
  const found = [...at("marks").children].map(({ dataset }) => (
    { kind: dataset.kind, image: indexed(dataset.id) }));
  setMarks(found);
}
