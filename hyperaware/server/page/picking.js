// Pictures that somebody drops, pastes or chooses, as data: URLs of the file as it is.

import { h, icon } from "./dom.js";

const MOST_BYTES = 10 * 2 ** 20;

async function asURL(file) {
  if (file.size > MOST_BYTES) throw new Error(`${file.name} has ${(file.size / 2 ** 20).toFixed(1)} MiB; at most 10 are taken.`);
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result));
    reader.addEventListener("error", () => failed(reader.error));
    reader.readAsDataURL(file);
  });
}

/** Let `area` take pictures by drop and paste. `taken` gets [{name, url}], `refused` a sentence. */
export function takesPictures(area, { taken, refused }) {
  const take = async (files) => {
    const pictures = [...files].filter((file) => file.type.startsWith("image/"));
    if (!pictures.length) return refused("That is no picture.");
    try {
      return taken(await Promise.all(pictures.map(async (file) => ({ name: file.name, url: await asURL(file) }))));
    } catch (error) {
      return refused(error.message);
    }
  };
  const has = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  area.addEventListener("dragover", (event) => {
    if (!has(event)) return;
    event.preventDefault();
    area.classList.add("dropping");
  });
  area.addEventListener("dragleave", () => area.classList.remove("dropping"));
  area.addEventListener("drop", (event) => {
    area.classList.remove("dropping");
    if (!has(event)) return;
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  area.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    take(event.clipboardData.files);
  });
  return take;
}

/** A button that opens the file dialog, and the input behind it. */
export function pictureButton(take, { label = "Picture", multiple = false } = {}) {
  const input = h("input", { type: "file", accept: "image/*", multiple, class: "hidden", tabindex: "-1", "aria-hidden": "true" });
  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
  const button = h("button", { type: "button", class: "plain", on: { click: () => input.click() } }, icon("picture"), label);
  return [button, input];
}
