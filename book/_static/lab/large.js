// The large view: two panels on one place, a line between them that can be moved, and the lens.
import { make, pen } from "./dom.js";

/** @typedef {import("./panels.js").Panel} Panel */

const BACKING = 1024; // pixels of the canvas along one side

export class Large {
  /**
   * @param {string} id
   * @param {import("./lens.js").Lens} lens
   * @param {(changes: Partial<import("./settings.js").Settings>) => void} set
   */
  constructor(id, lens, set) {
    this.lens = lens;
    this.set = set;
    /** @type {Panel[]} */
    this.panels = [];
    this.settings = { left: "", right: "", wipe: 50 };
    this.canvas = make("canvas", { width: BACKING, height: BACKING, role: "img", tabindex: 0 });
    this.age = make("span", { class: "lab-age", "aria-hidden": "true" });
    const menu = (side, text) => {
      const select = make("select", { id: `${id}-${side}`,
        onchange: () => set({ [side]: select.value }) });
      const label = make("label", { for: select.id, text });
      const words = make("span", { class: "lab-more" });
      return { select, words, root: make("div", {}, label, select, words) };
    };
    this.left = menu("left", "Left");
    this.right = menu("right", "Right");
    this.slider = make("input", { type: "range", min: 0, max: 100,
      "aria-label": "Line between them", oninput: () => set({ wipe: +this.slider.value }) });
    this.root = make("div", { class: "lab-large", hidden: true },
      make("div", { class: "lab-large-names" }, this.left.root, this.right.root),
      make("div", { class: "lab-large-picture" }, this.canvas, this.age), this.slider);
    lens.listen(this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.drag(event));
  }

  /** The line follows a pointer that is pressed and moves. @param {PointerEvent} start */
  drag(start) {
    const { canvas } = this, move = (/** @type {PointerEvent} */ event) => {
      if (Math.abs(event.clientX - start.clientX) < 6) return;
      const at = this.lens.place(event);
      if (at) this.set({ wipe: Math.round(100 * at[0]) });
    };
    if (start.pointerType === "mouse") {
      this.lens.move(null);
      canvas.setPointerCapture(start.pointerId);
    }
    const end = () => {
      canvas.removeEventListener("pointermove", move);
      for (const type of ["pointerup", "pointercancel"]) canvas.removeEventListener(type, end);
    };
    canvas.addEventListener("pointermove", move);
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, end);
  }

  /** @param {Panel[]} panels @param {{left: string, right: string, wipe: number}} settings */
  show(panels, { left, right, wipe }) {
    this.panels = panels;
    this.settings = { left, right, wipe };
    for (const [key, side] of Object.entries({ left: this.left, right: this.right })) {
      const name = this.settings[key], names = panels.map((panel) => panel.name).join();
      if (side.select.dataset.names !== names) {
        side.select.dataset.names = names;
        side.select.replaceChildren(...panels.map((panel) =>
          make("option", { value: panel.name, text: panel.title })));
      }
      side.select.value = this.find(name).name;
      const { psnr, more } = this.find(name);
      side.words.textContent = [psnr, more].filter(Boolean).join(", ");
    }
    this.slider.value = `${wipe}`;
    const [a, b] = [this.find(left), this.find(right)], age = Math.max(a.age, b.age);
    this.age.textContent = age ? `${age.toFixed(1)} s old` : "";
    this.root.classList.toggle("lab-stale", age > 0);
    const words = `Left of the line: ${a.label}. Right of it: ${b.label}.`;
    if (this.canvas.ariaLabel !== words) this.canvas.setAttribute("aria-label", words);
    this.draw();
  }

  /** A panel by its name, or the last one if it is not ticked any more. @param {string} name */
  find(name) {
    return this.panels.find((panel) => panel.name === name) ?? this.panels[this.panels.length - 1];
  }

  draw() {
    if (this.root.hidden || !this.panels.length) return;
    const context = pen(this.canvas), [a, b] = [this.settings.left, this.settings.right]
      .map((name) => this.find(name).picture);
    const line = (BACKING * this.settings.wipe) / 100;
    context.clearRect(0, 0, BACKING, BACKING);
    context.imageSmoothingEnabled = false;
    if (b) context.drawImage(b, 0, 0, BACKING, BACKING);
    context.save();
    context.beginPath();
    context.rect(0, 0, line, BACKING);
    context.clip();
    context.clearRect(0, 0, line, BACKING);
    if (a) context.drawImage(a, 0, 0, BACKING, BACKING);
    context.restore();
    context.fillStyle = "#ffb000";
    context.fillRect(line - 1.5, 0, 3, BACKING);
    this.lens.draw(context, [a, b].filter((one) => one !== null));
  }
}
