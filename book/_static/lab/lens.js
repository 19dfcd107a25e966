// A lens over pictures: it follows the mouse and the arrow keys; after a tap it stays, its glass
// away from the finger. All pictures show the same place.
import { SIDE } from "./math.js";

const ZOOM = 3; // how much larger than the picture the glass shows
const GLASS = 0.375; // side of the glass, as a part of the picture's side
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const inside = (/** @type {number} */ t) => Math.min(1, Math.max(0, t));

export class Lens {
  /** @param {() => void} redraw called where the lens has moved, once before the next frame */
  constructor(redraw) {
    /** @type {[number, number] | null} where it is, from 0 to 1, right and down */
    this.at = null;
    this.touched = false;
    this.frame = 0;
    this.redraw = redraw;
  }

  /** @param {[number, number] | null} at @param {boolean} [touched] */
  move(at, touched = false) {
    this.at = at;
    this.touched = touched;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(this.redraw);
  }

  /** Follow pointers and keys over an element that holds canvases. @param {HTMLElement} element */
  listen(element) {
    let down = [0, 0];
    element.addEventListener("pointerdown", (event) => (down = [event.clientX, event.clientY]));
    element.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && !event.buttons) this.move(this.place(event));
    });
    element.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") this.move(null);
    });
    element.addEventListener("pointerup", (event) => {
      const way = Math.hypot(event.clientX - down[0], event.clientY - down[1]);
      if (event.pointerType !== "mouse" && way < 10) this.tap(this.place(event));
    });
    element.addEventListener("keydown", (event) => this.key(event));
  }

  /**
   * Where in a picture a pointer is.
   * @param {PointerEvent} event
   * @returns {[number, number] | null}
   */
  place({ target, clientX, clientY }) {
    if (!(target instanceof HTMLCanvasElement)) return null;
    const { left, top, width, height } = target.getBoundingClientRect();
    return [inside((clientX - left) / width), inside((clientY - top) / height)];
  }

  /** A tap puts the lens, and a tap on its place takes it away. */
  tap(at) {
    if (!at) return;
    const near = this.at && Math.hypot(at[0] - this.at[0], at[1] - this.at[1]) < 0.06;
    this.move(near ? null : at, true);
  }

  key(event) {
    const step = KEYS[event.key];
    if (event.key === "Escape" && this.at) this.move(null);
    if (!step || !(event.target === event.currentTarget)) return;
    event.preventDefault();
    event.stopPropagation(); // slides would go on
    const [x, y] = this.at ?? [0.5, 0.5];
    this.move([inside(x + step[0] / 32), inside(y + step[1] / 32)]);
  }

  /**
   * Draw the glass, one for each picture side by side.
   * @param {CanvasRenderingContext2D} context of a square canvas
   * @param {HTMLCanvasElement[]} pictures
   */
  draw(context, pictures) {
    if (!this.at || !pictures.length) return;
    const size = context.canvas.width, side = (size * GLASS) / Math.sqrt(pictures.length);
    const width = side * pictures.length, part = (SIDE * side) / size / ZOOM;
    const [x, y] = this.at, fit = (t, room) => Math.min(size - room, Math.max(0, t));
    let left = fit(x * size - width / 2, width), top = fit(y * size - side / 2, side);
    context.lineWidth = size / 128;
    context.strokeStyle = "#ffb000";
    const corner = (t) => Math.min(SIDE - part, Math.max(0, t * SIDE - part / 2));
    if (this.touched) {
      const scale = size / SIDE; // the place itself, and the glass in the farthest corner
      context.strokeRect(corner(x) * scale, corner(y) * scale, part * scale, part * scale);
      [left, top] = [x < 0.5 ? size - width : 0, y < 0.5 ? size - side : 0];
    }
    pictures.forEach((picture, k) => {
      const here = left + k * side;
      context.drawImage(picture, corner(x), corner(y), part, part, here, top, side, side);
      context.strokeRect(here, top, side, side);
    });
  }
}
