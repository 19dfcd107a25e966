// What the lab computes without a network: blur, noise, errors and the classical reconstructions. The formulas are
// those of ippy.operators, ippy.utilities and ippy.classical, whose tests compare them. Images are square arrays of
// SIDE x SIDE grey values in [0, 1], row by row.

export const SIDE = 256;

/** Uniform straight motion as taps [row, column, weight], counted from the centre: the length of the line in each pixel. */
export function motionTaps(length, angle) {
  const theta = (angle * Math.PI) / 180, half = length / 2, taps = [];
  // The line is t (cos, -sin), |t| <= length / 2. It is between the sides of row or column m from t[0] to t[1].
  const between = (m, slope) => [(m - 0.5) / slope, (m + 0.5) / slope].sort((a, b) => a - b);
  for (let row = -(length >> 1); row <= length >> 1; row++)
    for (let column = -(length >> 1); column <= length >> 1; column++) {
      const [r, c] = [between(row, -Math.sin(theta)), between(column, Math.cos(theta))];
      const weight = Math.min(r[1], c[1], half) - Math.max(r[0], c[0], -half);
      if (weight > 0) taps.push([row, column, weight]);
    }
  const sum = taps.reduce((total, tap) => total + tap[2], 0);
  return taps.map(([row, column, weight]) => [row, column, weight / sum]);
}

/** The mirrored taps: blurring with them is the adjoint. */
export const mirrored = (taps) => taps.map(([row, column, weight]) => [-row, -column, weight]);

/** y[i, j] = sum of weight * x[i - row, j - column]; outside the image lie zeros. */
export function blur(x, taps, y = new Float64Array(SIDE * SIDE)) {
  y.fill(0);
  for (const [row, column, weight] of taps) {
    const from = Math.max(0, column), to = SIDE + Math.min(0, column);
    for (let i = Math.max(0, row); i < SIDE + Math.min(0, row); i++) {
      const target = i * SIDE, source = (i - row) * SIDE - column;
      for (let j = from; j < to; j++) y[target + j] += weight * x[source + j];
    }
  }
  return y;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** White Gaussian noise of norm level * |y|, a function of the seed (Box and Muller; generator: mulberry32). */
export function gaussianNoise(y, level, seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const e = y.map(() => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
  const scale = level * Math.sqrt(dot(y, y) / dot(e, e));
  return e.map((value) => value * scale);
}

/** Blurred image plus noise. */
export function measure(x, taps, level, seed) {
  const y = blur(x, taps), e = gaussianNoise(y, level, seed);
  return y.map((value, i) => value + e[i]);
}

/** Peak signal-to-noise ratio in decibel for grey values in [0, 1]; Infinity for equal images. */
export function psnr(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return 10 * Math.log10(a.length / sum);
}

/** Differences to the next row (first half) and column (second half); none at the last. */
function gradient(x, g = new Float64Array(2 * SIDE * SIDE)) {
  const n = x.length;
  for (let i = 0; i < n; i++) {
    g[i] = i + SIDE < n ? x[i + SIDE] - x[i] : 0;
    g[n + i] = (i + 1) % SIDE ? x[i + 1] - x[i] : 0;
  }
  return g;
}

function gradientAdjoint(g, x = new Float64Array(SIDE * SIDE)) {
  const n = x.fill(0).length;
  for (let i = 0; i < n; i++) {
    if (i + SIDE < n) (x[i] -= g[i]), (x[i + SIDE] += g[i]);
    if ((i + 1) % SIDE) (x[i] -= g[n + i]), (x[i + 1] += g[n + i]);
  }
  return x;
}

/** Minimise |Kx - y|^2 + lambda |grad x|^2 by conjugate gradients, as ippy.classical.tikhonov. */
export function tikhonov(y, taps, lambda) {
  const adjoint = mirrored(taps);
  let r = blur(y, adjoint), p = r, rr = dot(r, r);
  const x = new Float64Array(y.length), stop = 1e-12 * rr;
  for (let iteration = 0; iteration < 100 && rr > stop; iteration++) {
    const Ap = blur(blur(p, taps), adjoint), penalty = gradientAdjoint(gradient(p));
    for (let i = 0; i < Ap.length; i++) Ap[i] += lambda * penalty[i];
    const step = rr / dot(p, Ap);
    for (let i = 0; i < x.length; i++) x[i] += step * p[i];
    r = r.map((value, i) => value - step * Ap[i]);
    const before = rr;
    rr = dot(r, r);
    p = r.map((value, i) => value + (rr / before) * p[i]);
  }
  return x;
}

/** Minimise |Kx - y|^2 / 2 + lambda TV(x), as ippy.classical.total_variation; a blur's norm is at most 1. */
export function totalVariation(y, taps, lambda, iterations = 200) {
  const adjoint = mirrored(taps), n = y.length, norm = 1.05, sigmaP = 0.1, sigmaQ = 10 * lambda;
  const tau = 1 / (sigmaP * norm ** 2 + sigmaQ * 8);
  const x = blur(y, adjoint).map((value) => value / norm ** 2);
  const p = blur(x, taps).map((value, i) => value - y[i]), q = new Float64Array(2 * n);
  const [z, ahead, back, divergence, blurred] = Array.from({ length: 5 }, () => new Float64Array(n));
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
      const shrink = lambda / Math.max(Math.sqrt(v * v + h * h), lambda); // onto the disc of radius lambda
      q[i] += 1.9 * (v * shrink - q[i]);
      q[n + i] += 1.9 * (h * shrink - q[n + i]);
      p[i] += 1.9 * ((p[i] + sigmaP * (blurred[i] - y[i])) / (1 + sigmaP) - p[i]);
      x[i] += 1.9 * (z[i] - x[i]);
    }
  }
  return z;
}
