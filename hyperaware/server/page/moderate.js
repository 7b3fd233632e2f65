// The page "Moderate": scores of texts and pictures, with the thresholds that hold for the role.

import { call } from "./api.js";
import { h, icon, percent, put, refill, toast } from "./dom.js";
import { explanation } from "./explain.js";
import { pictureButton, takesPictures } from "./picking.js";
import { session } from "./session.js";
import { actionLabel, bar, ruler } from "./verdict.js";

const FLAGGED = 0.5;
const MOST = 16;

export function moderatePage() {
  const pictures = [];
  const text = h("textarea", { id: "moderate-text", rows: "3", maxlength: "20000", placeholder: "Paste a text; each line is scored on its own" });
  const chips = h("div", { class: "chip-row" });
  const button = h("button", { type: "submit", class: "primary" }, "Score");
  const results = h("div", { class: "results", "aria-live": "polite" });
  const form = h("form", { class: "panel drop" });
  const follow = () => refill(chips, pictures.map((each) => h("span", { class: "chip given" }, h("img", { src: each.url, alt: "" }), each.name,
    h("button", { type: "button", class: "tool", "aria-label": `Leave out ${each.name}`, on: { click: () => { pictures.splice(pictures.indexOf(each), 1); follow(); } } }, icon("close")))));
  const take = takesPictures(form, {
    taken: (found) => {
      if (pictures.length + found.length > MOST) return toast(`At most ${MOST} pictures at once.`);
      pictures.push(...found);
      return follow();
    },
    refused: toast,
  });
  put(form, h("label", { for: "moderate-text" }, "Text"), text, chips,
    h("div", { class: "row" }, button, pictureButton(take, { label: "Add pictures", multiple: true }),
      h("span", { class: "quiet small" }, "Pictures may be dropped or pasted here.")));

  let asked = [];
  const score = async () => {
    const lines = text.value.split("\n").map((line) => line.trim()).filter(Boolean);
    asked = [
      ...lines.map((value) => ({ kind: "text", value, name: value })),
      ...pictures.map(({ url, name }) => ({ kind: "image", value: url, name })),
    ];
    if (!asked.length) return refill(results, h("p", { class: "empty" }, "Give a text or a picture first."));
    button.disabled = true;
    results.setAttribute("aria-busy", "true");
    try {
      const input = asked.map(({ kind, value }) => (kind === "text" ? { type: "text", text: value } : { type: "image_url", image_url: { url: value } }));
      const { results: [result], model } = await call("POST", "/v1/moderations", { body: { input, role: session.asked ?? undefined } });
      refill(results, result.safety.parts.map((part, index) => partCard(asked[index], part)), footnote(result.safety, model));
    } catch (problem) {
      // What failed is no verdict: nothing of an earlier answer stays on the page.
      refill(results, h("p", { class: "problem" }, `No score: ${problem.message}`));
    } finally {
      button.disabled = false;
      results.setAttribute("aria-busy", "false");
    }
    return undefined;
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); score(); });
  text.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); });
  session.addEventListener("change", () => { if (asked.length) score(); });
  return { element: h("div", {}, h("h1", {}, "Moderate"), h("p", { class: "lead" }, "What the model and the policy say of a text or a picture, and how sure they are."), form, results) };
}

function partCard(asked, part) {
  const { verdict } = part;
  const marks = part.score === null ? [] : [
    ...(part.bound === null ? [] : [{ at: part.bound, name: "bound", kind: "bound" }]),
    { at: part.score, name: "score", kind: "point" },
  ];
  const more = h("div", { class: "explanation" });
  const button = h("button", { type: "button", class: "plain" }, "Explain");
  button.addEventListener("click", async () => {
    button.disabled = true;
    button.textContent = "Explaining …";
    try {
      const body = { [asked.kind]: asked.kind === "text" ? asked.value : { url: asked.value }, role: session.asked ?? undefined };
      refill(more, await explanation(asked, await call("POST", "/v1/explain", { body })));
      button.remove();
    } catch (problem) {
      refill(more, h("p", { class: "problem" }, problem.message));
      button.disabled = false;
      button.textContent = "Explain";
    }
  });
  return h("article", { class: "panel part" },
    h("header", { class: "row" },
      asked.kind === "image" ? h("img", { class: "thumb", src: asked.value, alt: "" }) : null,
      h("h2", {}, asked.kind === "text" ? `“${asked.name}”` : asked.name), actionLabel(verdict.action)),
    h("p", {}, sureness(part)),
    h("p", { class: "quiet" }, `${verdict.reason}.`),
    h("div", { class: "two" },
      h("section", {}, h("h3", {}, "Distance from the root"), marks.length ? ruler(marks, { label: "Distance from the root" }) : h("p", {}, "Not measured: the model has no root."), button),
      h("section", {}, h("h3", {}, "Categories"), categoryBars(part))),
    more);
}

function sureness({ score, bound, probability, windows }) {
  const judged = score !== null && bound !== null;
  const above = judged && score > bound;
  const side = !judged ? "Not judged" : above ? "Above the bound: treated as unsafe" : "Within the bound: treated as safe";
  const sure = probability === null ? "not calibrated, so no probability" : `probability of being unsafe ${percent(probability)}, calibrated`;
  const long = windows > 1 ? ` Judged in ${windows} pieces; the most unsafe counts.` : "";
  const differ = judged && probability !== null && above !== probability > FLAGGED;
  const why = differ ? " The two differ here. The bound decides: it promises how much that is unsafe lies within it, at the cost of some that is safe above it." : "";
  return [h("b", {}, side), ` (${sure}).${long}${why}`];
}

function categoryBars({ categories, verdict }) {
  if (!categories.length) return h("p", { class: "quiet" }, "This server scores no categories.");
  const rules = session.policy.roles[verdict.role]?.queries.filter(({ category }) => category !== null) ?? [];
  const some = categories.some(({ probability }) => probability !== null);
  const rows = [...categories].sort((a, b) => (b.probability ?? b.score - 9) - (a.probability ?? a.score - 9)).map(({ name, score, probability }) => {
    const own = rules.filter(({ category }) => category === name).map(({ above, action }) => ({ at: above, name: `${action} above ${percent(above)}` }));
    const thresholds = own.length ? own : [{ at: FLAGGED, name: `counts as true above ${percent(FLAGGED)}` }];
    const told = thresholds.map((each) => each.name).join(", ");
    return h("tr", {}, h("th", { scope: "row" }, name),
      probability === null
        ? [h("td", {}, rawBar(score)), h("td", { class: "figure" }, some && h("span", { class: "tag" }, "not calibrated"), ` score ${score.toFixed(2)}`)]
        : [h("td", {}, bar(probability, thresholds)), h("td", { class: "figure", title: told }, percent(probability), h("span", { class: "hidden" }, `, ${told}`))]);
  });
  return [
    h("table", { class: "bars" }, h("caption", { class: "hidden" }, "Probability by category"), h("tbody", {}, rows)),
    h("p", { class: "quiet small" }, !some ? "Not calibrated for this kind of input: these are scores in the model’s space, near 1 for what the category names and near 0 for what it does not. They are no probabilities." : rules.length ? `The lines are the thresholds of role “${verdict.role}”; without a rule, the 50 % above which a category counts as true.` : `Role “${verdict.role}” has no rule for a category; the line is the 50 % above which one counts as true.`),
  ];
}

function rawBar(score) {
  const fill = h("span", { class: "fill raw" });
  fill.style.width = `${Math.min(1, Math.max(0, score)) * 100}%`;
  return h("span", { class: "bar", "aria-hidden": "true" }, fill);
}

const footnote = (safety, model) => h("p", { class: "quiet small" }, `Role ${safety.role} · policy ${safety.policy} · model ${model} (${safety.fingerprint})`);

