// The blur's kernel and its |H|: what a motion or a Gaussian does to an image, and to each of its
// frequencies.
import { blur, motionTaps } from "../lab/math.js";
import { build, menu, picture, slider } from "./figure.js";
import { gaussianTaps, magnitude } from "./spectrum.js";
import { CROP, thorax } from "./thorax.js";

const GRID = 33; // pixels of the kernel's picture
const WEAK = 0.01; // |H| from which on noise of one per cent is as strong as the signal

/** @param {Element} box */
export async function kernel(box) {
  const x = await thorax();
  const kind = menu("Blur", [["motion", "motion"], ["gaussian", "Gaussian"]], () => update());
  const pixels = (n) => `${n} pixels`;
  const length = slider("Length", { min: 1, max: 31, step: 2, value: 9 }, pixels, () => update());
  const angle = slider("Angle", { min: 0, max: 180, value: 20 }, (n) => `${n}°`, () => update());
  const width = slider("Width (standard deviation)", { min: 0.5, max: 5, step: 0.25, value: 1 },
    pixels, () => update());
  const taps = picture(GRID, GRID, "Kernel k, scaled to its maximum");
  const spectrum = picture(CROP, CROP, "|H|, frequency zero in the middle");
  const image = picture(CROP, CROP, "What it makes of a piece of the phantom");
  const say = build(box, [kind, length, angle, width], [taps, spectrum, image]);

  function update() {
    const motion = kind.value === "motion";
    length.root.hidden = angle.root.hidden = !motion;
    width.root.hidden = motion;
    const chosen = motion ? motionTaps(length.value, angle.value) : gaussianTaps(width.value);
    const grid = new Float64Array(GRID * GRID), middle = GRID >> 1;
    for (const [row, column, weight] of chosen)
      grid[(row + middle) * GRID + column + middle] = weight;
    const H = magnitude(chosen, CROP), weak = H.filter((value) => value < WEAK).length / H.length;
    taps.show(grid, 0, Math.max(...grid));
    spectrum.show(H);
    image.show(blur(x, chosen));
    say(`|H| is below ${WEAK} at ${(100 * weak).toFixed(1)} % of the frequencies: there a division `
      + `makes noise more than ${1 / WEAK} times as strong.`);
  }

  update();
}
