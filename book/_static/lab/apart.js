// A UNet taken apart: its maps where they are computed, a switch on every way into the decoder,
// and what the network answers. One block is selected: its channels and its field are shown.
import { make } from "./dom.js";
import { decibel, title } from "./facts.js";
import { Field } from "./field.js";
import { draw } from "./maps.js";
import { Panels } from "./panels.js";
import { errorMap, fullScale, SCALE, seen as picture } from "./pictures.js";

const GAIN = 2; // of the error map, as a power of two
const [COLUMNS, ROWS] = [4, 2]; // of channels that are shown of the selected block
const HELP = "Images. Arrow keys move a pixel over all of them, and with it the square that the "
  + "selected block sees.";

/** What a switch turns: its words, short and whole. @param {string} name @param {string[]} maps */
function words(name, maps) {
  const [step, part] = name.split("_"), level = step.slice(3);
  const below = maps[maps.indexOf(step) - 1]; // what is computed just before comes up
  return part === "skip" ? [`skip ${level}`, `Skip of level ${level}`]
    : [below, `What comes up from ${below}`];
}

export class Apart {
  /** @param {import("./inside.js").Inside} inside */
  constructor(inside) {
    this.inside = inside;
    this.selected = "bottleneck";
    /** @type {import("./inside.js").Seen | null} */
    this.seen = null;
    this.levels = inside.maps.filter((name) => name.startsWith("enc")).length;
    this.field = new Field(() => this.panels.draw(), 2 ** this.levels);
    this.panels = new Panels(this.field, HELP);
    this.blocks = new Map(inside.maps.map((name) => [name, this.block(name)]));
    this.switches = new Map(inside.switches.map((name) => [name, this.switch(name)]));
    const parts = [...this.blocks.values(), ...this.switches.values()];
    const down = Array.from({ length: this.levels }, (_, k) => make("span", { class: "apart-down",
      "aria-hidden": "true", style: `grid-area: ${2 * k + 2} / 1` }));
    const diagram = make("div", { class: "apart-u", role: "group",
      "aria-label": "The network: blocks to select, and switches" },
      ...parts.map(({ root }) => root), ...down);
    this.strip = make("canvas", { class: "apart-strip", role: "img" });
    this.about = make("p", { class: "apart-about", role: "status" });
    const bar = make("span", { class: "lab-scale" }), full = fullScale(GAIN).toFixed(1);
    bar.style.background = SCALE;
    const scale = make("p", { class: "lab-legend" }, `Error: too dark by ${full} `, bar,
      ` too bright by ${full}`);
    this.root = make("div", { class: "apart" },
      make("div", { class: "apart-left" }, this.bar(), diagram),
      make("div", { class: "apart-right" }, this.panels.root, scale, this.strip, this.about));
  }

  /** Image, and settings that are worth a look. */
  bar() {
    const { inside } = this, all = inside.switches;
    const set = (off) =>
      inside.turn(Object.fromEntries(all.map((name) => [name, off(name) ? 0 : 1])));
    const deepest = `dec${this.levels}_below`;
    const ways = [["All on", () => false], ["No skips", (name) => name.endsWith("skip")],
      ["Finest level alone", (name) => name === "dec1_below"],
      ["No bottleneck", (name) => name === deepest]];
    return make("div", { class: "apart-bar" }, inside.menu(), make("div", { class: "lab-row" },
      ...ways.map(([text, off]) => make("button", { type: "button", text, onclick: () => {
        set(off);
        this.showSwitches();
      } }))));
  }

  /** Where a block stands in the U. @param {string} name @returns {[number, number]} row, column */
  place(name) {
    if (name === "bottleneck") return [2 * this.levels + 1, 2];
    return [2 * Number(name.slice(3)) - 1, name.startsWith("enc") ? 1 : 3];
  }

  /** A block of the U, which can be selected. @param {string} name */
  block(name) {
    const canvas = make("canvas", { width: 1, height: 1, "aria-hidden": "true" });
    const input = make("input", { type: "radio", name: `${this.inside.id}-block`, value: name,
      checked: name === this.selected, onchange: () => this.select(name) });
    const size = make("span", { class: "apart-size" });
    const [row, column] = this.place(name), level = Math.ceil(row / 2);
    const root = make("label", { class: "apart-block", "data-level": level,
      style: `grid-area: ${row} / ${column}` }, input, canvas, make("span", {}, name, " ", size));
    return { root, canvas, size };
  }

  /** A switch on a way into the decoder. @param {string} name */
  switch(name) {
    const [short, whole] = words(name, this.inside.maps), [row] = this.place(name.split("_")[0]);
    const skip = name.endsWith("skip"), id = `${this.inside.id}-${name}`;
    const tick = make("input", { type: "checkbox", id, "aria-label": `${whole}, on`,
      onchange: () => this.turn(name, tick.checked ? 1 : 0) });
    const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05,
      "aria-label": `${whole}, factor`, oninput: () => this.turn(name, +slider.value) });
    const root = make("div", { class: `apart-switch ${skip ? "apart-skip" : "apart-below"}`,
      style: skip ? `grid-area: ${row} / 2` : `grid-area: ${row + 1} / 3` },
      tick, make("label", { for: id, text: short }), slider);
    return { root, tick, slider };
  }

  turn(name, factor) {
    this.inside.turn({ [name]: factor });
    this.showSwitches();
  }

  showSwitches() {
    for (const [name, { root, tick, slider }] of this.switches) {
      const factor = this.inside.factors[name];
      tick.checked = factor > 0;
      slider.value = `${factor}`;
      slider.setAttribute("aria-valuetext", `times ${factor}`);
      root.style.setProperty("--factor", `${factor}`);
      root.classList.toggle("apart-off", factor === 0);
    }
  }

  select(name) {
    this.selected = name;
    this.showSelected();
    this.panels.draw();
  }

  /** Channels and field of the selected block. */
  showSelected() {
    const map = this.seen?.maps[this.selected], scale = this.seen?.ranges[this.selected];
    if (!map || !scale) return;
    const [first, last] = this.inside.fields[this.selected];
    this.field.reach = [first, last];
    const count = Math.min(COLUMNS * ROWS, map.channels.length), side = last - first + 1;
    draw(this.strip, map, scale, COLUMNS, ROWS);
    this.strip.setAttribute("aria-label",
      `The ${count} channels of ${this.selected} that vary most, of ${map.of}`);
    this.about.textContent = `${this.selected}: ${map.of} channels of ${map.side} × ${map.side}, `
      + `above the ${count} that vary most. A value of it sees ${side} × ${side} pixels, the `
      + "square.";
  }

  /** @param {import("./inside.js").Seen} seen */
  show(seen) {
    this.seen = seen;
    for (const [name, { canvas, size }] of this.blocks) {
      const map = seen.maps[name];
      draw(canvas, map, seen.ranges[name]);
      size.textContent = `${map.of} × ${map.side}²`;
    }
    this.showSwitches();
    this.showSelected();
    this.panels.show(this.shown(seen), "2");
    const { result, measured, whole } = seen, lost = whole - result.psnr;
    const change = Math.abs(lost) < 0.005 ? "everything is on"
      : `${Math.abs(lost).toFixed(2)} dB ${lost > 0 ? "less" : "more"} than with everything on`;
    this.inside.say(`The answer has ${decibel(result.psnr)}: ${change}. The measurement has `
      + `${measured}. Computed here in ${result.seconds.toFixed(2)} s.`);
  }

  /** Image, measurement, answer and its error. @returns {import("./panels.js").Panel[]} */
  shown({ picture: truth, y, measured, result }) {
    const name = title(this.inside.key), value = decibel(result.psnr);
    const { image } = result;
    const panel = (label, canvas, psnr) => ({ name: label, title: label, picture: canvas, psnr,
      more: "", best: false, age: 0, label: [label, psnr].filter(Boolean).join(", ") });
    return [panel("Measured", picture(y, truth), measured),
      panel(name, picture(image, truth), value),
      panel("Image", picture(truth.grey, truth), ""),
      panel("Error", errorMap(image, truth, GAIN), "")];
  }

  /** Where the keyboard goes on after the button. */
  focus() {
    this.root.querySelector("select")?.focus({ preventScroll: true });
  }
}
