// What the lab computes without a network: blur, noise, errors and the classical reconstructions.
// The formulas are those of ippy.operators, ippy.utilities, ippy.metrics and ippy.classical; tests
// compare them. Images are square arrays of grey values in [0, 1], row by row; those of the
// laboratory have SIDE x SIDE pixels, as ssim wants them.

/** @typedef {Float64Array} Image */
/** @typedef {[number, number, number]} Tap row, column and weight, counted from the centre */

export const SIDE = 256;

/**
 * Uniform straight motion: the weight of a pixel is the length of the line in it.
 * @param {number} length in pixels, odd
 * @param {number} angle in degrees
 * @returns {Tap[]}
 */
export function motionTaps(length, angle) {
  const theta = (angle * Math.PI) / 180, half = length / 2;
  /** @type {Tap[]} */
  const taps = [];
  // The line is t (cos, -sin), |t| <= length / 2; it is in row or column m from t[0] to t[1].
  const between = (m, slope) => [(m - 0.5) / slope, (m + 0.5) / slope].sort((a, b) => a - b);
  for (let row = -(length >> 1); row <= length >> 1; row++)
    for (let column = -(length >> 1); column <= length >> 1; column++) {
      const [r, c] = [between(row, -Math.sin(theta)), between(column, Math.cos(theta))];
      const weight = Math.min(r[1], c[1], half) - Math.max(r[0], c[0], -half);
      if (weight > 0) taps.push([row, column, weight]);
    }
  const sum = taps.reduce((total, tap) => total + tap[2], 0);
  for (const tap of taps) tap[2] /= sum;
  return taps;
}

/**
 * The mirrored taps: blurring with them is the adjoint.
 * @param {Tap[]} taps
 * @returns {Tap[]}
 */
export const mirrored = (taps) => taps.map(([row, column, weight]) => [-row, -column, weight]);

/**
 * y[i, j] = sum of weight * x[i - row, j - column]; outside the image lie zeros.
 * @param {Image} x
 * @param {Tap[]} taps
 * @param {Image} [y] where the result goes
 */
export function blur(x, taps, y = new Float64Array(x.length)) {
  const side = Math.sqrt(x.length);
  y.fill(0);
  for (const [row, column, weight] of taps) {
    const from = Math.max(0, column), to = side + Math.min(0, column);
    for (let i = Math.max(0, row); i < side + Math.min(0, row); i++) {
      const target = i * side, source = (i - row) * side - column;
      for (let j = from; j < to; j++) y[target + j] += weight * x[source + j];
    }
  }
  return y;
}

/** @param {Image} a @param {Image} b @returns {number} */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/**
 * White Gaussian noise of norm level * |y|, a function of the seed (Box and Muller; mulberry32).
 * @param {Image} y
 * @param {number} level
 * @param {number} seed
 */
export function gaussianNoise(y, level, seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const radius = () => Math.sqrt(-2 * Math.log(1 - uniform()));
  const e = y.map(() => radius() * Math.cos(2 * Math.PI * uniform()));
  const scale = level * Math.sqrt(dot(y, y) / dot(e, e));
  return e.map((value) => value * scale);
}

/**
 * Blurred image plus noise.
 * @param {Image} x
 * @param {Tap[]} taps
 * @param {number} level
 * @param {number} seed
 */
export function measure(x, taps, level, seed) {
  const y = blur(x, taps), e = gaussianNoise(y, level, seed);
  return y.map((value, i) => value + e[i]);
}

/**
 * Peak signal-to-noise ratio in decibel for grey values in [0, 1]; Infinity for equal images.
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 */
export function psnr(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return 10 * Math.log10(a.length / sum);
}

const REACH = 5; // pixels on each side that the window of ssim has, a bell of deviation 1.5
const BELL = Array.from({ length: 2 * REACH + 1 }, (_, k) => Math.exp(-((k - REACH) ** 2) / 4.5));
const BELL_SUM = BELL.reduce((sum, value) => sum + value, 0);
/** Where a row or column beside the image is mirrored. */
const mirror = (/** @type {number} */ i) => SIDE - 1 - Math.abs(SIDE - 1 - Math.abs(i));

/** Weighted means over the window around each pixel. @param {Image} x */
function windowMeans(x) {
  const rows = new Float64Array(SIDE * SIDE), means = new Float64Array(SIDE * SIDE);
  BELL.forEach((bell, k) => {
    for (let i = 0; i < SIDE; i++) {
      const from = mirror(i + k - REACH) * SIDE, to = i * SIDE;
      for (let j = 0; j < SIDE; j++) rows[to + j] += (bell / BELL_SUM) * x[from + j];
    }
  });
  BELL.forEach((bell, k) => {
    for (let j = 0; j < SIDE; j++) {
      const from = mirror(j + k - REACH);
      for (let i = 0; i < SIDE * SIDE; i += SIDE)
        means[i + j] += (bell / BELL_SUM) * rows[i + from];
    }
  });
  return means;
}

/**
 * Structural similarity (Wang et al. 2004), as ippy.metrics.ssim.
 * @param {Image} a
 * @param {Image} b
 */
export function ssim(a, b) {
  const product = (u, v) => u.map((value, i) => value * v[i]);
  const [ma, mb] = [a, b].map(windowMeans);
  const [aa, bb, ab] = [product(a, a), product(b, b), product(a, b)].map(windowMeans);
  const [c1, c2] = [0.01 ** 2, 0.03 ** 2];
  let sum = 0;
  for (let i = 0; i < ma.length; i++) {
    const [va, vb] = [Math.max(0, aa[i] - ma[i] ** 2), Math.max(0, bb[i] - mb[i] ** 2)];
    const likeness = (2 * ma[i] * mb[i] + c1) / (ma[i] ** 2 + mb[i] ** 2 + c1);
    sum += (likeness * (2 * (ab[i] - ma[i] * mb[i]) + c2)) / (va + vb + c2);
  }
  return sum / ma.length;
}

/** Differences to the next row (first half) and column (second half); none at the last. */
function gradient(x, g = new Float64Array(2 * x.length)) {
  const n = x.length, side = Math.sqrt(n);
  for (let i = 0; i < n; i++) {
    g[i] = i + side < n ? x[i + side] - x[i] : 0;
    g[n + i] = (i + 1) % side ? x[i + 1] - x[i] : 0;
  }
  return g;
}

function gradientAdjoint(g, x = new Float64Array(g.length / 2)) {
  const n = x.fill(0).length, side = Math.sqrt(n);
  for (let i = 0; i < n; i++) {
    if (i + side < n) (x[i] -= g[i]), (x[i + side] += g[i]);
    if ((i + 1) % side) (x[i] -= g[n + i]), (x[i + 1] += g[n + i]);
  }
  return x;
}

/**
 * The result of a computation in steps, all at once.
 * @template T
 * @param {Generator<void, T>} steps
 * @returns {T}
 */
export function finish(steps) {
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

/** Transposed gradient after gradient: the penalty on edges. @param {Image} x */
const edges = (x) => gradientAdjoint(gradient(x));
/** The penalty on grey values themselves. @param {Image} x */
const values = (x) => x;

/**
 * Minimise |Kx - y|^2 + lambda |Lx|^2 by conjugate gradients, as ippy.classical.tikhonov.
 * @param {Image} y
 * @param {Tap[]} taps
 * @param {number} lambda
 * @param {(x: Image) => Image} [penalty] the transposed L after L; L is the gradient by default
 * @returns {Generator<void, Image>} it stops for breath after each iteration
 */
export function* tikhonovSteps(y, taps, lambda, penalty = edges) {
  const adjoint = mirrored(taps);
  let r = blur(y, adjoint), p = r, rr = dot(r, r);
  const x = new Float64Array(y.length), stop = 1e-12 * rr;
  for (let iteration = 0; iteration < 100 && rr > stop; iteration++) {
    const Ap = blur(blur(p, taps), adjoint), Lp = penalty(p);
    for (let i = 0; i < Ap.length; i++) Ap[i] += lambda * Lp[i];
    const step = rr / dot(p, Ap);
    for (let i = 0; i < x.length; i++) x[i] += step * p[i];
    r = r.map((value, i) => value - step * Ap[i]);
    const before = rr;
    rr = dot(r, r);
    p = r.map((value, i) => value + (rr / before) * p[i]);
    yield;
  }
  return x;
}

/**
 * An answer x moved towards the data, as networks end that are told the operator (ippy.tasks):
 * by the d that minimises |Kd - (y - Kx)|^2 + weight |d|^2.
 * @param {Image} x
 * @param {Image} y
 * @param {Tap[]} taps
 * @param {number} weight
 * @returns {Generator<void, Image>}
 */
export function* dataStep(x, y, taps, weight) {
  const Kx = blur(x, taps), rest = y.map((value, i) => value - Kx[i]);
  const d = yield* tikhonovSteps(rest, taps, weight, values);
  return x.map((value, i) => value + d[i]);
}

/**
 * Minimise |Kx - y|^2 / 2 + lambda TV(x), as ippy.classical.total_variation; |K| is at most 1.
 * @param {Image} y
 * @param {Tap[]} taps
 * @param {number} lambda
 * @param {number} [iterations]
 * @returns {Generator<void, Image>} it stops for breath after each iteration
 */
export function* totalVariationSteps(y, taps, lambda, iterations = 200) {
  const adjoint = mirrored(taps), n = y.length;
  const norm = 1.05, sigmaP = 0.1, sigmaQ = 10 * lambda;
  const tau = 1 / (sigmaP * norm ** 2 + sigmaQ * 8);
  const x = blur(y, adjoint).map((value) => value / norm ** 2);
  const p = blur(x, taps).map((value, i) => value - y[i]), q = new Float64Array(2 * n);
  const empty = () => new Float64Array(n);
  const [z, ahead, back, divergence, blurred] = [empty(), empty(), empty(), empty(), empty()];
  const slope = new Float64Array(2 * n);
  for (let iteration = 0; iteration < iterations; iteration++) {
    blur(p, adjoint, back);
    gradientAdjoint(q, divergence);
    for (let i = 0; i < n; i++) {
      z[i] = x[i] - tau * (back[i] + divergence[i]);
      ahead[i] = 2 * z[i] - x[i];
    }
    blur(ahead, taps, blurred);
    gradient(ahead, slope);
    for (let i = 0; i < n; i++) {
      const v = q[i] + sigmaQ * slope[i], h = q[n + i] + sigmaQ * slope[n + i];
      const shrink = lambda / Math.max(Math.sqrt(v * v + h * h), lambda); // onto a disc
      q[i] += 1.9 * (v * shrink - q[i]);
      q[n + i] += 1.9 * (h * shrink - q[n + i]);
      p[i] += 1.9 * ((p[i] + sigmaP * (blurred[i] - y[i])) / (1 + sigmaP) - p[i]);
      x[i] += 1.9 * (z[i] - x[i]);
    }
    yield;
  }
  return z;
}

/** The classical methods by their keys in the registry. */
export const CLASSICAL = { Tikhonov: tikhonovSteps, TV: totalVariationSteps };
