// The panel above the grid and the map: the question, the slider, and what the policy said.

import { h, icon, percent, put, refill, toast, unique } from "./dom.js";
import { pictureButton, takesPictures } from "./picking.js";
import { query } from "./query.js";
import { session } from "./session.js";
import { actionLabel, disclosure, ruler, stepList } from "./verdict.js";

const EXAMPLES = ["a rabbit with a blue cup in the snow", "a rabbit with an axe in the snow", "a bird with a gun"];
const HELD = ["review", "block"];

/** The panel; `title` is the page's heading, and `about` a line below it. */
export function askPanel() {
  const form = questionForm();
  const slider = sliderRow();
  const verdict = h("div", { class: "verdict", "aria-live": "polite" });
  const panel = h("section", { class: "ask", "aria-label": "Query" }, form.element, slider.element, verdict);

  const follow = () => {
    form.follow();
    slider.follow();
    panel.setAttribute("aria-busy", String(query.busy));
  };
  const tell = () => {
    follow();
    refill(verdict, query.problem ? h("p", { class: "problem" }, query.problem.message) : said());
  };
  for (const event of ["asked", "answer", "problem"]) query.addEventListener(event, tell);
  query.addEventListener("moved", () => slider.follow());
  query.addEventListener("busy", () => panel.setAttribute("aria-busy", "true"));
  session.addEventListener("change", follow);
  tell();
  return panel;
}

function questionForm() {
  const input = h("input", { type: "search", id: "query", autocomplete: "off", maxlength: "2000", placeholder: "Describe a picture, or drop one here" });
  const chip = h("div", { class: "chip-row" });
  const refused = (sentence) => toast(sentence);
  const element = h("form", { class: "question", role: "search" });
  const take = takesPictures(element, { taken: ([{ name, url }]) => query.ask({ kind: "image", value: url, name }), refused });
  put(element,
    h("div", { class: "line" },
      h("label", { class: "hidden", for: "query" }, "Search the collection"), input,
      h("button", { type: "submit", class: "primary" }, icon("search"), "Search"),
      pictureButton(take)),
    chip);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) query.ask({ kind: "text", value: input.value.trim(), name: input.value.trim() });
  });

  const follow = () => {
    const { asked } = query;
    if (asked?.kind === "text" && input.value.trim() !== asked.value) input.value = asked.value;
    if (asked && asked.kind !== "text") input.value = "";
    refill(chip, asked === null ? examples() : asked.kind === "text" ? null : askedFor(asked));
  };
  return { element, follow };
}

function examples() {
  if (!session.policy?.model.name.startsWith("world")) return null;
  return [h("span", { class: "quiet" }, "Try"), EXAMPLES.map((text) => h("button", {
    type: "button", class: "chip", on: { click: () => query.ask({ kind: "text", value: text, name: text }) },
  }, text))];
}

function askedFor({ kind, name, value }) {
  const what = kind === "image" ? ["Like the picture ", h("b", {}, name)] : ["Like ", h("b", {}, name)];
  const clear = h("button", { type: "button", class: "tool", "aria-label": "Clear the query", on: { click: () => query.clear() } }, icon("close"));
  return h("span", { class: "chip given" }, kind === "image" && h("img", { src: value, alt: "" }), h("span", {}, what), clear);
}

function sliderRow() {
  const note = unique("note");
  const input = h("input", { type: "range", id: "strength", min: "0", max: "1", step: "0.01", "aria-describedby": note });
  const said = h("p", { class: "quiet", id: note });
  const least = h("span", { class: "quiet" });
  const element = h("div", { class: "slider" },
    h("label", { for: "strength" }, "Safety"),
    h("div", { class: "track" }, least, input, h("span", { class: "quiet" }, "safest")), said);
  input.addEventListener("input", () => query.move(Number(input.value)));

  const follow = () => {
    if (session.policy === null) return;
    element.hidden = query.asked === null || HELD.includes(query.answer?.verdict.action);
    const floor = session.least;
    const fixed = floor === 1;
    input.min = String(fixed ? 0 : floor);
    input.disabled = !query.movable && !query.busy;
    const applied = query.answer?.verdict.strength ?? 0;
    const value = Math.max(query.strength ?? floor, floor, query.busy || query.strength === null ? 0 : applied);
    input.value = String(value);
    input.style.setProperty("--done", `${fixed ? 100 : ((value - floor) / (1 - floor)) * 100}%`);
    input.setAttribute("aria-valuetext", value === 0 ? "as asked" : value === 1 ? "safest" : `${percent(value)} of the way to the safest`);
    least.textContent = floor === 0 || fixed ? "as asked" : `the rule: ${percent(floor)}`;
    said.textContent = sliderNote(floor);
  };
  return { element, follow };
}

function sliderNote(floor) {
  if (query.answer === null) return "";
  const { score, bound, strength } = query.answer.verdict;
  if (score === null) return "Nothing was judged, so there is nothing to move.";
  if (score <= bound) return "The query is within the bound: there is nothing to move.";
  const role = `Role “${session.role}”`;
  if (floor === 1) return `${role} always gets the safest results; ${whoMayMove()}.`;
  if (floor > 0 && query.strength === null) return `${role} may not see this as asked: the policy moves it ${percent(floor)} of the way, you may go further.`;
  if (query.strength !== null && strength > query.strength + 1e-6) return `A rule of the policy asks for ${percent(strength)}.`;
  return "";
}

function whoMayMove() {
  const found = Object.entries(session.policy.roles).find(([, { action, strength }]) => !HELD.includes(action) && (action !== "redirect" || strength < 1));
  return found ? `choose the role “${found[0]}” to move this` : "only another role may move this";
}

// -- what the policy said --------------------------------------------------------------------------------

function said() {
  const { answer } = query;
  if (answer === null) return null;
  const { verdict } = answer;
  const why = disclosure("Why?", reasons());
  return [
    h("p", { class: `said ${verdict.action}` }, actionLabel(verdict.action), h("span", { class: "headline" }, headline(verdict)), why.button),
    why.region,
  ];
}

function headline(verdict) {
  const name = query.asked.kind === "text" ? `“${query.asked.name}”` : "this picture";
  const above = verdict.score !== null && verdict.score > verdict.bound;
  switch (verdict.action) {
    case "redirect":
      return `Showing safer results for ${name}`;
    case "block":
      return verdict.message ?? "This cannot be searched here.";
    case "review":
      return verdict.message ?? "Nothing was searched: a person looks at this first.";
    case "blur":
      return `Results for ${name} are blurred until you reveal them`;
    default:
      return above ? `Searched as asked: role “${verdict.role}” may` : `Results for ${name}`;
  }
}

function reasons() {
  const { answer } = query;
  const { verdict } = answer;
  const marks = [];
  if (verdict.bound !== null) marks.push({ at: verdict.bound, name: `bound for ${query.asked.kind === "text" ? "texts" : "pictures"}`, kind: "bound" });
  if (answer.root_distance_before !== null) {
    const moved = answer.root_distance_after !== answer.root_distance_before;
    marks.push({ at: answer.root_distance_before, name: moved ? "as asked" : "query", kind: moved ? "hollow" : "point" });
    if (moved) {
      marks.push({ at: answer.root_distance_after, name: "searched with", kind: "point" });
      marks.push({ at: session.policy.model.landing.image, name: "landing for pictures", kind: "landing" });
    }
  }
  return h("div", { class: "why" },
    h("p", {}, `${capital(verdict.reason)}.`),
    verdict.message && h("p", { class: "quiet" }, `The policy says to the user: “${verdict.message}”`),
    verdict.shadow && h("p", { class: "quiet" }, `A rule on trial would have done: ${verdict.shadow}.`),
    marks.length > 0 && ruler(marks, { label: "Distance from the root" }),
    marks.length > 0 && h("p", { class: "quiet" }, "Distance from the root: farther is more unsafe."),
    stepList(answer.steps),
    h("p", { class: "quiet small" }, `Role ${verdict.role} · policy ${verdict.policy} · decision ${answer.id}`));
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
