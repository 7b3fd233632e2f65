// The page "Map": the collection around its root, and the way of the query.

import { call, picture } from "./api.js";
import { Disk } from "./disk.js";
import { distance, h, refill } from "./dom.js";
import { query } from "./query.js";
import { sharedPanel } from "./search.js";
import { session } from "./session.js";

const MOST = 5000;
const REST = 90;
const PER_PAGE = 12;

export function mapPage() {
  const canvas = h("canvas", { class: "disk", role: "img", "aria-label": "Map of the collection" });
  const disk = new Disk(canvas, { curv: session.policy.model.space.curv ?? 1 });
  const place = h("div", {});
  const problem = h("p", { class: "problem", hidden: true });
  const legend = h("div", { class: "panel" });
  const way = h("div", { class: "panel", hidden: true });
  const card = h("div", { class: "hover", hidden: true, "aria-hidden": "true" });
  const items = itemList();
  const state = { found: null, role: undefined, start: null, path: null };

  const loaded = async () => {
    if (state.role === session.role) return;
    state.role = session.role;
    try {
      state.found = await call("GET", "/v1/map", { query: { role: session.asked, limit: MOST } });
      problem.hidden = true;
    } catch (error) {
      state.role = undefined;
      problem.textContent = error.message;
      problem.hidden = false;
      return;
    }
    disk.show(state.found.points, state.found.limit);
    items.show(state.found.points, state.found.limit);
    follow();
  };

  const follow = () => {
    if (state.found === null) return;
    const modality = query.asked?.kind === "text" || query.asked === null ? "text" : "image";
    const rings = [
      { kind: "trigger", at: state.found.trigger[modality] },
      { kind: "landing", at: state.found.landing.image },
      { kind: "limit", at: state.found.limit.image },
    ];
    disk.circles(rings);
    disk.mark(query.items.map(({ id }) => id));
    refill(legend, legendOf(state.found, rings, modality, disk));
    canvas.setAttribute("aria-label", toldMap(state.found));
    drawWay();
  };

  const drawWay = () => {
    const place = query.place;
    const path = state.start === query.asked ? state.path : null;
    way.hidden = place === null || path === null || path.angle === null;
    disk.way(way.hidden ? null : { angle: path.angle, stops: path.stops.map((stop) => stop.root_distance), ...place });
    if (!way.hidden) refill(way, wayOf(place, path.stops));
  };

  const traverse = async () => {
    const asked = query.asked;
    if (asked === null || query.answer === null || state.start === asked) return drawWay();
    const body = { [asked.kind]: asked.kind === "image" ? { url: asked.value } : asked.value };
    if (session.asked) body.role = session.asked;
    Object.assign(state, { start: asked, path: null });
    const path = await call("POST", "/v1/traverse", { body });
    if (state.start === asked) state.path = path;
    return drawWay();
  };

  let visible = false;
  query.addEventListener("answer", () => { if (visible) { follow(); traverse(); } });
  query.addEventListener("moved", () => { if (visible) drawWay(); });
  session.addEventListener("change", () => { state.start = null; if (visible) loaded(); });
  pointing(canvas, disk, card);

  const whole = h("input", { type: "checkbox", id: "whole", on: { change: () => { disk.whole(whole.checked); follow(); } } });
  return {
    element: h("div", {}, h("h1", { class: "hidden" }, "Map"), place, problem,
      h("div", { class: "map" },
        h("div", { class: "stage" }, canvas, card, h("label", { class: "check" }, whole, "Whole disk, up to infinity")),
        h("div", { class: "aside" }, legend, way)),
      items.element),
    shown() {
      visible = true;
      place.replaceChildren(sharedPanel());
      loaded();
      follow();
      traverse();
    },
    hidden: () => { visible = false; },
  };
}

function toldMap({ points, limit }) {
  const unsafe = points.filter((point) => point.root_distance > limit[point.modality]).length;
  return `Map of the collection: ${points.length - unsafe} items within the limit, ${unsafe} beyond it. The same items are listed below.`;
}

function legendOf(found, rings, modality, disk) {
  const [trigger, landing, limit] = rings.map(({ at }) => distance(at));
  const unsafe = found.points.filter((point) => point.root_distance > found.limit[point.modality]).length;
  const line = (kind, name, value, about) => h("li", {},
    h("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), h("span", {}, h("b", {}, name), " ", value, about && h("small", {}, about)));
  const rim = disk.zoom > 1 ? ` Drawn ${disk.zoom.toFixed(1)} times larger than the whole disk: the rim is at ${distance(disk.rim)}.` : "";
  return [
    h("h2", {}, "What it shows"),
    h("ul", { class: "keys" },
      line("dot safe", "Within the limit", (found.points.length - unsafe).toLocaleString("en"), "items"),
      unsafe > 0 && line("dot unsafe", "Beyond the limit", unsafe.toLocaleString("en"), "items this role may see"),
      found.points.some(({ blurred }) => blurred) && line("dot ring", "Blurred", "", "an open dot"),
      query.items.length > 0 && line("dot marked", "Found", String(query.items.length), "results of the query"),
      line("circle trigger", "Trigger", trigger, modality === "text" ? "text queries beyond it are unsafe" : "picture queries beyond it are unsafe"),
      line("circle landing", "Landing", landing, "where a redirected query for pictures lands"),
      line("circle limit", "Limit", limit, "pictures beyond it are unsafe")),
    h("p", { class: "quiet small" }, `The middle is the root. The farther out, the more unsafe; the direction is what it is about, as two main axes of the collection show it.${rim}`),
    found.more && h("p", { class: "quiet small" }, `Only ${found.points.length.toLocaleString("en")} of the items are drawn.`),
  ];
}

function wayOf({ before, after }, stops) {
  const moved = before > after;
  return [
    h("h2", {}, "The way to the root"),
    h("p", {}, "Query at ", h("b", {}, distance(before)), moved && [", searched at ", h("b", {}, distance(after))], "."),
    h("ol", { class: "stops" }, stops.map(({ caption, root_distance }) => h("li", {},
      h("span", {}, caption === "[ROOT]" ? "the root: nothing in particular" : caption), h("span", { class: "quiet" }, distance(root_distance))))),
  ];
}

// -- pointing at items ---------------------------------------------------------------------------------------

function pointing(canvas, disk, card) {
  let [index, timer] = [-1, 0];
  const leave = () => {
    clearTimeout(timer);
    index = -1;
    card.hidden = true;
    disk.hover(-1);
    canvas.style.cursor = "";
  };
  const over = ({ offsetX, offsetY }) => {
    const found = disk.at(offsetX, offsetY);
    if (found === index) return;
    if (found < 0) return leave();
    index = found;
    disk.hover(found);
    canvas.style.cursor = "pointer";
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const content = await itemCard(disk.points[found]);
      if (index === found) placed(card, canvas, disk.place(found), content);
    }, REST);
  };
  canvas.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") over(event); });
  canvas.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") leave(); });
  canvas.addEventListener("click", (event) => {
    const found = disk.at(event.offsetX, event.offsetY);
    if (event.pointerType === "touch" && found !== index) return found < 0 ? leave() : over(event); // the second tap searches
    if (found >= 0) searchFrom(disk.points[found]);
  });
}

function placed(card, canvas, [x, y], content) {
  refill(card, content);
  card.hidden = false;
  const left = x > canvas.clientWidth / 2;
  card.style.left = left ? "" : `${x + 16}px`;
  card.style.right = left ? `${canvas.clientWidth - x + 16}px` : "";
  card.style.top = `${Math.min(Math.max(y - 60, 0), canvas.clientHeight - 180)}px`;
}

async function itemCard(point) {
  const told = await call("GET", `/v1/items/${point.id}`, { query: { role: session.asked } });
  const content = [];
  if (told.modality === "image") {
    const address = await picture(`/v1/items/${point.id}/thumbnail`, { role: session.asked, blur: told.blurred || null });
    content.push(h("img", { src: address, alt: "" }));
  }
  content.push(h("p", {}, told.caption ?? (told.blurred ? "Blurred by the policy" : "No caption")));
  content.push(h("p", { class: "quiet small" }, `root distance ${distance(point.root_distance)} · click to search from it`));
  return content;
}

async function searchFrom(point) {
  const told = await call("GET", `/v1/items/${point.id}`, { query: { role: session.asked } });
  query.ask({ kind: "item", value: point.id, name: told.caption ?? "a blurred picture" });
}

// -- the same as a list --------------------------------------------------------------------------------------

function itemList() {
  const body = h("div", { class: "rows" });
  const order = h("select", { id: "order" }, h("option", { value: "1" }, "nearest to the root first"), h("option", { value: "-1" }, "farthest first"));
  const pager = h("div", { class: "row" });
  const state = { points: [], limit: {}, page: 0 };
  const element = h("details", { class: "panel list" }, h("summary", {}, "The same as a list"),
    h("div", { class: "row" }, h("label", { for: "order" }, "Order"), order), body, pager);
  const show = () => {
    if (!element.open) return;
    const sorted = [...state.points].sort((a, b) => Number(order.value) * (a.root_distance - b.root_distance));
    const first = state.page * PER_PAGE;
    refill(body, sorted.slice(first, first + PER_PAGE).map((point) => row(point, state.limit)));
    const turn = (by) => () => { state.page += by; show(); };
    refill(pager,
      h("button", { type: "button", class: "plain", disabled: first === 0, on: { click: turn(-1) } }, "Before"),
      h("span", { class: "quiet" }, `${sorted.length ? first + 1 : 0} to ${Math.min(first + PER_PAGE, sorted.length)} of ${sorted.length.toLocaleString("en")}`),
      h("button", { type: "button", class: "plain", disabled: first + PER_PAGE >= sorted.length, on: { click: turn(1) } }, "Next"));
  };
  order.addEventListener("change", () => { state.page = 0; show(); });
  element.addEventListener("toggle", show);
  return { element, show: (points, limit) => { Object.assign(state, { points, limit, page: 0 }); show(); } };
}

function row(point, limit) {
  const caption = h("span", {}, "…");
  const unsafe = point.root_distance > limit[point.modality];
  const button = h("button", { type: "button", class: "item-row", on: { click: () => { searchFrom(point); scrollTo(0, 0); } } },
    h("span", { class: `swatch dot ${unsafe ? "unsafe" : "safe"}`, "aria-hidden": "true" }), caption,
    h("span", { class: "quiet" }, `${distance(point.root_distance)}, ${unsafe ? "beyond" : "within"} the limit`));
  call("GET", `/v1/items/${point.id}`, { query: { role: session.asked } }).then(
    (told) => { caption.textContent = told.caption ?? "A blurred picture"; },
    (problem) => { caption.textContent = problem.message; });
  return button;
}
