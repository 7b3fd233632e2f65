// The page "Review": one case at a time, hidden until it is revealed on purpose, decided with a reason.

import { call, picture, Problem, text as fetchText } from "./api.js";
import { distance, h, icon, percent, refill, toast } from "./dom.js";
import { actionLabel } from "./verdict.js";

const KEYS = [["N", "next case"], ["R", "reveal or hide"], ["G", "grey or colours"], ["U", "uphold"], ["O", "overturn"], ["Ctrl Enter", "decide"]];

export function reviewPage() {
  const waiting = h("p", { class: "lead", "aria-live": "polite" });
  const desk = h("div", {});
  const done = h("ol", { class: "done" });
  const past = h("section", { hidden: true }, h("h2", {}, "Decided by you in this tab"), done);
  let current = null;
  let visible = false;

  const next = async () => {
    const { case: found, waiting: count } = await call("POST", "/v1/reviews/next", { body: {} });
    waiting.textContent = count === 0 ? "Nothing waits." : `${count} ${count === 1 ? "case waits" : "cases wait"}, this one included.`;
    current = found === null ? null : caseCard(found, decided);
    refill(desk, current === null ? h("p", { class: "empty" }, "No case waits for you. A case is opened when the policy answers “review”, or somebody appeals.") : current.element);
    current?.element.focus({ preventScroll: true });
  };
  const decided = async (found, decision, reason) => {
    await call("POST", `/v1/reviews/${encodeURIComponent(found.id)}/decision`, { body: { decision, reason } });
    past.hidden = false;
    done.prepend(h("li", {}, h("b", {}, decision === "uphold" ? "Upheld" : "Overturned"), ` · ${found.modality} · “${reason}” `, h("small", { class: "quiet" }, found.request_id)));
    toast("Recorded.");
    await next();
  };

  addEventListener("keydown", (event) => {
    if (!visible || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return void current?.submit();
    if (event.ctrlKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "radio") return;
    const run = { n: next, r: () => current?.reveal(), g: () => current?.grey(), u: () => current?.choose("uphold"), o: () => current?.choose("overturn") }[event.key.toLowerCase()];
    if (!run) return;
    event.preventDefault();
    run();
  });
  return {
    element: h("div", { class: "review" }, h("h1", {}, "Review"), waiting,
      h("p", { class: "keys-row" }, KEYS.map(([key, what]) => h("span", {}, h("kbd", {}, key), ` ${what}`))), desk, past),
    shown() {
      visible = true;
      if (current === null) next();
    },
    hidden: () => { visible = false; },
  };
}

function caseCard(found, decided) {
  const content = h("div", { class: "content grey" });
  const state = { revealed: false };
  const revealButton = h("button", { type: "button", class: "plain" });
  const show = async () => {
    refill(revealButton, icon(state.revealed ? "hidden" : "eye"), state.revealed ? "Hide" : "Reveal");
    try {
      refill(content, await contentOf(found, state.revealed));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      refill(content, h("p", { class: "problem" }, problem.message));
    }
  };
  const reveal = () => { state.revealed = !state.revealed; return show(); };
  const greyButton = h("button", { type: "button", class: "plain", "aria-pressed": "true" }, "Greyscale");
  const grey = () => greyButton.setAttribute("aria-pressed", String(content.classList.toggle("grey")));
  revealButton.addEventListener("click", reveal);
  greyButton.addEventListener("click", grey);

  const reason = h("textarea", { id: "reason", rows: "2", maxlength: "2000", required: true, placeholder: "What you saw, and why" });
  const choice = (value, label, about) => h("label", { class: "choice" }, h("input", { type: "radio", name: "decision", value, required: true }), h("b", {}, label), h("span", { class: "quiet small" }, about));
  const problem = h("p", { class: "problem", hidden: true, role: "alert" });
  const form = h("form", { class: "decide" },
    h("fieldset", {}, h("legend", {}, "Decision"), choice("uphold", "Uphold", "the verdict stands"), choice("overturn", "Overturn", "it should be let through")),
    h("label", { for: "reason" }, "Reason"), reason, problem,
    h("button", { type: "submit", class: "primary" }, "Decide"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await decided(found, new FormData(form).get("decision"), reason.value.trim());
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  });
  const element = h("article", { class: "panel case", tabindex: "-1", "aria-label": "Case" },
    h("div", { class: "two" },
      h("section", {}, h("div", { class: "row" }, revealButton, greyButton), content),
      h("section", {}, facts(found), form)));
  show();
  return {
    element, reveal, grey,
    submit: () => form.requestSubmit(),
    choose(value) {
      form.elements.decision.value = value;
      reason.focus();
    },
  };
}

async function contentOf(found, revealed) {
  if (found.item_id !== null) {
    const query = revealed ? { reveal: true } : { blur: true };
    return h("img", { src: await picture(`/v1/items/${found.item_id}/thumbnail`, { side: 512, ...query }), alt: revealed ? "The picture" : "The picture, blurred" });
  }
  const path = `/v1/reviews/${encodeURIComponent(found.id)}/content`;
  if (found.modality === "text") {
    const words = await fetchText(path, revealed ? { query: { reveal: true } } : {});
    if (revealed) return h("blockquote", {}, words);
    return [h("p", { class: "held" }, "A text. It is shown when you reveal it."), h("p", { class: "masked", "aria-hidden": "true" }, words)];
  }
  return h("img", { src: await picture(path, revealed ? { reveal: true } : {}), alt: revealed ? "The picture" : "The picture, blurred" });
}

function facts(found) {
  const categories = Object.entries(found.categories).sort((a, b) => b[1] - a[1]).slice(0, 4);
  const line = (name, ...value) => [h("dt", {}, name), h("dd", {}, value)];
  return h("dl", { class: "facts" },
    line("Verdict", actionLabel(found.action)),
    line("Because", found.reason),
    line("Root distance", distance(found.score)),
    categories.length > 0 && line("Categories", categories.map(([name, value]) => `${name} ${percent(value)}`).join(", ")),
    line("Opened", new Date(found.created * 1000).toLocaleString()),
    found.turns.map((turn) => line(turn.kind === "appeal" ? "Appeal" : "Before", turn.decision ? `${turn.decision}: ` : "", turn.reason)),
    line("Id", h("small", {}, found.request_id)));
}
