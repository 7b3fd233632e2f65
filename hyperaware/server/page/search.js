// The page "Search".

import { askPanel } from "./ask.js";
import { h, refill } from "./dom.js";
import { query } from "./query.js";
import { grid } from "./results.js";

let panel = null;

/** The one panel for a query: search and map show the same query, so they show the same panel. */
export function sharedPanel() {
  panel ??= askPanel();
  return panel;
}

export function searchPage() {
  const place = h("div", {});
  const results = grid({ similar: ({ id, name, blurred }) => query.ask({ kind: "item", value: id, name: blurred ? "a blurred picture" : name }) });
  const more = h("button", { type: "button", class: "plain wide", on: { click: () => query.more() } }, "More results");
  const empty = h("div", { class: "empty" });
  const follow = () => {
    results.show(query.items);
    more.hidden = !query.answer?.more;
    refill(empty, emptyText());
  };
  query.addEventListener("answer", follow);
  query.addEventListener("problem", follow);
  query.addEventListener("busy", () => results.element.setAttribute("aria-busy", "true"));
  query.addEventListener("answer", () => results.element.setAttribute("aria-busy", "false"));
  follow();
  return {
    element: h("div", {}, h("h1", { class: "hidden" }, "Search"), place, results.element, empty, more),
    shown: () => place.replaceChildren(sharedPanel()),
  };
}

function emptyText() {
  const { answer, items } = query;
  if (answer === null) return query.problem ? null : h("p", {}, "Search by words, or drop, paste or choose a picture. What may be unsafe is moved to what is safe, blurred or held back, as the policy says for your role; the page always says which, and why.");
  if (items.length || ["review", "block"].includes(answer.verdict.action)) return null;
  return h("p", {}, "Nothing in the collection that this role may see is like that.");
}
