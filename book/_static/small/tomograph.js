// A tomograph in pixels: a slice of a chest, its sinogram, the filtered backprojection. Nothing
// here needs a page. Geometry and filter are those of ippy's CTProjector: the middle is pixel
// n / 2, detector pixels are as wide as image pixels, angles divide half a turn.

export const SIZE = 128; // pixels of a side
export const DETECTOR = 183; // pixels: the diagonal of the image
export const LEAST = 4;
export const MOST = 180;

/**
 * An ellipse, in pixels from the middle of the image, and the grey value that it adds.
 * @typedef {object} Ellipse
 * @property {number} x to the right
 * @property {number} y down
 * @property {number} a half axes
 * @property {number} b
 * @property {number} turn in radians
 * @property {number} grey
 */

/**
 * A slice of a chest as ellipses: centre (across, down), half axes, turn in degrees, and the grey
 * value that each adds. Lengths are in halves of the image's side.
 */
const CHEST = [
  [0, 0.02, 0.86, 0.62, 0, 0.5],
  [0, 0.02, 0.8, 0.56, 0, -0.06],
  [-0.4, 0.02, 0.28, 0.42, 8, -0.36],
  [0.42, 0.02, 0.27, 0.4, -8, -0.36],
  [0.1, -0.05, 0.2, 0.24, 30, 0.1],
  [0, 0.4, 0.09, 0.1, 0, 0.46],
  [0, 0.4, 0.04, 0.045, 0, -0.3],
  [-0.3, -0.12, 0.03, 0.03, 0, 0.34],
  [-0.47, 0.16, 0.022, 0.022, 0, 0.34],
  [0.36, 0.2, 0.016, 0.016, 0, 0.36],
  [0.52, -0.1, 0.035, 0.035, 0, 0.34],
  [-0.62, -0.36, 0.09, 0.025, -38, 0.42],
  [0.62, -0.36, 0.09, 0.025, 38, 0.42],
  [-0.72, 0.24, 0.08, 0.025, 58, 0.42],
  [0.72, 0.24, 0.08, 0.025, -58, 0.42],
];

/** The slice for an image of so many pixels. @param {number} [size] @returns {Ellipse[]} */
export const chest = (size = SIZE) => CHEST.map(([x, y, a, b, turn, grey]) => {
  const half = size / 2;
  return { x: x * half, y: y * half, a: a * half, b: b * half, turn: (turn * Math.PI) / 180, grey };
});

/** Angles of n views in radians. @param {number} n */
export const angles = (n) => Array.from({ length: n }, (_, k) => (k * Math.PI) / n);

/** Share of a pixel, of points × points places in it, that lies in an ellipse. */
function covered({ x, y, a, b }, { c, s }, down, across, points) {
  let inside = 0;
  for (let k = 0; k < points ** 2; k++) {
    const v = down + (Math.floor(k / points) + 0.5) / points - 0.5 - y;
    const u = across + ((k % points) + 0.5) / points - 0.5 - x;
    if (((u * c + v * s) / a) ** 2 + ((v * c - u * s) / b) ** 2 <= 1) inside++;
  }
  return inside / points ** 2;
}

/**
 * Ellipses in pixels, each the mean of 4 × 4 points, row by row.
 * @param {number} [size]
 * @param {Ellipse[]} [ellipses]
 */
export function draw(size = SIZE, ellipses = chest(size), points = 4) {
  const image = new Float32Array(size * size), middle = Math.floor(size / 2);
  for (const ellipse of ellipses) {
    const { x, y, a, b, turn, grey } = ellipse, way = { c: Math.cos(turn), s: Math.sin(turn) };
    const reach = Math.max(a, b) + 1, last = size - 1 - middle;
    const from = (centre) => Math.max(-middle, Math.floor(centre - reach));
    const to = (centre) => Math.min(last, Math.ceil(centre + reach));
    for (let down = from(y); down <= to(y); down++)
      for (let across = from(x); across <= to(x); across++)
        image[(down + middle) * size + across + middle] +=
          grey * covered(ellipse, way, down, across, points);
  }
  return image;
}

/** Area of an ellipse on one side of a line, u half widths from its middle. */
const segment = (u, area) => {
  const t = Math.min(1, Math.max(-1, u));
  return (area / Math.PI) * (Math.asin(t) + t * Math.sqrt(1 - t * t));
};

/**
 * The exact sinogram of ellipses: integrals over strips of one pixel's width, view by view.
 * @param {number[]} views angles
 * @param {Ellipse[]} [ellipses]
 * @param {number} [detector] its pixels
 */
export function project(views, ellipses = chest(), detector = DETECTOR) {
  return views.map((angle) => {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    const column = new Float32Array(detector);
    for (const { x, y, a, b, turn, grey } of ellipses) {
      // the ellipse's shadow on the detector: its middle and half width
      const middle = x * c - y * s, area = Math.PI * a * b;
      const width = Math.hypot(a * Math.cos(turn + angle), b * Math.sin(turn + angle));
      for (let t = 0; t < detector; t++) {
        const at = t - Math.floor(detector / 2) - middle;
        column[t] += grey * (segment((at + 0.5) / width, area) - segment((at - 0.5) / width, area));
      }
    }
    return column;
  });
}

/** The ramp filter in space (Kak and Slaney 1988, Eq. 3.61), applied to one view. */
export function ramp(column) {
  const filtered = new Float32Array(column.length);
  for (let t = 0; t < column.length; t++) {
    let sum = column[t] / 4;
    for (let k = t % 2 ? 0 : 1; k < column.length; k += 2)
      sum -= column[k] / (Math.PI * (t - k)) ** 2;
    filtered[t] = sum;
  }
  return filtered;
}

/**
 * Filtered backprojection of a sinogram, interpolated between detector pixels, row by row.
 * @param {Float32Array[]} sinogram
 * @param {number[]} views
 * @param {number} [size]
 */
export function backproject(sinogram, views, size = SIZE) {
  const image = new Float32Array(size * size), middle = Math.floor(size / 2);
  views.forEach((angle, k) => {
    const column = ramp(sinogram[k]), centre = Math.floor(column.length / 2);
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    for (let i = 0; i < image.length; i++) {
      const row = Math.floor(i / size), across = i - row * size - middle;
      const t = across * c - (row - middle) * s + centre, low = Math.floor(t);
      if (low >= 0 && low + 1 < column.length)
        image[i] += column[low] + (t - low) * (column[low + 1] - column[low]);
    }
  });
  const scale = Math.PI / views.length;
  return image.map((value) => value * scale);
}
