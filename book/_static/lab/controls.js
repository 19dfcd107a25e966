// The controls of a laboratory: they change settings, and show those that others have changed.
import { make } from "./dom.js";
import { facts, isNetwork, megabytes, methods, TRAINED, weight } from "./facts.js";
import { fullScale, SCALE } from "./pictures.js";
import { GAIN, SLIDERS } from "./settings.js";

/** @typedef {import("./settings.js").Settings} Settings */
/**
 * What the controls do besides changing settings.
 * @typedef {object} Actions
 * @property {string} id
 * @property {string[]} offered methods
 * @property {(changes: Partial<Settings>) => void} set
 * @property {() => void} start
 * @property {(file: File) => void} take
 * @property {() => void} save
 * @property {() => void} link
 * @property {() => void} wide
 * @property {() => void} full
 * @property {HTMLElement} chooser of the square
 */

/** A slider with its name and its value. @param {Actions} actions */
function slider({ id, set }, name, { text, unit, ...range }) {
  const output = make("output", { for: `${id}-${name}` });
  const input = make("input", { type: "range", id: `${id}-${name}`, ...range,
    oninput: () => set({ [name]: +input.value }) });
  const label = make("label", { for: input.id, text });
  const show = (/** @type {Settings} */ settings) => {
    input.value = settings[name];
    output.textContent = `${settings[name]}${unit}`;
    input.setAttribute("aria-valuetext", output.textContent);
  };
  return { root: make("div", { class: "lab-slider" }, label, output, input), show };
}

/** One of several values: value, text and, where that is short, words. @param {Actions} actions */
function choices({ id, set }, name, legend, ways) {
  const inputs = ways.map(([value, , words = false]) => make("input", { type: "radio", value,
    name: `${id}-${name}`, "aria-label": words, onchange: () => set({ [name]: value }) }));
  const labels = ways.map(([, text], k) => make("label", {}, inputs[k], make("span", { text })));
  const show = (/** @type {Settings} */ settings) => {
    for (const input of inputs) input.checked = input.value === settings[name];
  };
  const root = make("fieldset", { class: "lab-choice" },
    make("legend", { class: "lab-hidden", text: legend }), ...labels);
  return { root, show };
}

/** The image: a menu of samples, and the reader's own. @param {Actions} actions */
function images({ id, set, take, chooser }) {
  const sample = ({ name, title }) => make("option", { value: name, text: title });
  const own = make("option", { value: "own", text: "Your image", hidden: true, disabled: true });
  const menu = make("select", { id: `${id}-image`, onchange: () => set({ image: menu.value }) },
    ...facts.samples.map(sample), own);
  const file = (text, name, more) => {
    const chosen = () => {
      if (input.files?.length) take(input.files[0]);
      input.value = ""; // the same file may be chosen again
    };
    const kind = { type: "file", accept: "image/*", class: name };
    const input = make("input", { ...kind, ...more, onchange: chosen });
    return make("label", { class: `lab-button ${name}-label` }, input, text);
  };
  const show = (/** @type {Settings} */ settings) => {
    if (settings.image === "own") own.hidden = own.disabled = false;
    menu.value = settings.image;
  };
  const root = make("div", { class: "lab-image" },
    make("label", { class: "lab-hidden", for: menu.id, text: "Image" }), menu,
    file("Your own …", "lab-file", {}),
    file("Photograph", "lab-camera", { capture: "environment" }),
    make("p", { class: "lab-hint", text: "or drop it here, or paste it" }), chooser);
  return { root, show };
}

/** Which methods are at work, and what the classical ones are told. @param {Actions} actions */
function ticks({ offered, set }) {
  const boxes = offered.map((key) => make("input", { type: "checkbox", value: key, onchange: () =>
    set({ methods: boxes.filter((box) => box.checked).map((box) => box.value) }) }));
  const labels = offered.map((key, k) => {
    const size = isNetwork(key) ? ` (${megabytes(weight(key))})` : "";
    return make("label", {}, boxes[k], ` ${methods.get(key)?.title}`,
      make("span", { class: "lab-size", text: size }));
  });
  const told = make("input", { type: "checkbox", onchange: () => set({ told: told.checked }) });
  const show = (/** @type {Settings} */ settings) => {
    for (const box of boxes) box.checked = settings.methods.includes(box.value);
    told.checked = settings.told;
  };
  const root = make("div", {},
    make("fieldset", { class: "lab-methods" }, make("legend", { text: "Methods" }), ...labels));
  const words = " Tell the classical methods which blur and noise level is set";
  if (!offered.every(isNetwork)) root.append(make("label", { class: "lab-told" }, told, words));
  return { root, show };
}

/** Everything that decides what is computed, in one column. @param {Actions} actions */
export function controls(actions) {
  const { set, start } = actions;
  const parts = [images(actions),
    ...Object.entries(SLIDERS).map(([name, range]) => slider(actions, name, range)),
    ticks(actions)];
  const [image, ...rest] = parts.map(({ root }) => root), ticked = rest.pop();
  const button = make("button", { type: "button", class: "lab-start", onclick: start });
  const noise = make("button", { type: "button", text: "New noise", class: "lab-noise" });
  const home = make("button", { type: "button", text: "Trained values",
    onclick: () => set({ ...TRAINED }) });
  let seed = 1;
  noise.addEventListener("click", () => set({ seed: seed + 1 }));
  const show = (/** @type {Settings} */ settings, /** @type {boolean} */ live) => {
    seed = settings.seed;
    for (const part of parts) part.show(settings);
    const wanted = settings.methods.filter(isNetwork);
    const bytes = wanted.reduce((sum, key) => sum + weight(key), facts.runtime.bytes);
    const cost = wanted.length ? ` (fetches ${megabytes(bytes)} once)` : "";
    button.textContent = `Reconstruct${cost}`;
    button.hidden = live;
  };
  const content = make("div", { class: "lab-drawer", id: `${actions.id}-drawer` }, image, ...rest,
    make("div", { class: "lab-row" }, noise, home), ticked ?? "", button);
  const handle = make("button", { type: "button", class: "lab-handle", "aria-expanded": "false",
    "aria-controls": content.id, text: "Controls", onclick: () => {
      const open = handle.getAttribute("aria-expanded") !== "true";
      handle.setAttribute("aria-expanded", `${open}`);
    } });
  return { root: make("div", { class: "lab-controls" }, handle, content), show };
}

/** How the results are shown, in one row. @param {Actions} actions */
export function viewing(actions) {
  const shows = choices(actions, "show", "Show", [["images", "images"], ["errors", "errors"]]);
  const layouts = choices(actions, "layout", "Panels",
    [["fit", "all"], ["2", "2", "2 columns"], ["4", "4", "4 columns"], ["large", "large"]]);
  const gain = slider(actions, "gain", { text: "Gain", unit: "", ...GAIN });
  const button = (text, onclick, name = "") =>
    make("button", { type: "button", text, onclick, class: name });
  const scale = make("p", { class: "lab-legend", hidden: true });
  const bar = make("span", { class: "lab-scale" });
  bar.style.background = SCALE;
  const root = make("div", { class: "lab-viewing" }, shows.root, gain.root, layouts.root,
    make("span", { class: "lab-row" }, button("Wide", actions.wide, "lab-roomy"),
      button("Full screen", actions.full), button("Save", actions.save),
      button("Link", actions.link)));
  const show = (/** @type {Settings} */ settings) => {
    for (const part of [shows, layouts, gain]) part.show(settings);
    const errors = settings.show === "errors", full = fullScale(settings.gain);
    gain.root.hidden = !errors;
    const output = gain.root.querySelector("output");
    if (output) output.textContent = `× ${2 ** settings.gain}`;
    scale.hidden = !errors;
    const digits = full < 0.1 ? 3 : 2;
    const end = full.toFixed(digits);
    scale.replaceChildren(`too dark by ${end} `, bar, ` too bright by ${end}; all on one scale`);
  };
  return { root, scale, show };
}
