// The panels side by side: one for the image, the measurement and each method that is ticked.
import { make, pen } from "./dom.js";

/**
 * What a panel shows.
 * @typedef {object} Panel
 * @property {string} name key of a method, "Image" or "Measurement"
 * @property {string} title
 * @property {HTMLCanvasElement | null} picture null before the first result
 * @property {string} psnr
 * @property {string} more gain over the measurement and structural similarity
 * @property {boolean} best whether its PSNR is the highest
 * @property {number} age seconds since its settings were left; 0: it is that of the settings
 * @property {string} label everything in words
 */

const BACKING = 512; // pixels of a panel's canvas along one side
/** How many columns show so many panels at once on a wide screen. */
const columns = (/** @type {number} */ count) => (count <= 4 ? 2 : count <= 6 ? 3 : 4);
const HELP = "Images. Arrow keys move a lens over all of them, Escape removes it.";

export class Panels {
  /** @param {import("./lens.js").Lens} lens @param {string} [help] what its keys do */
  constructor(lens, help = HELP) {
    this.lens = lens;
    const names = { class: "lab-panels", role: "group", tabindex: 0, "aria-label": help };
    this.root = make("div", names);
    lens.listen(this.root);
    /** @type {Map<string, ReturnType<Panels["part"]>>} */
    this.parts = new Map();
    /** @type {Panel[]} */
    this.panels = [];
  }

  /** Keep the elements of panels that stay, and make those of new ones. @param {string} layout */
  arrange(layout) {
    const names = this.panels.map(({ name }) => name);
    const count = layout === "fit" ? columns(names.length) : Number(layout);
    this.root.style.setProperty("--columns", `${count}`);
    this.root.style.setProperty("--rows", `${Math.ceil(names.length / count)}`);
    if (names.join() === [...this.parts.keys()].join()) return;
    this.parts = new Map(names.map((name) => [name, this.parts.get(name) ?? this.part()]));
    this.root.replaceChildren(...[...this.parts.values()].map(({ root }) => root));
  }

  part() {
    const canvas = make("canvas", { width: BACKING, height: BACKING, role: "img" });
    const age = make("span", { class: "lab-age", "aria-hidden": "true" });
    const [title, psnr, more] = [make("strong"), make("span", { class: "lab-value" }),
      make("span", { class: "lab-more" })];
    const root = make("div", { class: "lab-panel" }, canvas, age,
      make("p", {}, title, " ", psnr, " ", more));
    /** @type {HTMLCanvasElement | null} */
    const drawn = null;
    return { root, canvas, words: [title, psnr, more, age], drawn, lens: false };
  }

  /** @param {Panel[]} panels @param {string} layout */
  show(panels, layout) {
    this.panels = panels;
    this.arrange(layout);
    for (const panel of panels) {
      const part = this.parts.get(panel.name);
      if (!part) continue;
      const { root, canvas, words } = part, age = panel.age ? `${panel.age.toFixed(1)} s old` : "";
      [panel.title, panel.psnr, panel.more, age].forEach((text, k) => {
        if (words[k].textContent !== text) words[k].textContent = text;
      });
      words[1].classList.toggle("lab-best", panel.best);
      if (canvas.ariaLabel !== panel.label) canvas.setAttribute("aria-label", panel.label);
      root.classList.toggle("lab-empty", !panel.picture);
      root.classList.toggle("lab-stale", panel.age > 0);
    }
    this.draw();
  }

  /** Draw the pictures, and the lens where there is one. */
  draw() {
    for (const { name, picture } of this.panels) {
      const part = this.parts.get(name);
      if (!part || (part.drawn === picture && !this.lens.at && !part.lens)) continue;
      Object.assign(part, { drawn: picture, lens: this.lens.at !== null });
      const context = pen(part.canvas);
      context.clearRect(0, 0, BACKING, BACKING);
      if (!picture) continue;
      context.imageSmoothingEnabled = false;
      context.drawImage(picture, 0, 0, BACKING, BACKING);
      this.lens.draw(context, [picture]);
    }
  }
}
