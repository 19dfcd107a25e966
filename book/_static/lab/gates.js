// The attention maps of a network, laid over its measurement: one panel for each gate.
import { make } from "./dom.js";
import { decibel } from "./facts.js";
import { Lens } from "./lens.js";
import { overlay, ranges } from "./maps.js";
import { Panels } from "./panels.js";
import { seen as picture } from "./pictures.js";

const OUTLIERS = 0.02; // share of values at each end that have no part in a scale

export class Gates {
  /** @param {import("./inside.js").Inside} inside */
  constructor(inside) {
    this.inside = inside;
    /** @type {import("./inside.js").Seen | null} */
    this.seen = null;
    /** @type {Record<string, import("./maps.js").Range>} */
    this.scales = {};
    this.lens = new Lens(() => this.panels.draw());
    this.panels = new Panels(this.lens);
    const id = `${inside.id}-strength`;
    this.slider = make("input", { type: "range", id, min: 0, max: 100, value: 60, step: 5,
      oninput: () => this.draw() });
    const strength = make("div", { class: "lab-slider" },
      make("label", { for: id, text: "Overlay" }), this.slider);
    this.root = make("div", { class: "gates" },
      make("div", { class: "apart-bar" }, inside.menu(), strength), this.panels.root);
  }

  /** @param {import("./inside.js").Seen} seen */
  show(seen) {
    this.seen = seen;
    for (const [name, map] of Object.entries(seen.maps))
      [this.scales[name]] = ranges(map, OUTLIERS, OUTLIERS);
    this.draw();
    const { result, measured } = seen;
    this.inside.say(`Orange is where a gate lets most of its skip pass, on a scale of its own. The `
      + `answer has ${decibel(result.psnr)}, the measurement ${measured}. Computed here in `
      + `${result.seconds.toFixed(2)} s.`);
  }

  draw() {
    if (!this.seen) return;
    const { y, picture: truth, maps } = this.seen, strength = +this.slider.value / 100;
    this.slider.setAttribute("aria-valuetext", `${this.slider.value} %`);
    const panel = (name, canvas, more) => ({ name, title: name, picture: canvas, psnr: "", more,
      best: false, age: 0, label: [name, more].filter(Boolean).join(", ") });
    const gates = this.inside.maps.toReversed().map((name) => {
      const scale = this.scales[name], { side } = maps[name];
      const more = `α from ${scale[0].toFixed(2)} to ${scale[1].toFixed(2)}`;
      const level = `Gate of level ${name.slice(-1)}, ${side} × ${side}`;
      return panel(level, overlay(y, maps[name], scale, strength), more);
    });
    this.panels.show([panel("Measurement", picture(y, truth), ""), ...gates], "4");
  }

  /** Where the keyboard goes on after the button. */
  focus() {
    this.root.querySelector("select")?.focus({ preventScroll: true });
  }
}
