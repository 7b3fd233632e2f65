// The page "Status": whether it works, what it is, and what its thresholds promise.

import { call, Problem, text } from "./api.js";
import { distance, h, percent, refill } from "./dom.js";
import { session } from "./session.js";

const EVERY = 5000;

export function statusPage() {
  const health = h("section", { class: "panel", "aria-live": "polite" });
  const figures = h("section", { class: "panel" });
  const rest = h("div", {});
  let timer = 0;
  const ask = async () => {
    refill(health, await healthOf());
    refill(figures, await figuresOf());
  };
  return {
    element: h("div", {}, h("h1", {}, "Status"), h("div", { class: "two" }, health, figures), rest),
    shown() {
      ask();
      timer = setInterval(ask, EVERY);
      call("GET", "/v1/about").then((about) => refill(rest, aboutOf(about)), (problem) => refill(rest, h("p", { class: "problem" }, problem.message)));
    },
    hidden: () => clearInterval(timer),
  };
}

async function healthOf() {
  const heading = h("h2", {}, "Health");
  try {
    const response = await fetch("/health/ready");
    const { status, reasons } = await response.json();
    return [heading, h("p", { class: `health ${response.ok ? "good" : "bad"}` }, response.ok ? "Ready: model, index and audit log are there." : capital(status)),
      reasons.length > 0 && h("ul", {}, reasons.map(({ code, message }) => h("li", {}, h("b", {}, code), ` ${message}`)))];
  } catch {
    return [heading, h("p", { class: "health bad" }, "The server does not answer.")];
  }
}

async function figuresOf() {
  const heading = h("h2", {}, "Since it started");
  try {
    const found = prometheus(await text("/metrics"));
    const sum = (name, by) => {
      const counts = new Map();
      for (const each of found.filter((line) => line.name === `hyperaware_${name}`)) counts.set(each.labels[by] ?? "", (counts.get(each.labels[by] ?? "") ?? 0) + each.value);
      return counts;
    };
    const only = (name) => sum(name, "").get("") ?? 0;
    const verdicts = [...sum("verdicts_total", "action")].map(([action, count]) => `${count} ${action}`).join(", ");
    const refused = [...sum("decode_failures_total", "reason")].map(([reason, count]) => `${count} ${reason}`).join(", ");
    return [heading, facts([
      ["Decisions", verdicts || "none yet"],
      ["Waiting for the model", `${only("queue_depth")} inputs`],
      ["Waiting for a person", `${only("reviews_waiting")} cases`],
      ["Model restarted", `${only("model_restarts")} times`],
      ["Pictures refused", refused || "none"],
    ])];
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return [heading, h("p", { class: "problem" }, problem.message)];
  }
}

/** The lines of Prometheus' text format, as {name, labels, value}. */
export function prometheus(page) {
  return page.split("\n").filter((line) => line && !line.startsWith("#")).map((line) => {
    const [, name, labels, value] = line.match(/^(\w+)(?:\{(.*)\})? (\S+)/);
    return { name, value: Number(value), labels: Object.fromEntries([...(labels ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((found) => [found[1], found[2]])) };
  });
}

const facts = (rows) => h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const capital = (words) => words[0].toUpperCase() + words.slice(1);

function aboutOf({ version, model, index, thresholds, calibrated }) {
  const curvature = model.space.curv ? `, curvature −${model.space.curv.toFixed(4)}` : "";
  return [
    h("div", { class: "two" },
      h("section", { class: "panel" }, h("h2", {}, "Model and index"), facts([
        ["Model", model.name], ["Licence", model.license ?? "not stated"], ["Fingerprint", h("code", {}, model.fingerprint)],
        ["Space", `${model.space.name}, ${model.dimension} coordinates${curvature}`],
        ["Index", index === null ? "none, or not for this key to count" : `${Object.entries(index.items).map(([kind, count]) => `${count.toLocaleString("en")} ${kind === "image" ? "pictures" : "texts"}`).join(", ") || "empty"}; generation ${index.generation}`],
        ["Policy", session.policy.version], ["hyperaware", version]])),
      h("section", { class: "panel" }, h("h2", {}, "Calibration"), calibration(thresholds, calibrated))),
    model.card && h("section", { class: "panel card-text" }, markdown(model.card)),
    h("p", { class: "quiet small" }, "The routes of this server: ", h("a", { href: "/docs" }, "/docs"), "."),
  ];
}

function calibration(thresholds, calibrated) {
  if (thresholds === null) return h("p", {}, "The model has no root distances: nothing can be calibrated.");
  const rows = Object.entries(thresholds).map(([modality, each]) => [
    h("h3", {}, modality === "text" ? "Texts" : "Pictures"),
    h("p", {}, `Unsafe above ${distance(each.trigger)}. `, each.promise ?? promised(each)),
  ]);
  const byKinds = new Map();
  for (const [name, kinds] of Object.entries(calibrated ?? {})) {
    const where = kinds.map((kind) => (kind === "text" ? "texts" : "pictures")).sort().reverse().join(" and ");
    if (where) byKinds.set(where, [...(byKinds.get(where) ?? []), name]);
  }
  return [rows, h("h3", {}, "Categories"), byKinds.size
    ? [...byKinds].map(([where, names]) => h("p", {}, `Probabilities for ${where}: ${names.join(", ")}.`))
    : h("p", {}, "Not calibrated: categories have scores, but no probabilities.")];
}

const promised = ({ rows, false_positive_rate: rate }) =>
  rows === null || rate === null ? "Nothing more is known of this threshold." : `Measured on ${rows.toLocaleString("en")} safe rows: ${percent(rate)} of them lie above it. No probabilities: not calibrated.`;

/** As much of Markdown as model cards have: headings, lists, tables, code and paragraphs, bold and code in lines. */
function markdown(source) {
  const blocks = source.trim().split(/(```[\s\S]*?```)/).flatMap((part) => (part.startsWith("```") ? [part] : part.split(/\n{2,}/)));
  return blocks.filter((block) => block.trim()).map((block) => {
    const heading = block.match(/^(#+) (.*)/);
    if (heading) return h(heading[1].length === 1 ? "h2" : "h3", {}, heading[2]);
    if (block.startsWith("```")) return h("pre", { tabindex: "0" }, h("code", {}, block.replace(/^```\w*\n?|\n?```$/g, "")));
    if (block.startsWith("- ")) return h("ul", {}, block.split(/\n(?=- )/).map((line) => h("li", {}, inline(line.slice(2)))));
    if (block.startsWith("|")) return tableOf(block);
    return h("p", {}, inline(block));
  });
}

function inline(source) {
  return source.split(/(\*\*[^*]+\*\*|`[^`]+`)/).map((part) => {
    if (part.startsWith("**") && part.length > 4) return h("b", {}, part.slice(2, -2));
    if (part.startsWith("`") && part.length > 2) return h("code", {}, part.slice(1, -1));
    return part;
  });
}

function tableOf(block) {
  const [head, , ...rows] = block.split("\n").map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Figures" }, h("table", { class: "table" },
    h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, cell)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, inline(cell))))))));
}
