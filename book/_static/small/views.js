// Few views: a slice, its sinogram and the filtered backprojection, for a number of views that a
// reader drags.
import { psnr } from "../lab/math.js";
import { build, menu, movingWindow, picture, slider } from "./figure.js";
import { angles, backproject, DETECTOR, draw, LEAST, MOST, project, SIZE } from "./tomograph.js";

const START = 30; // views
/**
 * Windows as wide as receptive fields of the book, in pixels of an image of 256.
 * @type {[string, string][]}
 */
const FIELDS = [["7", "7 pixels: ResCNN"], ["0", "no window"], ["25", "25 pixels"],
  ["60", "60 pixels"], ["100", "100 pixels: SimpleUNet"]];

/** @param {Element} box */
export function views(box) {
  const truth = draw(), full = project(angles(MOST));
  const strongest = Math.max(...full.map((column) => Math.max(...column)));
  const sinogram = picture(MOST, DETECTOR, "Sinogram: the columns that are measured");
  const answer = picture(SIZE, SIZE, "Filtered backprojection");
  const slice = picture(SIZE, SIZE, "Slice");
  const pane = movingWindow([answer, slice], [0.625, 0.4375]);
  const count = slider("Views", { min: LEAST, max: MOST, value: START }, (n) => `${n} views`,
    () => update());
  const field = menu("Window", FIELDS, () => pane.resize(+field.value / 256));
  const say = build(box, [count, field], [sinogram, answer, slice]);

  function update() {
    const chosen = angles(count.value), measured = project(chosen);
    // each view stands at its angle; between them nothing is known
    const columns = new Float32Array(MOST * DETECTOR).fill(NaN);
    measured.forEach((column, k) => {
      const where = Math.floor((k * MOST) / count.value);
      column.forEach((value, t) => (columns[t * MOST + where] = value));
    });
    sinogram.show(columns, 0, strongest);
    const image = backproject(measured, chosen);
    answer.show(image);
    say(`${count.value} views of ${MOST}: ${psnr(image, truth).toFixed(1)} dB.`);
  }

  slice.show(truth);
  pane.resize(+field.value / 256);
  update();
}
