// The weight of the penalty: what Tikhonov and total variation make of one measurement when a
// reader drags λ. They are computed in slices of a frame, so that the page stays alive.
import { CLASSICAL, measure, motionTaps, psnr } from "../lab/math.js";
import { build, menu, picture, slider } from "./figure.js";
import { CROP, thorax } from "./thorax.js";

const TAPS = motionTaps(9, 20); // the blur of the book
const FRAME = 10; // milliseconds of arithmetic between two frames
const METHODS = /** @type {const} */ ({ Tikhonov: "Tikhonov", TV: "Total variation" });
/** Exponents of ten that a reader can choose, and those of the book at noise level 0.01. */
const RANGE = { min: -6, max: 1, step: 0.25 }, START = { Tikhonov: -2.75, TV: -3.5 };

/**
 * Carry out a computation bit by bit; null if another one is wanted before its end.
 * @template T
 * @param {Generator<unknown, T>} steps
 * @param {() => boolean} current
 * @returns {Promise<T | null>}
 */
async function inSlices(steps, current) {
  for (let step = steps.next(), begin = performance.now(); ; step = steps.next()) {
    if (step.done) return step.value;
    if (performance.now() - begin < FRAME) continue;
    await new Promise((go) => setTimeout(go));
    if (!current()) return null;
    begin = performance.now();
  }
}

/** @param {Element} box */
export async function lambda(box) {
  const x = await thorax();
  const noise = menu("Noise level", [["0.01", "0.01"], ["0.05", "0.05"], ["0.2", "0.2"]],
    () => update());
  const measured = picture(CROP, CROP, "Measured");
  const words = (exponent) => `${Number((10 ** exponent).toPrecision(2))}`;
  const solvers = Object.entries(METHODS).map(([key, title]) => ({ key, title, busy: false,
    due: false, canvas: picture(CROP, CROP, title), result: "",
    control: slider(`λ, ${title}`, { ...RANGE, value: START[key] }, words, () => solve(key)) }));
  const say = build(box, [noise, ...solvers.map(({ control }) => control)],
    [measured, ...solvers.map(({ canvas }) => canvas)]);
  let y = x, version = 0;

  /** The newest λ of a method; what is being computed is finished first, unless y is another. */
  async function solve(/** @type {string} */ key) {
    const solver = solvers.find((one) => one.key === key);
    if (!solver) return;
    solver.due = true;
    if (solver.busy) return;
    solver.busy = true;
    while (solver.due) {
      solver.due = false;
      const mine = version, steps = CLASSICAL[key](y, TAPS, 10 ** solver.control.value);
      const answer = await inSlices(steps, () => mine === version);
      if (!answer) continue;
      solver.canvas.show(answer);
      solver.result = `${solver.title} ${psnr(answer, x).toFixed(1)} dB`;
      const results = solvers.map(({ result }) => result).filter(Boolean).join(", ");
      say(`Measured ${psnr(y, x).toFixed(1)} dB. ${results}.`);
    }
    solver.busy = false;
  }

  function update() {
    version++;
    y = measure(x, TAPS, +noise.value, 1);
    measured.show(y);
    for (const { key, result, canvas } of solvers) {
      if (!result) canvas.show(y); // until there is something better
      solve(key);
    }
  }

  update();
}
