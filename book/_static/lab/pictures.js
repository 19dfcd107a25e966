// Pixels: grey or coloured pictures of images, and signed error maps.
import { make, pen } from "./dom.js";
import { SIDE } from "./math.js";

/** Colours of an error map: too dark, equal, too bright; from blue over white to red. */
const STOPS = [[5, 48, 140], [106, 166, 214], [247, 247, 247], [239, 138, 98], [150, 10, 30]];

/** Colour of t in [-1, 1], between the stops. */
function signedColour(t) {
  const place = (Math.min(1, Math.max(-1, t)) + 1) * 2, k = Math.min(3, Math.floor(place));
  return STOPS[k].map((value, c) => value + (place - k) * (STOPS[k + 1][c] - value));
}

/** The scale as a background for a legend. */
export const SCALE = `linear-gradient(to right, ${STOPS.map((c) => `rgb(${c})`).join(", ")})`;

/** Error at which the colour is full, for an amplification of 2 to this power. */
export const fullScale = (/** @type {number} */ gain) => 0.4 / 2 ** gain;

/** A canvas of SIDE x SIDE pixels from a function that writes the red, green and blue of each. */
function paint(write) {
  const pixels = new ImageData(SIDE, SIDE), { data } = pixels;
  for (let i = 0; i < SIDE * SIDE; i++) {
    write(data, 4 * i, i);
    data[4 * i + 3] = 255;
  }
  const canvas = make("canvas", { width: SIDE, height: SIDE });
  pen(canvas).putImageData(pixels, 0, 0);
  return canvas;
}

/**
 * An image as it is seen: what differs from the true brightness is added to the true colour.
 * @param {import("./math.js").Image} image
 * @param {import("./images.js").Picture} truth
 */
export function seen(image, { grey, colour }) {
  return paint((data, at, i) => {
    if (colour) {
      const shift = 255 * (image[i] - grey[i]); // rounded and cut off as it is written
      for (let c = 0; c < 3; c++) data[at + c] = colour[at + c] + shift;
    } else data[at] = data[at + 1] = data[at + 2] = 255 * image[i];
  });
}

/**
 * Image minus truth: red where it is too bright, blue where too dark.
 * @param {import("./math.js").Image} image
 * @param {import("./images.js").Picture} truth
 * @param {number} gain
 */
export function errorMap(image, { grey }, gain) {
  const full = fullScale(gain);
  const table = Array.from({ length: 511 }, (_, i) => signedColour((i - 255) / 255));
  return paint((data, at, i) => {
    const t = Math.min(1, Math.max(-1, (image[i] - grey[i]) / full));
    const colour = table[Math.round(255 * t) + 255];
    for (let c = 0; c < 3; c++) data[at + c] = colour[c];
  });
}
