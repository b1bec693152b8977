// Results that are selected for a download; they stay selected from search to search.

import { at, say } from "./page.js";

const MOST = 200; // as the server takes them

const picked = new Set(); // ids

function tell() {
  const { size } = picked;
  at("picked").hidden = !size;
  at("picked-said").textContent = size ? `${size} selected` : "";
}

// Ticks what is selected among new results.
export function showPicked() {
  for (const tick of at("results").querySelectorAll(".pick input")) {
    tick.checked = picked.has(tick.value);
  }
  tell();
}

function choose(tick) {
  if (tick.checked && picked.size >= MOST) {
    tick.checked = false;
    say(`At most ${MOST} images can be selected.`);
  } else if (tick.checked) {
    picked.add(tick.value);
  } else {
    picked.delete(tick.value);
  }
  tell();
  if (tick.checked) say(at("picked-said").textContent);
}

export function followPicking() {
  document.addEventListener("change", ({ target }) => {
    if (target.matches?.(".pick input")) choose(target);
  });
  at("picked").addEventListener("formdata", ({ formData }) => {
    formData.delete("id");
    for (const id of picked) formData.append("id", id);
  });
  at("unpick").addEventListener("click", () => {
    picked.clear();
    showPicked();
    at("results").focus();
  });
}
