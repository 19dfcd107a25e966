// The laboratory: a reader blurs an image, adds noise and lets the book's methods undo both. It
// takes the place of the picture in a box of class "lab". The box says which methods it offers
// (data-offers) and which are ticked at first (data-ticked), by keys or groups; which there are,
// the build says (facts.js). Settings change in Lab.set, and everything that is seen follows.
import { controls, viewing } from "./controls.js";
import { make } from "./dom.js";
import { Engine, stamp } from "./engine.js";
import { astray, facts, inWords, megabytes, named, title, TRAINED } from "./facts.js";
import { Large } from "./large.js";
import { Lens } from "./lens.js";
import { measure, motionTaps } from "./math.js";
import { Panels } from "./panels.js";
import { download, sheet } from "./save.js";
import { Scene } from "./scene.js";
import { readLink, writeLink } from "./settings.js";
import { Source } from "./source.js";
import { styled } from "./style.js";
import { addTries } from "./tries.js";

/** @typedef {import("./settings.js").Settings} Settings */

const MEASURED = ["length", "angle", "level", "seed"]; // what a measurement depends on
const CAPTION = "Laboratory: an image, its measurement, and what the methods make of it.";
let counter = 0;

class Lab {
  /** @param {HTMLElement} box @param {boolean} addressed whether the page's address is its own */
  constructor(box, addressed) {
    this.offered = named(box.dataset.offers);
    const methods = named(box.dataset.ticked).filter((key) => this.offered.includes(key));
    /** @type {Settings} */
    this.settings = { image: facts.samples[0].name, ...TRAINED, seed: 1, told: false, methods,
      show: "images", gain: 2, layout: "fit", left: "Measurement",
      right: methods[methods.length - 1] ?? "Image", wipe: 50 };
    this.addressed = addressed;
    this.live = false; // whether reconstructions follow the settings, after the first click
    /** @type {import("./images.js").Picture | null} */
    this.picture = null;
    this.changed = false; // whether a new measurement is due
    this.version = 0;
    /** @type {Map<number, import("./scene.js").Measured>} the last measurements, by version */
    this.measured = new Map();
    /** @type {Map<string, import("./scene.js").Shown>} */
    this.results = new Map();
    this.scene = new Scene();
    this.engine = new Engine({
      result: (result) => this.receive(result),
      progress: (loaded, total) => this.follow(loaded, total),
      problem: (method, words) => this.fail(method, words),
      idle: () => this.report(),
    });
    const id = `lab-${++counter}`;
    const set = (/** @type {Partial<Settings>} */ changes) => this.set(changes);
    this.lens = new Lens(() => (this.large.root.hidden ? this.panels : this.large).draw());
    this.panels = new Panels(this.lens);
    this.large = new Large(id, this.lens, set);
    this.source = new Source(id, (picture, name) => this.show(picture, name),
      (words, problem) => this.say(words, problem, this.read));
    const actions = { id, offered: this.offered, set, chooser: this.source.chooser.root,
      start: () => this.start(), take: (/** @type {File} */ file) => this.source.take(file),
      save: () => this.save(), link: () => this.copy(), full: () => this.fill(),
      wide: () => document.body.classList.toggle("lab-wide") };
    this.controls = controls(actions);
    this.viewing = viewing(actions);
    this.read = make("p", { class: "lab-read", role: "status" });
    this.status = make("p", { class: "lab-status", role: "status" });
    this.note = make("p", { class: "lab-note" });
    this.progress = make("progress", { "aria-label": "Download", hidden: true });
    this.root = make("div", { class: "lab-body", role: "group",
      "aria-label": "Laboratory: blur, noise and reconstruction" });
    this.place(box);
    this.set({});
    this.draw();
    if (!this.readAddress()) this.source.choose(this.settings.image);
  }

  /** Take the place of the picture in a box, whose caption stays. @param {HTMLElement} box */
  place(box) {
    const view = make("div", { class: "lab-view" }, this.viewing.root, this.viewing.scale,
      this.panels.root, this.large.root);
    const words = [this.progress, this.status, this.note, this.read];
    const said = make("div", { class: "lab-said" }, ...words);
    this.root.append(make("div", { class: "lab-frame" }, this.controls.root, view, said));
    const caption = box.querySelector("figcaption");
    const text = caption?.querySelector(".caption-text");
    if (text) text.textContent = CAPTION;
    const id = box.querySelector("figure")?.id || false;
    box.replaceChildren(make("figure", { id }, this.root, ...(caption ? [caption] : [])));
    this.listen();
  }

  /** Images that are dropped or pasted, and addresses that carry settings. */
  listen() {
    for (const type of ["dragover", "drop", "dragleave"])
      this.root.addEventListener(type, (event) => {
        event.preventDefault();
        this.root.classList.toggle("lab-drop", type === "dragover");
        const files = event instanceof DragEvent ? event.dataTransfer?.files : null;
        if (type === "drop" && files?.length) this.source.take(files[0]);
      });
    if (!this.addressed) return;
    document.addEventListener("paste", ({ clipboardData }) => {
      const [file] = clipboardData?.files ?? [];
      if (file) this.source.take(file);
    });
    window.addEventListener("hashchange", () => this.readAddress());
  }

  fill() {
    const refused = () => this.say("The browser allows no full screen here.");
    if (document.fullscreenElement) document.exitFullscreen();
    else this.root.requestFullscreen?.().catch(refused);
  }

  say(/** @type {string} */ text, problem = false, where = this.status) {
    if (where.textContent !== text) where.textContent = text;
    where.classList.toggle("lab-problem", problem);
  }

  // -- Settings --

  /** Change settings; what they decide is computed before the next frame. */
  set(/** @type {Partial<Settings>} */ changes) {
    const old = this.settings;
    this.settings = { ...old, ...changes };
    if (this.settings.image !== old.image) this.source.choose(this.settings.image);
    this.changed ||= MEASURED.some((name) => this.settings[name] !== old[name]);
    this.controls.show(this.settings, this.live);
    this.viewing.show(this.settings);
    this.writeAddress();
    this.request ??= requestAnimationFrame(() => {
      this.request = undefined;
      this.update();
    });
  }

  /** An image has been read. */
  show(picture, image) {
    this.picture = picture;
    this.changed = true;
    this.settings.image = image;
    this.set({});
  }

  /** The page's address follows the settings of its first laboratory, when they rest. */
  writeAddress() {
    if (!this.addressed || !this.version) return;
    clearTimeout(this.timer); // browsers limit how often the address may change
    const write = () => history.replaceState(history.state, "", writeLink(this.settings));
    this.timer = setTimeout(write, 300);
  }

  /** Take settings from the page's address. @returns {boolean} whether it has any */
  readAddress() {
    const known = { images: facts.samples.map(({ name }) => name), methods: this.offered };
    const found = this.addressed && readLink(location.hash, known);
    if (!found) return false;
    let words = found.problem;
    if (found.settings.image === "own" && !this.source.own) {
      words += " The link was made with an image of its sender, which it does not carry.";
      delete found.settings.image;
    }
    Object.assign(this.settings, found.settings);
    this.changed = true;
    this.source.choose(this.settings.image, words.trim());
    this.root.scrollIntoView({ block: "nearest", behavior: "instant" });
    return true;
  }

  async copy() {
    const link = location.href.split("#")[0] + writeLink(this.settings);
    const own = this.settings.image === "own" ? " It does not carry your image." : "";
    try {
      await navigator.clipboard.writeText(link);
      this.say(`The link is on the clipboard.${own}`, false, this.read);
    } catch { // not allowed, or no secure page
      this.say(`Copy this link.${own} ${link}`, false, this.read);
    }
  }

  /** The panels as a file, with the settings in words. */
  async save() {
    const { image, length, angle, level, show } = this.settings;
    const scale = show === "errors" ? this.viewing.scale.textContent ?? "" : "";
    const link = location.href.split("#")[0] + writeLink(this.settings);
    const lines = [inWords(this.settings), scale, link];
    const canvas = sheet(this.shown(), lines.filter(Boolean));
    const name = `laboratory-${image}-${length}-pixels-${angle}-degrees-noise-${level}.png`;
    if (!(await download(canvas, name))) this.say("The browser could not make the file.", true);
  }

  // -- Measurement and reconstructions --

  /** Measure anew if anything has changed, ask for reconstructions, draw. */
  update() {
    if (!this.picture) return;
    if (this.changed) this.measure(this.picture);
    this.changed = false;
    this.order();
    this.draw();
  }

  measure(picture) {
    const { length, angle, level, seed } = this.settings;
    const before = this.measured.get(this.version);
    if (before) before.left = performance.now();
    const y = measure(picture.grey, motionTaps(length, angle), level, seed);
    const version = ++this.version;
    this.measured.set(version, { version, picture, y, psnr: NaN, ssim: NaN, left: 0 });
    this.measured.delete(this.version - 100);
    this.note.textContent = astray(this.settings);
  }

  /** The reader's click: from now on everything is computed. */
  start() {
    this.live = true;
    this.ordered = "";
    this.set({});
  }

  /** Methods whose newest result is not that of the settings. */
  missing() {
    const wanted = (key) => stamp(key, this.version, this.settings);
    return this.settings.methods.filter((key) => this.results.get(key)?.stamp !== wanted(key));
  }

  /** Ask for what is missing, unless it has been asked for. */
  order() {
    const missing = this.missing(), now = this.measured.get(this.version);
    const words = missing.map((key) => stamp(key, this.version, this.settings) + key).join();
    if (!this.live || !now || words === this.ordered) return;
    this.ordered = words;
    const { y, picture, version } = now;
    this.engine.order(missing, { y, truth: picture.grey, version }, this.settings);
    this.report();
  }

  receive(result) {
    const measured = this.measured.get(parseInt(result.stamp, 10));
    if (!measured) return; // of a measurement long gone
    this.results.set(result.method, { ...result, measured, given: performance.now() });
    this.progress.hidden = true;
    this.report();
    this.draw();
  }

  /** Say what is being computed, or how long it took. */
  report() {
    if (!this.live) return;
    const { methods } = this.settings, missing = this.missing();
    const time = (key) => `${title(key)} ${this.results.get(key)?.seconds.toFixed(2)} s`;
    if (missing.length) this.say(`Computing ${missing.map(title).join(", ")} …`);
    else this.say(methods.length ? `Computed here: ${methods.map(time).join(", ")}.` : "");
  }

  follow(loaded, total) {
    Object.assign(this.progress, { hidden: loaded >= total, max: total, value: loaded });
    this.say(`Fetching ${megabytes(loaded)} of ${megabytes(total)} …`);
  }

  fail(method, words) {
    this.live = false;
    this.progress.hidden = true;
    this.controls.show(this.settings, this.live);
    this.say(`${title(method)} could not be run: ${words}. Check the connection, then press the `
      + "button again.", true);
  }

  // -- Drawing --

  /** The panels of the moment. */
  shown() {
    return this.scene.panels(this.measured.get(this.version), this.results, this.settings);
  }

  draw() {
    const panels = this.shown(), large = this.settings.layout === "large";
    this.panels.root.hidden = large;
    this.large.root.hidden = !large;
    if (large) this.large.show(panels, this.settings);
    else this.panels.show(panels, this.settings.layout);
    clearTimeout(this.clock); // ages grow
    const aging = this.missing().some((key) => this.results.has(key));
    if (aging) this.clock = setTimeout(() => this.draw(), 100);
  }
}

await styled("lab.css");
const boxes = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".lab")]);
export const labs = boxes.map((box, k) => new Lab(box, k === 0));
if (labs.length) {
  const [{ root }] = labs;
  addTries((settings) => {
    labs[0].set(settings);
    root.scrollIntoView({ block: "nearest" });
  }, () => /** @type {HTMLElement} */ (root.querySelector(".lab-file")).click());
}
