// The image that a search starts from, and its preview.

import { at, box, complain, element } from "./page.js";
import { state } from "./state.js";

const PREVIEW = 192; // pixels

export function preview(of, label) {
  const holder = element("span", { className: "preview" });
  if (of.bitmap) {
    const canvas = element("canvas", { width: of.bitmap.width, height: of.bitmap.height });
    canvas.getContext("2d").drawImage(of.bitmap, 0, 0);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", label);
    holder.append(canvas);
  } else if (of.address) {
    const image = element("img", { src: of.address, alt: label });
    if (of.box) {
      const [left, top, right, bottom] = of.box.split(",").map((share) => 100 * Number(share));
      image.style.objectViewBox = `inset(${top}% ${100 - right}% ${100 - bottom}% ${left}%)`;
    }
    holder.append(image);
  }
  return holder;
}

export function setImage(image) {
  complain("");
  state.image = image;
  at("preview").replaceChildren(...(image ? preview(image, image.label).childNodes : []));
  at("reference").hidden = !image;
  at("composition").hidden = !image;
  at("image-weight").disabled = !image;
  at("image-id").disabled = !image?.id;
  at("image-id").value = image?.id ?? "";
  at("image-box").disabled = !image?.box;
  at("image-box").value = image?.box ?? "";
  box.placeholder = image ? box.dataset.ofChange : box.dataset.ofWords;
}

export function indexed(id, name = "") {
  const label = `The image to start from${name ? `: ${name}` : ""}`;
  return { id, address: `thumbnails/${encodeURIComponent(id)}?size=256`, label };
}

// Shrinks the image of a file so that its shorter side fits the preview.
export async function reduced(file) {
  const whole = await createImageBitmap(file);
  const scale = Math.min(1, PREVIEW / Math.min(whole.width, whole.height));
  const side = (length) => Math.max(1, Math.round(length * scale));
  const size = { resizeWidth: side(whole.width), resizeHeight: side(whole.height) };
  const bitmap = await createImageBitmap(whole, { ...size, resizeQuality: "medium" });
  whole.close();
  return bitmap;
}
