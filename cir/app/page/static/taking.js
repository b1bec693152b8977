// Takes an image to start from: a result, or a file that is chosen, dropped or pasted.

import { readSentence, setChips } from "./chips.js";
import { at, box, complain, form, say, takesText } from "./page.js";
import { mark, promote, setMarks } from "./marks.js";
import { drawRounds } from "./rounds.js";
import { indexed, reduced, setImage } from "./start_image.js";
import { state } from "./state.js";

const FORMATS = "JPEG, PNG, WebP, GIF and BMP";
const OWN = "text/image-id"; // the data type of a dragged result

export function start(id, name) {
  setImage(indexed(id, name));
  setMarks([]);
  box.value = "";
  setChips([], false);
}

export function removeImage() {
  promote();
  if (!state.image) setChips([], false);
  say("Image removed.");
  box.focus();
}

// Returns why a file cannot be used, and nothing if it can.
function refusal(file) {
  const most = Number(form.dataset.mostBytes);
  if ((file.type && !file.type.startsWith("image/")) || file.type.includes("svg")) {
    return `${file.name || "This file"} cannot be used: the formats are ${FORMATS}.`;
  }
  if (file.size > most) {
    const size = (file.size / 1e6).toFixed(1);
    const name = file.name || "This image";
    return `${name} has ${size} MB, but this server takes at most ${most / 1e6} MB.`;
  }
  return "";
}

function takeBeside(image) {
  complain(mark("others", image) ? "" : "A search starts from eight images at most.");
}

async function takeFile(file) {
  const refused = refusal(file);
  if (refused) {
    complain(refused);
    return;
  }
  const label = `The image to start from: ${file.name || "pasted"}`;
  const taken = { file, bitmap: null, label };
  if (state.image) {
    takeBeside(taken);
  } else {
    setImage(taken);
    readSentence(0);
    say("Image chosen. Describe what should be different, or press Enter for similar images.");
  }
  box.focus();
  try {
    taken.bitmap = await reduced(file);
    if (state.image === taken) setImage(taken);
    else setMarks(state.marks);
    drawRounds();
  } catch { /* no preview then; the server will say what is wrong with the image */ }
}

function followChoice() {
  at("file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) takeFile(file);
  });
}

function followDrops() {
  let inside = 0; // how many elements under the mouse a file was dragged into
  const carries = ({ dataTransfer }) =>
    [...dataTransfer.types].some((type) => type === "Files" || type === OWN);
  const hover = (depth) => {
    inside = Math.max(0, depth);
    at("drop").hidden = inside === 0;
  };
  document.addEventListener("dragstart", (event) => {
    const hit = event.target.closest?.(".hit");
    if (hit) event.dataTransfer.setData(OWN, JSON.stringify({ ...hit.dataset }));
  });
  document.addEventListener("dragenter", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    hover(inside + 1);
  });
  document.addEventListener("dragover", (event) => {
    if (carries(event)) event.preventDefault();
  });
  document.addEventListener("dragleave", (event) => {
    if (carries(event)) hover(inside - 1);
  });
  document.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    hover(0);
    const own = event.dataTransfer.getData(OWN);
    const [file] = event.dataTransfer.files;
    if (own) {
      const { id, name } = JSON.parse(own);
      if (state.image) takeBeside(indexed(id, name));
      else start(id, name);
      box.focus();
    } else if (file) {
      takeFile(file);
    }
  });
}

// Pasted text may come with a picture of it; such text goes into the field where it is pasted.
// A pasted file may come with its name as text.
function isText(clipboard) {
  const names = [...clipboard.files].map((file) => file.name);
  const lines = clipboard.getData("text/plain").split("\n").map((line) => line.trim());
  return lines.some((line) => line && !names.some((name) => line.endsWith(name)));
}

function followPastes() {
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    const file = files.find((one) => one.type.startsWith("image/"));
    if (!file || (takesText(event.target) && isText(event.clipboardData))) return;
    event.preventDefault();
    takeFile(file);
  });
}

export function followFiles() {
  followChoice();
  followDrops();
  followPastes();
}
