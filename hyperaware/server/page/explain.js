// Explanations: what the model reacts to in a text or a picture.

import { distance, h } from "./dom.js";

const SIDE = 320;

/** What /v1/explain answered, as elements. */
export async function explanation(asked, found) {
  return [
    h("h3", {}, "What the model reacts to"),
    found.words.length > 0 && words(found.words),
    found.occlusion && (await heat(asked, found.occlusion)),
    h("div", { class: "two" }, found.stops.length > 0 && stops(found.stops), found.nearest.length > 0 && nearest(found.nearest)),
    h("p", { class: "quiet small" }, "That is what the model reacts to, which is not always what a person would name."),
  ];
}

function words(found) {
  const most = Math.max(...found.map(({ contribution }) => Math.abs(contribution)));
  const parts = found.map(({ text, contribution }) => {
    const share = most > 0 ? contribution / most : 0;
    const word = h("span", { class: `word ${share > 0.05 ? "more" : share < -0.05 ? "less" : ""}` }, h("span", {}, text), h("small", {}, signed(contribution)));
    word.style.setProperty("--share", `${Math.round(Math.abs(share) * 70)}%`);
    return [word, " "];
  });
  return [
    h("p", { class: "words" }, parts),
    h("p", { class: "quiet small" }, "Below each word: how much farther from the root the text lies because of it. Plus is more unsafe."),
  ];
}

const signed = (value) => (Math.abs(value) < 0.0005 ? "0" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`);

async function heat(asked, rows) {
  const image = new Image();
  image.src = asked.value;
  await image.decode();
  const side = Math.min(image.naturalWidth, image.naturalHeight);
  const canvas = h("canvas", { width: String(SIDE), height: String(SIDE), class: "heat", role: "img", "aria-label": heatTold(rows) });
  const context = canvas.getContext("2d");
  context.drawImage(image, (image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2, side, side, 0, 0, SIDE, SIDE);
  context.drawImage(overlay(rows), 0, 0, SIDE, SIDE);
  const most = Math.max(...rows.flat());
  return h("figure", { class: "heat-figure" }, canvas, h("figcaption", { class: "quiet small" },
    most > 0
      ? `The brighter, the more a place makes the picture unsafe: covering the brightest one brings it ${distance(most)} nearer to the root. This is the square in the middle that the model sees.`
      : "No place makes the picture more unsafe."));
}

function heatTold(rows) {
  const flat = rows.flat();
  const place = flat.indexOf(Math.max(...flat));
  const [row, column] = [Math.floor(place / rows[0].length), place % rows[0].length];
  const third = (index, count, names) => names[Math.min(2, Math.floor((3 * index) / count))];
  return `Which places make the picture unsafe: most of all the ${third(row, rows.length, ["top", "middle", "bottom"])} ${third(column, rows[0].length, ["left", "centre", "right"])}.`;
}

/** A veil over what matters little: one pixel a cell, smoothed when it is drawn large. */
function overlay(rows) {
  const most = Math.max(...rows.flat());
  const canvas = h("canvas", { width: String(rows[0].length), height: String(rows.length) });
  const context = canvas.getContext("2d");
  rows.forEach((row, y) => row.forEach((value, x) => {
    context.fillStyle = `rgb(10 14 22 / ${most > 0 ? 0.82 * (1 - Math.max(0, value / most)) : 0.82})`;
    context.fillRect(x, y, 1, 1);
  }));
  return canvas;
}

function stops(found) {
  return h("section", {}, h("h4", {}, "On the way to the root"),
    h("ol", { class: "stops" }, found.map(({ caption, root_distance }) => h("li", {},
      h("span", {}, caption === "[ROOT]" ? "the root: nothing in particular" : caption), h("span", { class: "quiet" }, distance(root_distance))))));
}

function nearest(found) {
  return h("section", {}, h("h4", {}, "Nearest concepts"),
    h("ul", { class: "stops" }, found.map(({ category, prompt, cosine }) => h("li", {},
      h("span", {}, prompt, h("small", { class: "quiet" }, ` ${category}`)), h("span", { class: "quiet" }, cosine.toFixed(2))))));
}
