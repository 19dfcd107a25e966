// Maps of a network: which of their channels vary most, and these as pictures. Nothing but the
// painting needs a page.
import { make, pen } from "./dom.js";

/**
 * Some channels of a map.
 * @typedef {object} Channels
 * @property {number} side pixels of a channel along one side
 * @property {number} of how many channels the map has
 * @property {number[]} channels which ones these are
 * @property {Float32Array} data their values, channel by channel
 */

/**
 * The channels of a map that vary most over the image, the first one most.
 * @param {Float32Array} data channel by channel
 * @param {number} size values of a channel
 * @param {number} count how many are wanted
 * @returns {number[]}
 */
export function strongest(data, size, count) {
  const variance = Array.from({ length: data.length / size }, (_, c) => {
    let sum = 0, squares = 0;
    for (let i = c * size; i < (c + 1) * size; i++) {
      sum += data[i];
      squares += data[i] * data[i];
    }
    return squares / size - (sum / size) ** 2;
  });
  const order = variance.map((_, c) => c).sort((a, b) => variance[b] - variance[a]);
  return order.slice(0, count);
}

/**
 * Channels of a tensor (1, channels, side, side): those that are named, or the strongest.
 * @param {{data: Float32Array, dims: readonly number[]}} tensor
 * @param {number[] | null} named
 * @param {number} [count]
 * @returns {Channels}
 */
export function pick({ data, dims }, named, count = 8) {
  const [, of, side] = dims, size = side * side;
  const channels = named ?? strongest(data, size, count);
  const picked = new Float32Array(channels.length * size);
  channels.forEach((c, k) => picked.set(data.subarray(c * size, (c + 1) * size), k * size));
  return { side, of, channels, data: picked };
}

/** @typedef {[number, number]} Range least and greatest value, but for a few outliers */

/**
 * The range of each channel.
 * @param {Channels} map
 * @param {number} [below] share of the values that lie below the range
 * @param {number} [above] share of those above it
 * @returns {Range[]}
 */
export function ranges({ side, channels, data }, below = 0, above = 0.005) {
  return channels.map((_, k) => {
    const values = data.slice(k * side * side, (k + 1) * side * side).sort();
    const last = values.length - 1;
    return [values[Math.floor(below * last)], values[Math.ceil((1 - above) * last)]];
  });
}

/**
 * Draw the first channels of a map in rows, each in its own grey scale.
 * @param {HTMLCanvasElement} canvas its size is set
 * @param {Channels} map
 * @param {Range[]} scale black and white of each channel
 * @param {number} [columns]
 * @param {number} [rows]
 */
export function draw(canvas, { side, data }, scale, columns = 1, rows = 1) {
  Object.assign(canvas, { width: columns * side, height: rows * side });
  for (let k = 0; k < Math.min(columns * rows, scale.length); k++) {
    const pixels = new ImageData(side, side), [low, high] = scale[k];
    const gain = 255 / (high - low || 1);
    for (let i = 0; i < side * side; i++) {
      const grey = gain * (data[k * side * side + i] - low); // rounded and cut off as it is written
      pixels.data.fill(grey, 4 * i, 4 * i + 3);
      pixels.data[4 * i + 3] = 255;
    }
    pen(canvas).putImageData(pixels, (k % columns) * side, Math.floor(k / columns) * side);
  }
}

/**
 * An image with orange laid over it where a map is large.
 * @param {import("./math.js").Image} image
 * @param {Channels} map of one channel, whose side divides the image's
 * @param {Range} scale
 * @param {number} strength from 0 to 1
 */
export function overlay(image, { side, data }, [low, high], strength) {
  const size = Math.sqrt(image.length), canvas = make("canvas", { width: size, height: size });
  const pixels = new ImageData(size, size), step = size / side;
  for (let i = 0; i < image.length; i++) {
    const row = Math.floor(Math.floor(i / size) / step), column = Math.floor((i % size) / step);
    const place = (data[row * side + column] - low) / (high - low || 1);
    const share = strength * Math.min(1, Math.max(0, place));
    [255, 140, 0].forEach((colour, c) => {
      pixels.data[4 * i + c] = 255 * image[i] * (1 - share) + colour * share;
    });
    pixels.data[4 * i + 3] = 255;
  }
  pen(canvas).putImageData(pixels, 0, 0);
  return canvas;
}
