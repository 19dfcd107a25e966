// A pixel on all pictures, and the square that a block of a network sees around it. It follows
// pointers and keys as the lens does, and stays where it was put.
import { Lens } from "./lens.js";
import { SIDE } from "./math.js";

/** Seen on dark and bright ground: one line upon another. */
const LINES = [{ width: 5, colour: "#000" }, { width: 3, colour: "#ffb000" }];

export class Field extends Lens {
  /** @param {() => void} redraw @param {number} step pixels between two places that it can have */
  constructor(redraw, step) {
    super(redraw);
    this.step = step;
    /** @type {[number, number]} */
    this.at = [0.5, 0.5];
    /** @type {[number, number]} first and last pixel that are seen, counted from the pixel */
    this.reach = [0, 0];
  }

  /** @param {[number, number] | null} at null leaves it where it is @param {boolean} [touched] */
  move(at, touched = false) {
    super.move(at ?? this.at, touched);
  }

  /** Row or column of the pixel, as far inside the image as its steps allow. */
  pixel(/** @type {number} */ part) {
    const place = Math.round((part * SIDE) / this.step) * this.step;
    return Math.min(SIDE - this.step, Math.max(0, place));
  }

  /** @param {CanvasRenderingContext2D} context of a square canvas */
  draw(context) {
    if (!this.at) return;
    const scale = context.canvas.width / SIDE, [x, y] = this.at.map((part) => this.pixel(part));
    const [first, last] = this.reach, side = (last - first + 1) * scale;
    for (const { width, colour } of LINES) {
      context.lineWidth = (width * context.canvas.width) / 512;
      context.strokeStyle = colour;
      context.strokeRect((x + first) * scale, (y + first) * scale, side, side);
      context.beginPath();
      context.arc((x + 0.5) * scale, (y + 0.5) * scale, 3 * scale, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
