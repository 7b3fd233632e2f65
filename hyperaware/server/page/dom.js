// Elements from code: no markup is ever made from a string, so that no caption can become one.

/** An element. Properties: class, dataset, on (listeners by event), anything else an attribute; true is bare, null is none. */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** An element of SVG. */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  put(element, ...children);
  return element;
}

/** Append nodes, texts and lists of them; what is null or false is left out. */
export function put(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child.nodeType ? child : String(child));
  }
}

/** Put children in place of what is there. */
export function refill(element, ...children) {
  element.replaceChildren();
  put(element, ...children);
}

const ICONS = {
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14Zm5 12 5 5",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 2-2 5 5M15.5 9.5h.01",
  close: "M6 6l12 12M18 6 6 18",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12Zm10-3a3 3 0 1 0 0 6 3 3 0 0 0 0-6Z",
  hidden: "M3 3l18 18M10 5.3A9 9 0 0 1 12 5c6 0 10 7 10 7a18 18 0 0 1-3 3.7M6.5 7A18 18 0 0 0 2 12s4 7 10 7a10 10 0 0 0 4.6-1.2",
  key: "M8 11a4 4 0 1 0 0 8 4 4 0 0 0 0-8Zm3 1 9-9M17 6l3 3M14 9l2 2",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M19 5l-1.4 1.4M6.4 17.6 5 19",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5Z",
  auto: "M12 3a9 9 0 1 0 0 18ZM12 3a9 9 0 0 1 0 18",
};

/** A line drawing that says nothing by itself: the button around it has a label. */
export function icon(name) {
  const path = svg("path", { d: ICONS[name] });
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, path);
}

let last = 0;
/** An id that no other element has. */
export const unique = (name) => `${name}-${++last}`;

/** A root distance as it is shown everywhere. */
export const distance = (value) => (value === null || value === undefined ? "none" : value.toFixed(3));

/** A probability as it is shown everywhere: never "100 %" or "0 %" by rounding alone. */
export function percent(value) {
  if (value > 0 && value < 0.005) return "< 1 %";
  if (value < 1 && value > 0.995) return "> 99 %";
  return `${Math.round(value * 100)} %`;
}

/** One line for a while, read out by screen readers. */
export function toast(text) {
  const line = h("p", { class: "toast" }, text);
  document.getElementById("toasts").append(line);
  setTimeout(() => line.remove(), 5000);
}
