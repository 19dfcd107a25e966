// The lab: a figure in which the reader blurs an image, adds noise and lets the book's methods undo both. It replaces
// the picture in a box of class "lab"; what is computed stands in math.js, what takes long runs in worker.js. The box
// says which methods it offers (data-offers) and which are ticked at first (data-ticked), by keys or groups; which
// there are, with their titles and in their order, the build says in the page's "lab-facts".
import { blur, gaussianNoise, motionTaps, psnr, SIDE } from "./math.js";

const facts = JSON.parse(document.getElementById("lab-facts").textContent);
const files = new URL("lab/", new URL(document.documentElement.dataset.content_root ?? "./", document.baseURI));
const address = (name) => new URL(name, files).href;
const task = { length: facts.task.kernel_size, angle: facts.task.motion_angle, level: facts.task.noise_level };
const methods = new Map([...facts.classical, ...facts.networks].map((method) => [method.key, method]));
const isNetwork = (key) => "file" in methods.get(key);
/** Keys of the methods that a list of keys and groups names. */
const named = (list = "") => {
  const names = new Set(list.split(" "));
  return [...methods.values()].filter(({ key, group }) => names.has(key) || names.has(group)).map(({ key }) => key);
};
const BACKING = 2 * SIDE; // pixels of a panel's canvas along one side
const LENS = { side: 192, zoom: 3 }; // pixels of the canvas, and how much larger than the panel the lens shows

// ---- Images of the reader --------------------------------------------------------------------------------------

/** The middle square of a bitmap as SIDE x SIDE grey values; halved step by step, so that nothing aliases. */
function toGrey(bitmap) {
  let side = Math.min(bitmap.width, bitmap.height);
  let source = bitmap, left = (bitmap.width - side) / 2, top = (bitmap.height - side) / 2;
  for (;;) {
    const next = side >= 2 * SIDE ? Math.max(SIDE, side >> 1) : SIDE;
    const canvas = Object.assign(document.createElement("canvas"), { width: next, height: next });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.fillStyle = "white"; // behind what is transparent
    context.fillRect(0, 0, next, next);
    context.drawImage(source, left, top, side, side, 0, 0, next, next);
    [source, side, left, top] = [canvas, next, 0, 0];
    if (next === SIDE) break;
  }
  const { data } = source.getContext("2d").getImageData(0, 0, SIDE, SIDE);
  const luma = (i) => (299 * data[i] + 587 * data[i + 1] + 114 * data[i + 2]) / 255000; // ITU-R 601
  return Float64Array.from({ length: SIDE * SIDE }, (_, i) => luma(4 * i));
}

/** {grey, note} of a file that a reader gives. */
async function readFile(file) {
  if (!file.size) throw new Error(`“${file.name}” is empty. Choose a PNG or JPEG image.`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`“${file.name}” is damaged or no image that this browser can read. Choose a PNG or JPEG image.`);
  }
  const { width, height } = bitmap;
  const change = Math.min(width, height) < SIDE ? "enlarged" : "reduced";
  const square = width === height ? "" : ", its middle square";
  const resized = Math.min(width, height) === SIDE ? "" : `, ${change} to ${SIDE} × ${SIDE}`;
  const flat = width * height < 64 ? " So few pixels hold nothing to see." : "";
  const grey = toGrey(bitmap);
  bitmap.close();
  return { grey, note: `“${file.name}”, ${width} × ${height}${square}${resized}.${flat} It stays on this machine.` };
}

async function readSample(file) {
  const answer = await fetch(address(file));
  if (!answer.ok) throw new Error(`The image ${file} is missing on the server.`);
  return { grey: toGrey(await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" })), note: "" };
}

// ---- The figure ------------------------------------------------------------------------------------------------

let counter = 0;

/** An element from attributes and children; "text" and handlers ("onclick") are set as properties. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

class Lab {
  constructor(box) {
    this.methods = named(box.dataset.offers);
    this.ticked = new Set(named(box.dataset.ticked).filter((key) => this.methods.includes(key)));
    this.state = { ...task, seed: 1, told: false, errors: false, live: false };
    this.results = new Map();
    this.lens = null;
    this.run = 0;
    this.build(box);
    this.choose(() => readSample(facts.samples[0].file));
  }

  // -- Its parts --

  build(box) {
    const caption = box.querySelector("figcaption")?.cloneNode(true);
    const words = caption?.querySelector(".caption-text");
    if (words) words.textContent = "Laboratory: an image, its measurement, and what the methods make of it.";
    const id = `lab-${++counter}`;
    const slider = (name, text, unit, range) => {
      const output = make("output", { for: `${id}-${name}` });
      const input = make("input", { type: "range", id: `${id}-${name}`, ...range, value: this.state[name],
        oninput: () => this.set({ [name]: +input.value }), onchange: () => this.start() });
      const show = () => {
        input.value = this.state[name];
        output.textContent = `${this.state[name]}${unit}`;
        input.setAttribute("aria-valuetext", output.textContent);
      };
      this.sliders.push(show);
      return make("div", { class: "lab-slider" }, make("label", { for: input.id, text }), input, output);
    };
    this.sliders = [];
    this.menu = make("select", { id: `${id}-image`, onchange: () => this.pick() },
      ...facts.samples.map(({ title }, i) => make("option", { value: i, text: title })));
    this.input = make("input", { type: "file", accept: "image/*", class: "lab-file", "aria-label": "Your own image",
      onchange: () => this.input.files.length && this.take(this.input.files[0]) });
    const method = (key) => {
      const { title, bytes } = methods.get(key), size = bytes ? ` (${megabytes(bytes)})` : "";
      const tick = make("input", { type: "checkbox", value: key, checked: this.ticked.has(key), onchange: () => {
        this.ticked[tick.checked ? "add" : "delete"](key);
        this.panels();
        this.start();
      } });
      return make("label", {}, tick, ` ${title}${size}`);
    };
    const told = make("input", { type: "checkbox", onchange: () => {
      this.state.told = told.checked;
      this.forget(...facts.classical.map(({ key }) => key));
      this.start();
    } });
    const view = (text, errors) => make("label", {}, make("input", { type: "radio", name: `${id}-view`,
      checked: !errors, onchange: () => { this.state.errors = errors; this.draw(); } }), ` ${text}`);
    this.button = make("button", { type: "button", class: "lab-start", onclick: () => this.start(true) });
    this.read = make("p", { class: "lab-read", role: "status" });
    this.status = make("p", { class: "lab-status", role: "status" });
    this.progress = make("progress", { "aria-label": "Download", hidden: true });
    this.note = make("p", { class: "lab-note" });
    this.grid = make("div", { class: "lab-panels", role: "group", tabindex: 0, onkeydown: (event) => this.key(event),
      "aria-label": "Images. Arrow keys move a lens over all of them, Escape removes it." });
    this.scale = make("p", { class: "lab-hint" });
    const withClassical = !this.methods.every(isNetwork);
    this.root = make("div", { class: "lab-body", role: "group", "aria-label": "Laboratory: blur, noise and reconstruction" },
      make("div", { class: "lab-bar" }, make("label", { for: this.menu.id, text: "Image" }), this.menu,
        make("span", { text: "or your own, chosen or dropped here:" }), this.input), this.read,
      make("div", { class: "lab-bar" },
        slider("length", "Blur length", " pixels", { min: 1, max: 31, step: 2 }),
        slider("angle", "Angle", "°", { min: 0, max: 180, step: 1 }),
        slider("level", "Noise level", "", { min: 0, max: 0.2, step: 0.005 }),
        make("button", { type: "button", text: "New noise",
          onclick: () => { this.set({ seed: this.state.seed + 1 }); this.start(); } }),
        make("button", { type: "button", text: "Values of the training",
          onclick: () => { this.set({ ...task }); this.start(); } })),
      make("fieldset", { class: "lab-bar" }, make("legend", { text: "Methods" }), ...this.methods.map(method)),
      ...(withClassical ? [make("div", { class: "lab-bar" },
        make("label", {}, told, " Tell the classical methods which blur and noise level is set"))] : []),
      make("div", { class: "lab-bar" }, this.button, this.progress), this.status, this.note,
      make("fieldset", { class: "lab-bar" }, make("legend", { text: "Show" }),
        view("images", false), view("errors", true)), this.scale, this.grid);
    for (const type of ["dragover", "drop", "dragleave"])
      this.root.addEventListener(type, (event) => {
        event.preventDefault();
        this.root.classList.toggle("lab-drop", type === "dragover");
        if (type === "drop" && event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
      });
    this.grid.addEventListener("pointermove", (event) => this.point(event));
    this.grid.addEventListener("pointerleave", () => this.look(null));
    const figure = make("figure", { id: box.querySelector("figure")?.id || false }, this.root, ...(caption ? [caption] : []));
    box.replaceChildren(figure);
    this.panels();
  }

  /** One panel for the image, the measurement and each method that is ticked. */
  panels() {
    const names = ["Image", "Measurement", ...this.methods.filter((name) => this.ticked.has(name))];
    this.canvases = new Map(names.map((name) =>
      [name, make("canvas", { width: BACKING, height: BACKING, role: "img" })]));
    this.captions = new Map(names.map((name) => [name, make("span", { class: "lab-value" })]));
    this.grid.replaceChildren(...names.map((name) =>
      make("div", { class: "lab-panel" }, this.canvases.get(name),
        make("p", {}, make("strong", { text: title(name) }), " ", this.captions.get(name)))));
    this.draw();
    this.name();
  }

  /** The button says what a click fetches. */
  name() {
    const wanted = [...this.ticked].filter(isNetwork);
    const bytes = wanted.length ? facts.runtime.bytes + wanted.reduce((n, key) => n + methods.get(key).bytes, 0) : 0;
    this.button.textContent = `Reconstruct${bytes ? ` (fetches ${megabytes(bytes)} once)` : ""}`;
    this.button.hidden = this.state.live;
  }

  // -- Image and measurement --

  pick() {
    if (this.menu.value === "own") this.choose(() => this.own);
    else this.choose(() => readSample(facts.samples[this.menu.value].file));
  }

  take(file) {
    this.choose(async () => {
      this.own = await readFile(file);
      this.menu.querySelector("[value=own]")?.remove();
      this.menu.append(make("option", { value: "own", text: "Your image", selected: true }));
      return this.own;
    });
  }

  /** Read an image, the newest one if several are asked for; a problem leaves the old one. */
  async choose(read) {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    try {
      const { grey, note } = await read();
      if (turn !== this.turn) return;
      this.image = grey;
      this.say(note, false, this.read);
      this.set({});
      this.start();
    } catch (problem) {
      if (turn === this.turn) this.say(problem.message, true, this.read);
    }
  }

  say(text, problem = false, where = this.status) {
    where.textContent = text;
    where.classList.toggle("lab-problem", problem);
  }

  /** Change settings: a new measurement, whose reconstructions are not known yet. */
  set(changes) {
    Object.assign(this.state, changes);
    this.sliders.forEach((show) => show());
    if (!this.image) return;
    const { length, angle, level, seed } = this.state;
    this.taps = motionTaps(length, angle);
    const y = blur(this.image, this.taps), e = gaussianNoise(y, level, seed);
    this.measurement = y.map((value, i) => value + e[i]);
    this.forget(...this.methods);
    const differs = ["length", "angle", "level"].filter((name) => this.state[name] !== task[name]);
    const words = differs.map((name) => (name === "level" ? "noise" : name)).join(" and ");
    this.note.textContent = differs.length ? `The networks were trained at length ${task.length}, angle ${task.angle}°, `
      + `noise ${task.level}. They do not know that the ${words} ${differs.length > 1 ? "are" : "is"} another now.` : "";
  }

  forget(...names) {
    for (const name of names) this.results.delete(name);
    this.run++;
    this.draw();
  }

  // -- Reconstruction --

  /** Reconstruct what is ticked and not known; called again meanwhile, the newest settings win. */
  async start(click = false) {
    if (click) this.state.live = true;
    if (!this.state.live || !this.image) return;
    this.name();
    if (this.busy) return;
    this.busy = true;
    const times = [];
    for (let key; (key = this.methods.find((m) => this.ticked.has(m) && !this.results.has(m))); ) {
      const run = this.run;
      this.say(`${title(key)} …`);
      const answer = await this.ask(key);
      this.progress.hidden = true;
      if (answer.problem) {
        this.say(`${title(key)} could not be run: ${answer.problem}. Check the connection, then press the button again.`,
          true);
        this.state.live = false;
        this.name();
        break;
      }
      if (run !== this.run) continue; // of an older measurement
      this.results.set(key, answer.image);
      times.push(`${title(key)} ${answer.seconds.toFixed(2)} s`);
      this.say(`Computed here, in this page: ${times.join(", ")}.`);
      this.draw();
    }
    this.busy = false;
  }

  /** The worker's answer for one method. */
  ask(method) {
    this.worker ??= new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    const { taps, lambda } = this.classical(method);
    const message = { method, y: this.measurement, taps, lambda };
    if (isNetwork(method)) {
      const { file, bytes } = methods.get(method), { script, glue, binary } = facts.runtime;
      message.network = { url: address(file), bytes };
      message.runtime = { script: address(script), glue: address(glue),
        binary: { url: address(binary), bytes: facts.runtime.bytes } };
    }
    return new Promise((done) => {
      this.worker.onerror = (event) => {
        this.worker = null;
        done({ problem: event.message || "its program could not be loaded" });
      };
      this.worker.onmessage = ({ data }) => {
        if (data.total === undefined) return done(data);
        Object.assign(this.progress, { hidden: false, max: data.total, value: data.loaded });
        this.say(`${title(method)}: ${megabytes(data.loaded)} of ${megabytes(data.total)}`);
      };
      this.worker.postMessage(message);
    });
  }

  /** Blur and parameter that a classical method is told: those of the training, or those that are set. */
  classical(method) {
    const { length, angle, level } = this.state.told ? this.state : task;
    const distance = (studied) => Math.abs(Math.log(studied / Math.max(level, 1e-6)));
    const nearest = Object.keys(facts.lambdas).sort((a, b) => distance(a) - distance(b))[0];
    return { taps: motionTaps(length, angle), lambda: facts.lambdas[nearest][method] };
  }

  // -- Drawing --

  /** Make the picture of every panel that has one, and say in words what it shows. */
  draw() {
    if (!this.image || !this.measurement) return;
    const { errors } = this.state;
    const images = new Map([["Image", this.image], ["Measurement", this.measurement], ...this.results]);
    const distances = this.measurement.map((v, i) => Math.abs(v - this.image[i])).sort();
    const bright = Math.max(0.02, distances[Math.floor(0.99 * distances.length)]);
    this.scale.textContent = errors
      ? `Distance to the image, on one scale: black 0, white ${bright.toFixed(2)} and more.`
      : "Grey values from 0, black, to 1, white. A lens follows the pointer or the arrow keys.";
    this.pictures = new Map();
    for (const [name, canvas] of this.canvases) {
      const image = images.get(name);
      const value = image && name !== "Image" ? decibel(psnr(image, this.image)) : "";
      this.captions.get(name).textContent = value;
      const distance = errors && name !== "Image", white = distance ? bright : 1;
      const words = [title(name), distance ? "error" : "", image ? value : "not computed yet"];
      canvas.setAttribute("aria-label", words.filter(Boolean).join(", "));
      canvas.parentElement.classList.toggle("lab-empty", !image);
      if (!image) continue;
      const pixels = new ImageData(SIDE, SIDE), grey = new Uint32Array(pixels.data.buffer);
      for (let i = 0; i < image.length; i++) {
        const value = (distance ? Math.abs(image[i] - this.image[i]) : image[i]) / white;
        grey[i] = 0xff000000 | (0x10101 * Math.round(255 * Math.min(1, Math.max(0, value)))); // opaque grey
      }
      const picture = make("canvas", { width: SIDE, height: SIDE });
      picture.getContext("2d").putImageData(pixels, 0, 0);
      this.pictures.set(name, picture);
    }
    this.show();
  }

  /** Draw the pictures, and the lens where there is one. */
  show() {
    for (const [name, canvas] of this.canvases) {
      const context = canvas.getContext("2d"), picture = this.pictures?.get(name);
      context.clearRect(0, 0, BACKING, BACKING);
      if (!picture) continue;
      context.imageSmoothingEnabled = false;
      context.drawImage(picture, 0, 0, BACKING, BACKING);
      if (this.lens) this.magnify(context, picture);
    }
  }

  magnify(context, picture) {
    const [x, y] = this.lens.map((t) => t * BACKING), { side, zoom } = LENS;
    const seen = side / (2 * zoom), corner = (t) => Math.min(SIDE - seen, Math.max(0, t / 2 - seen / 2));
    const left = Math.min(BACKING - side, Math.max(0, x - side / 2)), top = Math.min(BACKING - side, Math.max(0, y - side / 2));
    context.drawImage(picture, corner(x), corner(y), seen, seen, left, top, side, side);
    context.strokeStyle = "#ffb000";
    context.lineWidth = 4;
    context.strokeRect(left, top, side, side);
  }

  look(lens) {
    this.lens = lens;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.show());
  }

  point({ target, clientX, clientY }) {
    if (target.tagName !== "CANVAS") return this.lens && this.look(null);
    const { left, top, width, height } = target.getBoundingClientRect();
    this.look([(clientX - left) / width, (clientY - top) / height]);
  }

  key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") this.look(null);
    if (!step) return;
    event.preventDefault();
    this.look((this.lens ?? [0.5, 0.5]).map((t, i) => Math.min(1, Math.max(0, t + step[i] / 32))));
  }
}

/** What a panel is called: the title of a method, or "Image" and "Measurement" themselves. */
const title = (name) => methods.get(name)?.title ?? name;
const megabytes = (bytes) => (bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const decibel = (value) => (value === Infinity ? "∞ dB" : `${value.toFixed(2)} dB`);

export const labs = [...document.querySelectorAll(".lab")].map((box) => new Lab(box));
