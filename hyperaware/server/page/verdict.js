// What the policy did, and why: the same words and colours on every page.

import { distance, h, unique } from "./dom.js";

const WORDS = {
  allow: "Allowed",
  blur: "Blurred",
  redirect: "Redirected",
  review: "Waits for a review",
  block: "Blocked",
};

/** A small label for an action. */
export const actionLabel = (action) => h("span", { class: `action ${action}` }, WORDS[action]);

/** A button that shows and hides what it controls. */
export function disclosure(label, content, { open = false } = {}) {
  const id = unique("more");
  const region = h("div", { id, hidden: !open }, content);
  const button = h("button", { type: "button", class: "link", "aria-expanded": String(open), "aria-controls": id }, label);
  button.addEventListener("click", () => {
    region.hidden = !region.hidden;
    button.setAttribute("aria-expanded", String(!region.hidden));
  });
  return { button, region };
}

/** The steps of a search, each with its sentence and numbers. */
export function stepList(steps) {
  return h("ol", { class: "steps" }, steps.map(({ name, sentence, numbers }) => h("li", {},
    h("strong", {}, name), h("span", {}, sentence), numberList(numbers))));
}

function numberList(numbers) {
  const found = Object.entries(numbers);
  if (!found.length) return null;
  return h("dl", { class: "numbers" }, found.map(([name, value]) => h("div", {},
    h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, Number.isInteger(value) ? value : value.toFixed(4)))));
}

/** A scale of root distances with marks on it: [{at, name, kind}], kind being "bound", "landing", "point" or "hollow". */
export function ruler(marks, { label }) {
  const far = Math.max(...marks.map(({ at }) => at)) * 1.15;
  const told = marks.map(({ at, name }) => `${name} ${distance(at)}`).join(", ");
  const line = h("div", { class: "ruler", role: "img", "aria-label": `${label}: ${told}` });
  const bound = marks.find(({ kind }) => kind === "bound");
  if (bound) {
    const beyond = h("span", { class: "beyond" });
    beyond.style.left = `${(bound.at / far) * 100}%`;
    line.append(beyond);
  }
  for (const { at, kind } of marks) {
    const mark = h("span", { class: `mark ${kind}` });
    mark.style.left = `${(at / far) * 100}%`;
    line.append(mark);
  }
  const legend = h("ul", { class: "legend" }, marks.map(({ at, name, kind }) => h("li", {},
    h("span", { class: `key ${kind}`, "aria-hidden": "true" }), `${name} `, h("b", {}, distance(at)))));
  return h("div", {}, line, legend);
}

/** A bar of a probability with thresholds drawn on it: [{at, name}]. */
export function bar(value, thresholds = []) {
  const line = h("div", { class: "bar", "aria-hidden": "true" });
  const fill = h("span", { class: "fill" });
  fill.style.width = `${value * 100}%`;
  fill.classList.toggle("over", thresholds.some(({ at }) => value > at));
  line.append(fill);
  for (const { at } of thresholds) {
    const tick = h("span", { class: "tick" });
    tick.style.left = `${at * 100}%`;
    line.append(tick);
  }
  return line;
}
