// The grid: cards that keep their pictures when the order changes, and move to their new places.

import { call, picture } from "./api.js";
import { distance, h, icon, put, toast } from "./dom.js";
import { session } from "./session.js";

const GLIDE = { duration: 260, easing: "cubic-bezier(.2,.7,.2,1)" };

/** A grid of items. `similar` is called with an item whose likes are looked for. */
export function grid({ similar }) {
  const list = h("ol", { class: "grid", "aria-label": "Results" });
  const cards = new Map();

  const show = (items) => {
    const before = new Map([...cards].map(([name, card]) => [name, card.getBoundingClientRect()]));
    const names = new Set(items.map(cardName));
    for (const [name, card] of cards) {
      if (names.has(name)) continue;
      card.remove();
      cards.delete(name);
    }
    for (const item of items) {
      const name = cardName(item);
      if (!cards.has(name)) cards.set(name, cardOf(item, similar));
      list.append(cards.get(name));
    }
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) glide(cards, before);
  };
  return { element: list, show };
}

// The role is in the name: what one role was shown is never kept for another.
const cardName = (item) => `${session.role} ${item.id} ${item.blurred}`;

function glide(cards, before) {
  for (const [name, card] of cards) {
    const from = before.get(name);
    const to = card.getBoundingClientRect();
    if (!from) {
      card.animate([{ opacity: 0 }, { opacity: 1 }], GLIDE);
    } else if (from.x !== to.x || from.y !== to.y) {
      card.animate([{ transform: `translate(${from.x - to.x}px, ${from.y - to.y}px)` }, { transform: "none" }], GLIDE);
    }
  }
}

function cardOf(item, similar) {
  const frame = h("div", { class: "frame" });
  const caption = h("p", { class: "caption" });
  const meta = h("p", { class: "meta" }, item.score === null ? "not scored" : ["root distance ", h("b", {}, distance(item.score))]);
  const like = h("button", { type: "button", class: "link like" }, "More like this");
  const card = h("li", { class: "card", dataset: { id: item.id } }, frame, caption, h("div", { class: "foot" }, meta, like));
  like.addEventListener("click", () => similar({ id: item.id, name: caption.textContent, blurred: item.blurred }));
  fill(card, item, { revealed: false });
  return card;
}

async function fill(card, item, { revealed, focus = false }) {
  const frame = card.querySelector(".frame");
  const caption = card.querySelector(".caption");
  const hidden = item.blurred && !revealed;
  card.classList.toggle("blurred", hidden);
  const role = session.asked;
  try {
    const told = revealed ? await call("GET", `/v1/items/${item.id}`, { query: { role, reveal: true } }) : item;
    caption.textContent = hidden ? "Blurred by the policy" : told.caption ?? "No caption";
    caption.classList.toggle("quiet", hidden || !told.caption);
    card.querySelector(".like").setAttribute("aria-label", hidden ? "More like this blurred picture" : `More like: ${caption.textContent}`);
    frame.replaceChildren();
    if (item.modality === "image") {
      const address = await picture(`/v1/items/${item.id}/thumbnail`, revealed ? { role, reveal: true } : { role, blur: hidden || null });
      put(frame, h("img", { src: address, alt: hidden ? "A blurred picture" : caption.textContent }));
    } else put(frame, h("p", { class: "text-item" }, hidden ? "" : told.caption));
    if (item.blurred) put(frame, revealButton(card, item, revealed, focus));
  } catch (problem) {
    if (revealed) {
      toast(problem.message);
      fill(card, item, { revealed: false, focus });
    } else put(frame, h("p", { class: "problem" }, "No picture: ", problem.message));
  }
}

function revealButton(card, item, revealed, focus) {
  const label = revealed ? "Blur again" : "Reveal";
  const button = h("button", { type: "button", class: "reveal" }, icon(revealed ? "hidden" : "eye"), label);
  button.addEventListener("click", () => fill(card, item, { revealed: !revealed, focus: true }));
  if (focus) queueMicrotask(() => button.focus());
  return button;
}
