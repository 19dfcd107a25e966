// What a kernel does to frequencies, without a page.

/** @typedef {import("../lab/math.js").Tap} Tap */

/**
 * A Gaussian kernel of sum one, cut off at three standard deviations.
 * @param {number} deviation in pixels
 * @returns {Tap[]}
 */
export function gaussianTaps(deviation) {
  const reach = Math.ceil(3 * deviation), side = 2 * reach + 1;
  const height = (_, k) => Math.exp(-(((k - reach) / deviation) ** 2) / 2);
  const bell = Array.from({ length: side }, height);
  const sum = bell.reduce((total, value) => total + value, 0);
  return bell.flatMap((a, row) => bell.map((b, column) =>
    /** @type {Tap} */ ([row - reach, column - reach, (a * b) / sum ** 2])));
}

/**
 * |H| of a kernel on size × size frequencies, row by row, frequency zero in the middle.
 * @param {Tap[]} taps
 * @param {number} size
 */
export function magnitude(taps, size) {
  const H = new Float64Array(size * size), turn = (2 * Math.PI) / size, middle = size >> 1;
  for (let i = 0; i < H.length; i++) {
    const [v, u] = [Math.floor(i / size) - middle, (i % size) - middle];
    let [real, imaginary] = [0, 0];
    for (const [row, column, weight] of taps) {
      const phase = turn * (v * row + u * column);
      real += weight * Math.cos(phase);
      imaginary -= weight * Math.sin(phase);
    }
    H[i] = Math.hypot(real, imaginary);
  }
  return H;
}
