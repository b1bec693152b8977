// The filters, the least score and the weight of the image.

import { at, element, form } from "./page.js";

const FILTERS = ["folder", "tag", "after", "before", "least_kb", "most_kb"];
const FIELDS = ["folder", "after", "before", "least_kb", "most_kb", "least_score", "image_weight",
  "sort", "duplicates"];

export function fields() {
  const tags = new FormData(form).getAll("tag").filter(Boolean);
  return { values: FIELDS.map((name) => form.elements[name].value), tags };
}

export function setFields({ values, tags }) {
  FIELDS.forEach((name, place) => { form.elements[name].value = values[place]; });
  at("tag").value = "";
  at("tags-set").replaceChildren();
  tags.forEach(addTag);
  showNumbers();
}

export function showNumbers() {
  const [weight, least] = [at("image-weight"), at("least-score")];
  at("weight-shown").textContent = `×${weight.value}`;
  at("least-shown").textContent = least.value === "0" ? "any" : least.value;
  least.setAttribute("aria-valuetext", at("least-shown").textContent);
}

export function setLeast(score) {
  at("least-score").value = score;
  showNumbers();
}

function addTag(tag) {
  const chosen = element("input", { type: "checkbox", name: "tag", value: tag, checked: true });
  at("tags-set").append(element("li", {}, element("label", {}, chosen, ` ${tag}`)));
}

function filtersSet() {
  const data = new FormData(form);
  return FILTERS.filter((name) => data.getAll(name).some((value) => value !== "")).length;
}

export function countFilters() { at("filters-set").textContent = filtersSet() || ""; }

// Whether images can be listed without a query: by filters, or in an order of their own.
export const listable = () => filtersSet() > 0 || at("sort").value !== "score";

export function clearFields() {
  for (const field of at("filters").querySelectorAll("input")) field.value = "";
  for (const choice of at("filters").querySelectorAll("select")) choice.selectedIndex = 0;
  at("tags-set").replaceChildren();
}

// A typed tag becomes a ticked box; clearing the box removes the tag.
export function tagChanged(field) {
  if (field === at("tag") && field.value.trim()) {
    addTag(field.value.trim());
    field.value = "";
  }
  if (field.name === "tag" && field.type === "checkbox") field.closest("li").remove();
}
