// The page's elements, and functions that all modules use.

export const at = (id) => document.getElementById(id);
export const root = document.documentElement;
export const form = at("search");
export const box = at("q");

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Makes a screen reader say a sentence.
export function say(text) { at("status").textContent = text; }

export function complain(sentence) {
  at("complaint").textContent = sentence;
  at("complaint").hidden = !sentence;
}

// Replaces parts of the page by the server's new ones.
export function swap(html, ids) {
  const parts = new DOMParser().parseFromString(html, "text/html");
  for (const id of ids) {
    const part = parts.getElementById(id);
    if (part) at(id).replaceWith(document.adoptNode(part));
  }
}

const FIELDS_OF_TEXT = "input:not([type=range], [type=checkbox]), textarea, select";
export const takesText = (target) => target.matches?.(FIELDS_OF_TEXT);
