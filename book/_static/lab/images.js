// Images of the reader and samples of the book as SIDE x SIDE grey values, with their colour.
import { address } from "./facts.js";
import { SIDE } from "./math.js";
import { make } from "./dom.js";

/**
 * An image to work with.
 * @typedef {object} Picture
 * @property {import("./math.js").Image} grey its luminance in [0, 1]
 * @property {Uint8ClampedArray | null} colour red, green, blue, opacity of each pixel; null: grey
 */
/** @typedef {{left: number, top: number, side: number}} Square part of a bitmap, in its pixels */

/** The largest square in the middle. @param {ImageBitmap} bitmap @returns {Square} */
export function middle({ width, height }) {
  const side = Math.min(width, height);
  return { left: (width - side) / 2, top: (height - side) / 2, side };
}

/**
 * A square of a bitmap; it is halved step by step, so that nothing aliases.
 * @param {ImageBitmap} bitmap
 * @param {Square} square
 * @returns {Picture}
 */
export function cut(bitmap, square) {
  /** @type {ImageBitmap | HTMLCanvasElement} */
  let source = bitmap;
  let { side, left, top } = square, data;
  do {
    const next = side >= 2 * SIDE ? Math.max(SIDE, Math.floor(side / 2)) : SIDE;
    const canvas = make("canvas", { width: next, height: next });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context) throw new Error("this browser draws no pictures: canvas is not allowed here");
    context.imageSmoothingQuality = "high";
    context.fillStyle = "white"; // behind what is transparent
    context.fillRect(0, 0, next, next);
    context.drawImage(source, left, top, side, side, 0, 0, next, next);
    data = context.getImageData(0, 0, SIDE, SIDE).data;
    [source, side, left, top] = [canvas, next, 0, 0];
  } while (side > SIDE);
  const luma = (i) => (299 * data[i] + 587 * data[i + 1] + 114 * data[i + 2]) / 255000; // ITU-R 601
  const grey = Float64Array.from({ length: SIDE * SIDE }, (_, i) => luma(4 * i));
  const spread = (i) => Math.max(data[i], data[i + 1], data[i + 2]) -
    Math.min(data[i], data[i + 1], data[i + 2]);
  const coloured = grey.some((_, i) => spread(4 * i) > 12);
  return { grey, colour: coloured ? data : null };
}

/**
 * The bitmap of a file that a reader gives.
 * @param {File} file
 */
export async function decode(file) {
  if (!file.size) throw new Error(`“${file.name}” is empty. Choose a PNG or JPEG image.`);
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(`“${file.name}” is damaged or no image that this browser can read. `
      + "Choose a PNG or JPEG image.");
  }
}

/**
 * What was done to a reader's image, in words.
 * @param {string} name
 * @param {ImageBitmap} bitmap
 * @param {Square} square
 * @param {boolean} coloured
 */
export function story(name, { width, height }, square, coloured) {
  const whole = middle(/** @type {ImageBitmap} */ ({ width, height }));
  let part = "";
  if (square.side < whole.side) part = `, a square of ${Math.round(square.side)} pixels`;
  else if (square.left !== whole.left || square.top !== whole.top) part = ", a square of it";
  else if (width !== height) part = ", its middle square";
  const change = square.side < SIDE ? "enlarged" : "reduced";
  const resized = square.side === SIDE ? "" : `, ${change} to ${SIDE} × ${SIDE}`;
  const flat = width * height < 64 ? " So few pixels hold nothing to see." : "";
  const colour = coloured ? " Its brightness is measured and restored, its colour kept." : "";
  return `“${name}”, ${width} × ${height}${part}${resized}.${flat}${colour} `
    + "It stays on this machine.";
}

/** A sample of the book. @param {string} file @returns {Promise<Picture>} */
export async function readSample(file) {
  const answer = await fetch(address(file));
  if (!answer.ok) throw new Error(`The image ${file} is missing on the server.`);
  const bitmap = await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" });
  return cut(bitmap, middle(bitmap));
}
