"use strict";
// Filters and pages of the gallery. The cards are in the page; this only hides and shows them.
(() => {
  const PER_PAGE = 12;
  const at = (id) => document.getElementById(id);
  document.documentElement.classList.add("has-script");
  const cards = [...document.querySelectorAll(".card")];
  if (cards.length === 0) return;
  const texts = new Map(cards.map((card) => [
    card,
    `${card.querySelector(".sentence").textContent} ${card.dataset.query}`.toLowerCase(),
  ]));
  const form = document.querySelector(".filters");
  let page = 0;

  const chosen = (id) => (at(id) ? at(id).value : "");

  function matching() {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    return cards.filter((card) =>
      ["kind", "outcome", "names"].every((id) => !chosen(id) || card.dataset[id] === chosen(id)) &&
      words.every((word) => texts.get(card).includes(word)));
  }

  function show() {
    const found = matching();
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    page = Math.min(page, pages - 1);
    const visible = new Set(found.slice(page * PER_PAGE, (page + 1) * PER_PAGE));
    for (const card of cards) card.hidden = !visible.has(card);
    const lost = found.filter((card) => card.dataset.outcome === "wrong").length;
    at("status").textContent = `${found.length} of ${cards.length} queries, ${lost} failed`;
    at("nothing").hidden = found.length > 0;
    at("page").textContent = `Page ${page + 1} of ${pages}`;
    at("previous").disabled = page === 0;
    at("next").disabled = page === pages - 1;
  }

  function turn(by) {
    page += by;
    show();
    at("cards").focus({ preventScroll: true });
    at("status").scrollIntoView();
  }

  form.addEventListener("input", () => { page = 0; show(); });
  form.addEventListener("reset", () => setTimeout(() => { page = 0; show(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  at("previous").addEventListener("click", () => turn(-1));
  at("next").addEventListener("click", () => turn(1));
  show();
})();
