// A pixel and the window around it: what a network with so wide a field is shown of a blur and of
// streaks.
import { measure, motionTaps } from "../lab/math.js";
import { build, movingWindow, picture, slider } from "./figure.js";
import { angles, backproject, chest, draw, project } from "./tomograph.js";

const SIDE = 256, DETECTOR = 363, VIEWS = 30;
const LEAST = 7, MOST = 100; // the fields of ResCNN and SimpleUNet

/** The pixels in a window; NaN outside the image. */
function cut(image, [x, y], size) {
  const [left, top] = [x, y].map((part) => Math.round(part * SIDE - size / 2));
  return Float64Array.from({ length: size * size }, (_, i) => {
    const [row, column] = [top + Math.floor(i / size), left + (i % size)];
    const outside = Math.min(row, column) < 0 || Math.max(row, column) >= SIDE;
    return outside ? NaN : image[row * SIDE + column];
  });
}

/** @param {Element} box */
export function fieldWindow(box) {
  const x = Float64Array.from(draw(SIDE)), views = angles(VIEWS);
  const images = [measure(x, motionTaps(9, 20), 0.01, 1),
    backproject(project(views, chest(SIDE), DETECTOR), views, SIDE)];
  const names = ["motion blur", `streaks of ${VIEWS} views`];
  const wholes = names.map((name) => picture(SIDE, SIDE, `Measured with ${name}`));
  const parts = names.map((name) => picture(LEAST, LEAST, `All that is seen: ${name}`));
  const size = slider("Window", { min: LEAST, max: MOST, value: 25 }, (n) => `${n} pixels`,
    () => update());
  const pane = movingWindow(wholes, [0.35, 0.44], () => show());
  const say = build(box, [size], [wholes[0], parts[0], wholes[1], parts[1]]);

  /** What the windows hold. */
  function show() {
    const side = size.value;
    parts.forEach(({ canvas, show: draw }, k) => {
      Object.assign(canvas, { width: side, height: side });
      draw(cut(images[k], pane.at, side));
    });
  }

  function update() {
    const side = size.value, share = (100 * side ** 2) / SIDE ** 2;
    pane.resize(side / SIDE);
    say(`${side} × ${side} pixels: ${share.toFixed(share < 1 ? 2 : 0)} % of the image.`);
  }

  images.forEach((image, k) => wholes[k].show(image));
  update();
}
