// What is asked, and what was answered: one query, which the grid and the map both show.

import { call } from "./api.js";
import { session } from "./session.js";

const PAGE = 24;
const SETTLED = 90;

/** Events: "asked" when the question changes, "moved" when the slider does, "answer" and "problem" when it is over. */
class Query extends EventTarget {
  /** {kind: "text" | "image" | "item", value, name}; null before anything was asked. */
  asked = null;
  /** Where the slider stands; null where the role's own rule decides. */
  strength = null;
  answer = null;
  items = [];
  problem = null;
  busy = false;
  #stop = new AbortController();
  #timer = 0;

  constructor() {
    super();
    session.addEventListener("change", () => {
      // What one role was shown goes at once; and another one may not see the item that was asked for.
      const asked = this.asked?.kind === "item" ? null : this.asked;
      this.clear();
      if (asked) this.ask(asked);
    });
  }

  /** Ask something new. The slider goes back to what the role's rule says. */
  ask(asked) {
    this.asked = asked;
    this.strength = null;
    this.answer = null;
    this.items = [];
    this.#tell("asked");
    return this.#run();
  }

  clear() {
    this.#abort();
    Object.assign(this, { asked: null, strength: null, answer: null, items: [], problem: null, busy: false });
    this.#tell("asked");
    this.#tell("answer");
  }

  /** Move the query; the search follows when the slider rests for a moment, and a stale one is given up. */
  move(strength) {
    this.strength = strength;
    this.#tell("moved");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), SETTLED);
  }

  /** The next page of the same answer. */
  async more() {
    const found = await this.#search(this.items.length, this.#abort());
    if (!found) return;
    this.items = [...this.items, ...found.items];
    this.answer = { ...this.answer, more: found.more };
    this.#tell("answer");
  }

  /** Whether the slider can change anything: the query is above its bound, and the rule leaves room. */
  get movable() {
    const verdict = this.answer?.verdict;
    if (!verdict || verdict.score === null || verdict.bound === null) return false;
    return verdict.score > verdict.bound && ["allow", "blur", "redirect"].includes(verdict.action) && session.least < 1;
  }

  /** Where the query stands now, as the server will answer: root distance before, landing, and after. */
  get place() {
    if (this.answer === null || this.answer.root_distance_before === null) return null;
    const before = this.answer.root_distance_before;
    const landing = session.policy.model.landing.image;
    const strength = this.strength ?? this.answer.verdict.strength;
    const moves = this.movable || this.answer.verdict.action === "redirect";
    const after = moves ? Math.min(before, (1 - strength) * before + strength * landing) : this.answer.root_distance_after;
    return { before, landing, after };
  }

  async #run() {
    const found = await this.#search(0, this.#abort());
    if (!found) return;
    this.answer = found;
    this.items = found.items;
    this.#tell("answer");
  }

  async #search(offset, signal) {
    this.busy = true;
    this.problem = null;
    this.#tell("busy");
    const { kind, value } = this.asked;
    const body = { k: PAGE, offset, [kind]: kind === "image" ? { url: value } : value };
    if (session.asked) body.role = session.asked;
    if (this.strength !== null && this.strength > session.least) body.strength = this.strength;
    try {
      const found = await call("POST", "/v1/search", { body, signal });
      this.busy = false;
      return found;
    } catch (problem) {
      if (problem.name === "AbortError") return null;
      Object.assign(this, { busy: false, problem, answer: null, items: [] });
      this.#tell("problem");
      return null;
    }
  }

  #abort() {
    clearTimeout(this.#timer);
    this.#stop.abort();
    this.#stop = new AbortController();
    return this.#stop.signal;
  }

  #tell(event) {
    this.dispatchEvent(new Event(event));
  }
}

export const query = new Query();
