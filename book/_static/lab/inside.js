// Figures that look into a network while it runs: in place of the picture in a box of class
// "inside". The box says which network (data-inside) and what is shown (data-show); the network's
// files are those of the laboratory. Until a reader asks for it the picture stays.
import { Apart } from "./apart.js";
import { make } from "./dom.js";
import { Engine, network } from "./engine.js";
import { decibel, facts, megabytes, methods, title, TRAINED, weight } from "./facts.js";
import { Gates } from "./gates.js";
import { readSample } from "./images.js";
import { ranges } from "./maps.js";
import { measure, motionTaps, psnr } from "./math.js";
import { styled } from "./style.js";

/**
 * What a figure draws: a network's answer to a measurement, and maps from inside.
 * @typedef {object} Seen
 * @property {import("./images.js").Picture} picture
 * @property {import("./math.js").Image} y
 * @property {string} measured its PSNR in words
 * @property {import("./engine.js").Result} result
 * @property {Record<string, import("./maps.js").Channels>} maps
 * @property {Record<string, import("./maps.js").Range[]>} ranges of the maps when nothing is off
 * @property {number} whole PSNR when nothing is off
 */
const VIEWS = { switches: Apart, gates: Gates };
let counter = 0;

export class Inside {
  /** @param {HTMLElement} box */
  constructor(box) {
    const { inside = "", show = "", switches = "", maps = "", fields = "{}" } = box.dataset;
    this.key = inside;
    this.id = `inside-${++counter}`;
    this.switches = switches.split(" ");
    this.maps = maps.split(" ");
    /** @type {Record<string, [number, number]>} receptive field of each block */
    this.fields = JSON.parse(fields);
    /** @type {Record<string, number>} */
    this.factors = Object.fromEntries(this.switches.map((name) => [name, 1]));
    this.image = facts.samples[0].name;
    /** @type {Pick<Seen, "picture" | "y" | "measured"> | null} */
    this.given = null;
    /** @type {Seen | null} */
    this.seen = null;
    this.busy = this.wanted = false; // one order at a time; the newest settings come next
    this.sent = 0; // number of orders
    this.engine = new Engine({
      result: (result) => this.receive(result),
      progress: (loaded, total) => this.follow(loaded, total),
      problem: (_, words) => this.fail(words),
      idle: () => {},
    });
    this.status = make("p", { class: "lab-status", role: "status" });
    this.progress = make("progress", { "aria-label": "Download", hidden: true });
    const bytes = facts.runtime.bytes + weight(inside);
    this.button = make("button", { type: "button", class: "lab-start", onclick: () => this.start(),
      text: `Run the ${title(inside)} here (fetches ${megabytes(bytes)} once)` });
    this.view = new VIEWS[show](this);
    this.root = make("div", { class: "lab-body inside-body", role: "group",
      "aria-label": `${title(inside)}, looked into` });
    this.box = box;
    const bar = make("div", { class: "inside-bar" }, this.button, this.progress, this.status);
    const [figure, ...rest] = /** @type {HTMLElement[]} */ ([...box.children]);
    for (const part of rest) part.hidden = true; // which says why there is no button
    figure.after(bar);
  }

  /** The reader's click: the picture gives way when there is something to show. */
  async start() {
    this.button.disabled = true;
    this.say("");
    try {
      await styled("lab.css", "inside.css");
      await this.choose(this.image);
    } catch (problem) {
      this.fail(problem instanceof Error ? problem.message : `${problem}`);
    }
  }

  /** The menu of images. */
  menu() {
    const select = make("select", { id: `${this.id}-image`, onchange: () =>
      this.choose(select.value).catch((problem) => this.fail(problem.message)) },
      ...facts.samples.map(({ name, title: text }) => make("option", { value: name, text })));
    select.value = this.image;
    const label = make("label", { for: select.id, text: "Image" });
    return make("div", { class: "lab-row" }, label, select);
  }

  /** Take a sample, measured as the network has learned it. @param {string} name */
  async choose(name) {
    this.image = name;
    const sample = facts.samples.find((one) => one.name === name) ?? facts.samples[0];
    const picture = await readSample(sample.file);
    if (this.image !== name) return;
    const { length, angle, level } = TRAINED;
    const y = measure(picture.grey, motionTaps(length, angle), level, 1);
    this.given = { picture, y, measured: decibel(psnr(y, picture.grey)) };
    this.seen = null;
    this.request();
  }

  /** Turn switches. @param {Record<string, number>} factors */
  turn(factors) {
    Object.assign(this.factors, factors);
    this.request();
  }

  /** Ask for the answer to the settings, when the last one has come. */
  request() {
    this.wanted = true;
    if (!this.busy) this.send();
  }

  /** An image is first answered with everything on: this decides which channels are shown. */
  send() {
    if (!this.given) return;
    const { picture, y } = this.given, { key, seen } = this;
    const factors = seen ? { ...this.factors } : {};
    const channels = (name) => seen?.maps[name].channels ?? null;
    const maps = Object.fromEntries(this.maps.map((name) => [name, channels(name)]));
    const stamp = `${++this.sent}`; // an order that equals the last one is answered, too
    this.busy = true;
    this.wanted = !seen && Object.values(this.factors).some((factor) => factor !== 1);
    this.asked = this.given;
    this.engine.send([{ method: key, stamp, rank: 0, factors, maps, ...network(key, TRAINED) }],
      y, picture.grey);
  }

  /** @param {import("./engine.js").Result} result */
  receive(result) {
    this.busy = false;
    this.progress.hidden = true;
    if (this.asked === this.given && this.given && result.maps) {
      const whole = this.seen?.whole ?? result.psnr;
      const scales = this.seen?.ranges ?? Object.fromEntries(
        Object.entries(result.maps).map(([name, map]) => [name, ranges(map)]));
      this.seen = { ...this.given, result, maps: result.maps, ranges: scales, whole };
      this.show(this.seen);
    } else this.wanted = true;
    if (this.wanted && !this.busy) this.send();
  }

  /** @param {Seen} seen */
  show(seen) {
    if (!this.root.isConnected) this.place();
    this.view.show(seen);
  }

  /** Take the place of the picture, whose caption and number stay. */
  place() {
    const caption = this.box.querySelector("figcaption");
    const id = this.box.querySelector("figure")?.id || false;
    this.root.append(this.view.root, this.status);
    this.box.replaceChildren(make("figure", { id }, this.root, ...(caption ? [caption] : [])));
    this.view.focus();
  }

  say(/** @type {string} */ text, problem = false) {
    if (this.status.textContent !== text) this.status.textContent = text;
    this.status.classList.toggle("lab-problem", problem);
  }

  follow(loaded, total) {
    Object.assign(this.progress, { hidden: loaded >= total, max: total, value: loaded });
    this.say(`Fetching ${megabytes(loaded)} of ${megabytes(total)} …`);
  }

  fail(words) {
    this.busy = false;
    this.progress.hidden = true;
    this.button.disabled = false;
    this.say(`${title(this.key)} could not be run: ${words}. Check the connection, then try again.`,
      true);
  }
}

const boxes = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".inside")]);
export const figures = boxes.filter(({ dataset }) => methods.has(dataset.inside ?? ""))
  .map((box) => new Inside(box));
if (figures.length) await styled("lab.css", "inside.css");
