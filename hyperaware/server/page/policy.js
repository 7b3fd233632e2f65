// The page "Policy": what holds for whom, and what it would do to an example.

import { call } from "./api.js";
import { distance, h, percent, put, refill, toast } from "./dom.js";
import { pictureButton, takesPictures } from "./picking.js";
import { session } from "./session.js";
import { actionLabel } from "./verdict.js";

export function policyPage() {
  const { policy } = session;
  const several = Object.keys(policy.roles).length > 1;
  return {
    element: h("div", {}, h("h1", {}, "Policy"),
      h("p", { class: "lead" }, `Version ${policy.version}. ${several ? `Without a key’s own role, “${policy.default_role}” holds.` : `Your role is “${policy.role}”.`}`),
      roleTable(policy), boundsPanel(policy.model), session.may("moderate") && trialPanel(policy)),
  };
}

function roleTable({ roles, default_role: own }) {
  const rows = Object.entries(roles).map(([name, rule]) => h("tr", {},
    h("th", { scope: "row" }, name, name === own && h("span", { class: "tag" }, "default")),
    h("td", {}, actionLabel(rule.action), rule.action === "redirect" && h("small", { class: "quiet" }, ` ${percent(rule.strength)} of the way`)),
    h("td", {}, rule.show === "safe" ? "items within the limit" : "all items"),
    h("td", {}, clauses(rule.queries, "queries"), clauses(rule.items, "items"), !rule.queries.length && !rule.items.length && h("span", { class: "quiet" }, "none")),
    h("td", {}, rule.message ? `“${rule.message}”` : h("span", { class: "quiet" }, "nothing"))));
  return h("section", { class: "panel scroll", tabindex: "0", role: "region", "aria-label": "Roles" }, h("table", { class: "table" },
    h("caption", { class: "hidden" }, "Roles"),
    h("thead", {}, h("tr", {}, ["Role", "A query above the bound", "May see", "More rules", "Is told"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows)));
}

function clauses(found, kind) {
  if (!found.length) return null;
  return h("ul", { class: "clauses" }, found.map((clause) => h("li", {},
    actionLabel(clause.action), h("span", {}, ` ${kind} ${condition(clause)}`), clause.shadow && h("span", { class: "tag" }, "on trial"),
    clause.message && h("small", { class: "quiet" }, ` “${clause.message}”`))));
}

const condition = ({ category, above }) => (category === null ? "above the bound" : `with ${category} above ${percent(above)}`);

function boundsPanel({ name, trigger, limit, landing }) {
  if (trigger === null) return h("section", { class: "panel" }, h("p", {}, `The model ${name} has no root distances, so it has no bounds.`));
  const rows = [["Trigger", "a query farther out is unsafe", trigger], ["Limit", "an item farther out is unsafe", limit], ["Landing", "where a redirected query for such items lands", landing]];
  return h("section", { class: "panel" }, h("h2", {}, "Bounds"), h("p", { class: "quiet" }, `Root distances, as measured for the model ${name}.`),
    h("table", { class: "table" }, h("caption", { class: "hidden" }, "Bounds by modality"),
      h("thead", {}, h("tr", {}, ["Bound", "Texts", "Pictures", "Meaning"].map((each) => h("th", { scope: "col" }, each)))),
      h("tbody", {}, rows.map(([bound, about, values]) => h("tr", {}, h("th", { scope: "row" }, bound),
        h("td", { class: "figure" }, distance(values.text)), h("td", { class: "figure" }, distance(values.image)), h("td", { class: "quiet" }, about))))));
}

// -- what if ----------------------------------------------------------------------------------------------------

function trialPanel(policy) {
  let picture = null;
  const input = h("input", { type: "text", id: "trial", autocomplete: "off", maxlength: "2000", placeholder: "An example query" });
  const choices = Object.keys(policy.roles).map((name) => h("option", { value: name }, name));
  const role = h("select", { id: "trial-role" }, choices.length > 1 && h("option", { value: "" }, "every role"), choices);
  const results = h("div", { "aria-live": "polite" });
  const form = h("form", { class: "drop" });
  const take = takesPictures(form, { taken: ([found]) => { picture = found; input.value = found.name; form.requestSubmit(); }, refused: toast });
  input.addEventListener("input", () => { picture = null; });
  put(form, h("div", { class: "line" }, h("label", { class: "hidden", for: "trial" }, "Example query"), input,
    h("label", { class: "hidden", for: "trial-role" }, "Role"), role, h("button", { type: "submit", class: "primary" }, "Try"), pictureButton(take)));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!picture && !input.value.trim()) return;
    const given = picture ? { image: { url: picture.url } } : { text: input.value.trim() };
    const roles = role.value ? [role.value] : Object.keys(policy.roles);
    try {
      const found = await Promise.all(roles.map((name) => call("POST", "/v1/policy/trial", { body: { ...given, ...(name === policy.role ? {} : { role: name }) } })));
      refill(results, found.map(trialCard));
    } catch (problem) {
      refill(results, h("p", { class: "problem" }, `No verdict: ${problem.message}`));
    }
  });
  return h("section", { class: "panel" }, h("h2", {}, "What if"),
    h("p", { class: "quiet" }, "What each rule says to an example. Nothing is searched or recorded."), form, results);
}

function trialCard({ verdict, findings }) {
  return h("article", { class: "trial" },
    h("h3", {}, verdict.role, " ", actionLabel(verdict.action)),
    h("p", { class: "quiet" }, `${verdict.reason}.`, verdict.message && ` The user is told: “${verdict.message}”`),
    h("ul", { class: "findings" }, findings.map(({ rule, hit, why }) => h("li", { class: hit ? "hit" : "" },
      h("span", { class: "tag" }, hit ? "hit" : "no hit"), h("span", {}, `${rule.action} ${condition(rule)}`, rule.shadow ? " (on trial)" : ""), h("small", { class: "quiet" }, why)))));
}
