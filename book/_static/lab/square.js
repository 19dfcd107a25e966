// Choosing the square of a large image: drag it, or move it with the arrow keys.
import { make, pen } from "./dom.js";
import { middle } from "./images.js";
import { SIDE } from "./math.js";

const LONGEST = 240; // pixels of the drawing along its longer side
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class SquareChooser {
  /**
   * @param {string} id
   * @param {(square: import("./images.js").Square) => void} chosen called while the square moves
   */
  constructor(id, chosen) {
    this.chosen = chosen;
    /** @type {ImageBitmap | null} */
    this.bitmap = null;
    this.square = { left: 0, top: 0, side: SIDE };
    this.canvas = make("canvas", { class: "lab-square", role: "group", tabindex: 0,
      "aria-label": "Square of your image; arrow keys move it",
      onkeydown: (event) => this.key(event), onpointerdown: (event) => this.hold(event),
      onpointermove: (event) => event.buttons && this.hold(event) });
    this.size = make("input", { type: "range", id: `${id}-square`, min: 0, max: 100, step: 1,
      oninput: () => this.resize() });
    this.root = make("div", { class: "lab-chooser", hidden: true }, this.canvas,
      make("label", { for: this.size.id, text: "Size of the square" }), this.size);
  }

  /** Offer the squares of an image, if there is a choice. @param {ImageBitmap | null} bitmap */
  offer(bitmap) {
    this.bitmap = bitmap;
    this.root.hidden = !bitmap || bitmap.width * bitmap.height < 64
      || Math.max(bitmap.width, bitmap.height) <= SIDE;
    if (!bitmap || this.root.hidden) return;
    this.square = middle(bitmap);
    this.size.value = "100";
    const scale = LONGEST / Math.max(bitmap.width, bitmap.height);
    this.canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    this.canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    this.draw();
  }

  /** Put the middle of the square somewhere, as far as the image reaches. */
  move(x, y) {
    const { bitmap, square } = this;
    if (!bitmap) return;
    const inside = (t, room) => Math.min(room - square.side, Math.max(0, t - square.side / 2));
    square.left = inside(x, bitmap.width);
    square.top = inside(y, bitmap.height);
    this.draw();
    this.chosen({ ...square });
  }

  resize() {
    const { bitmap, square } = this;
    if (!bitmap) return;
    const [x, y] = [square.left + square.side / 2, square.top + square.side / 2];
    const most = Math.min(bitmap.width, bitmap.height), least = Math.min(SIDE, most);
    square.side = Math.round(least * (most / least) ** (+this.size.value / 100));
    this.move(x, y);
  }

  hold(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    if (!this.bitmap) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.move(((event.clientX - left) / width) * this.bitmap.width,
      ((event.clientY - top) / height) * this.bitmap.height);
  }

  key(event) {
    const step = KEYS[event.key], { square } = this;
    if (!step) return;
    event.preventDefault();
    const way = square.side / 16;
    this.move(square.left + square.side / 2 + step[0] * way,
      square.top + square.side / 2 + step[1] * way);
  }

  draw() {
    if (!this.bitmap) return;
    const { width, height } = this.canvas, context = pen(this.canvas);
    const scale = width / this.bitmap.width, { left, top, side } = this.square;
    context.clearRect(0, 0, width, height);
    context.globalAlpha = 0.45;
    context.drawImage(this.bitmap, 0, 0, width, height);
    context.globalAlpha = 1;
    context.drawImage(this.bitmap, left, top, side, side, left * scale, top * scale,
      side * scale, side * scale);
    context.strokeStyle = "#ffb000";
    context.lineWidth = 2;
    context.strokeRect(left * scale + 1, top * scale + 1, side * scale - 2, side * scale - 2);
  }
}
