// Indexing again while the service runs: the button, and how far it is.

import { search } from "./asking.js";
import { at, element, say } from "./page.js";
import { state } from "./state.js";

const PAUSE = 500; // milliseconds between two questions how far it is

const tell = (text) => { at("indexing").textContent = text; };

function ended({ report, error }) {
  if (error || !report) {
    tell(error ? `Indexing failed: ${error}.` : "Indexing has ended.");
    return;
  }
  const { indexed, moved, removed, unreadable } = report;
  const parts = [`${indexed} new`, `${moved} moved`, `${removed} removed`];
  if (unreadable.length) parts.push(`${unreadable.length} unreadable`);
  tell(`Indexed: ${parts.join(", ")}.`);
  say(at("indexing").textContent);
  at("indexing").title = unreadable.join("\n");
  if (state.current) search(state.current);
}

async function follow(method) {
  try {
    const answer = await fetch("index", { method });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    if (!found.running) {
      ended(found);
      return;
    }
    tell(found.of ? `Indexing: ${found.looked_at} of ${found.of} files` : "Indexing");
    setTimeout(() => follow("GET"), PAUSE);
  } catch {
    tell("The server does not answer. Is it still running?");
  }
}

export function reindex() {
  at("moved")?.remove();
  follow("POST");
}

// Offers to index again, above the results, once an image cannot be found.
export function offer() {
  if (at("moved")) return;
  const button = element("button", { type: "button", textContent: "Index the folder again" });
  button.addEventListener("click", reindex);
  const said = "Some images were moved, changed or removed since they were indexed.";
  const notice = element("div", { id: "moved", className: "notice" },
    element("p", { textContent: said }), element("p", {}, button));
  at("results").before(notice);
}

export function followIndexing() {
  at("update").addEventListener("submit", (event) => {
    event.preventDefault();
    reindex();
  });
  if (at("indexing").textContent.startsWith("Indexing")) follow("GET"); // begun before
}
