// The frame: pages by the part of the address behind "#", role, key and colours.

import { key, Problem } from "./api.js";
import { h, icon, refill, toast } from "./dom.js";
import { session } from "./session.js";
import { mapPage } from "./map.js";
import { moderatePage } from "./moderate.js";
import { policyPage } from "./policy.js";
import { reviewPage } from "./review.js";
import { searchPage } from "./search.js";
import { statusPage } from "./status.js";

const PAGES = [
  { name: "search", title: "Search", make: searchPage, scope: "search" },
  { name: "map", title: "Map", make: mapPage, scope: "search" },
  { name: "moderate", title: "Moderate", make: moderatePage, scope: "moderate" },
  { name: "review", title: "Review", make: reviewPage, scope: "review" },
  { name: "policy", title: "Policy", make: policyPage, scope: null },
  { name: "status", title: "Status", make: statusPage, scope: null },
];
const THEMES = { auto: "Colours: as the system", light: "Colours: light", dark: "Colours: dark" };
const POLL = 1000;

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const made = new Map();
let shown = null;

function show({ focus = true } = {}) {
  const page = PAGES.find(({ name }) => `#${name}` === location.hash) ?? PAGES[0];
  if (session.policy === null) return;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.hash === `#${page.name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${page.title} · hyperaware`;
  shown?.hidden?.();
  if (!made.has(page.name)) made.set(page.name, allowed(page));
  shown = made.get(page.name);
  refill(main, shown.element);
  shown.shown?.();
  if (focus) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function allowed(page) {
  if (page.scope === null || session.may(page.scope)) return page.make();
  const text = `This key may not do this: it lacks the scope “${page.scope}”.`;
  return { element: h("section", { class: "empty" }, h("h1", {}, page.title), h("p", {}, text)) };
}

// -- the tools at the top right --------------------------------------------------------------------------

function tools() {
  refill(document.getElementById("tools"), session.policy === null ? null : roleSwitch(), keyButton(), themeButton());
}

function roleSwitch() {
  const { policy, role } = session;
  if (!policy.switches) return h("span", { class: "role" }, "Role ", h("strong", {}, role));
  const options = Object.keys(policy.roles).map((name) => h("option", { value: name, selected: name === role }, name));
  const chosen = h("select", { id: "role", on: { change: () => session.as(chosen.value) } }, options);
  return h("label", { class: "role" }, h("span", {}, "Role"), chosen);
}

function keyButton() {
  const has = Boolean(key.get());
  const label = has ? "API key: change or forget it" : "Enter an API key";
  const button = h("button", { class: "tool", type: "button", "aria-label": label, title: label }, icon("key"));
  button.classList.toggle("on", has);
  button.addEventListener("click", () => askForKey());
  return button;
}

function themeButton() {
  const theme = document.documentElement.dataset.chosen;
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(theme) + 1) % names.length];
  const drawing = { auto: "auto", light: "sun", dark: "moon" }[theme];
  const button = h("button", { class: "tool", type: "button", id: "theme" }, icon(drawing));
  button.setAttribute("aria-label", THEMES[theme]);
  button.title = THEMES[theme];
  button.addEventListener("click", () => {
    localStorage.setItem("hyperaware.theme", next);
    dispatchEvent(new Event("themechosen"));
    tools();
    document.getElementById("theme").focus();
  });
  return button;
}

function askForKey(why = null) {
  if (document.querySelector("dialog[open]")) return;
  const input = h("input", { type: "password", id: "key", autocomplete: "off", spellcheck: "false" });
  const close = () => dialog.close();
  const use = (value) => { key.set(value); location.reload(); };
  const dialog = h("dialog", { class: "sheet", "aria-labelledby": "key-title", on: { close: () => dialog.remove() } },
    h("form", { method: "dialog", on: { submit: () => { if (input.value.trim()) use(input.value.trim()); } } },
      h("h2", { id: "key-title" }, "API key"),
      why && h("p", { class: "problem" }, why),
      h("p", { class: "quiet" }, "It stays in this tab and is gone when you close it."),
      h("label", { for: "key" }, "Key"), input,
      h("div", { class: "row end" },
        key.get() && h("button", { type: "button", class: "plain", on: { click: () => use(null) } }, "Forget it"),
        h("button", { type: "button", class: "plain", on: { click: close } }, "Cancel"),
        h("button", { type: "submit", class: "primary" }, "Use this key"))));
  document.body.append(dialog);
  dialog.showModal();
}

// -- beginning ----------------------------------------------------------------------------------------------

function say(text) {
  banner.hidden = text === null;
  banner.textContent = text ?? "";
}

async function begin() {
  try {
    await session.load();
    say(null);
    tools();
    show({ focus: false });
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    tools();
    if (problem.status === 401) {
      say("This server needs an API key.");
      askForKey(key.get() ? problem.message : null);
    } else if (problem.status === 503 || problem.status === 0) {
      say(problem.message);
      setTimeout(begin, POLL);
    } else say(problem.message);
  }
}

refill(document.getElementById("nav"), PAGES.map(({ name, title }) => h("a", { href: `#${name}` }, title)));
addEventListener("hashchange", () => show());
addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof Problem) {
    event.preventDefault();
    toast(event.reason.message);
  }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
begin();
