"use strict";
// Few views: a slice, its sinogram and the filtered backprojection, for a number of views that a reader drags.
// First part: arithmetic, without a page. Second part: the figure. Geometry and filter are those of ippy's
// CTProjector: the middle is pixel n / 2, detector pixels are as wide as image pixels, angles divide half a turn.
// A classic script, not a module: browsers load modules only from a server, and the book is also read from a disk.

globalThis.fewViews = (() => {
// ---- Arithmetic -----------------------------------------------------------------------------------------------

const SIZE = 128; // pixels of a side
const DETECTOR = 183; // pixels: the diagonal of the image
const LEAST = 4;
const MOST = 180;

/**
 * A slice of a chest as ellipses: centre (across, down), half axes, turn in degrees, and the grey value that each
 * adds. Lengths are in halves of the image's side.
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
].map(([x, y, a, b, turn, grey]) => {
  const half = SIZE / 2;
  return { x: x * half, y: y * half, a: a * half, b: b * half, turn: (turn * Math.PI) / 180, grey };
});

/** Angles of n views in radians. */
const angles = (n) => Array.from({ length: n }, (_, k) => (k * Math.PI) / n);

/** The slice in pixels, each the mean of 4 × 4 points: Float32Array, row by row. */
function draw(ellipses = CHEST, size = SIZE, points = 4) {
  const image = new Float32Array(size * size);
  for (const { x, y, a, b, turn, grey } of ellipses) {
    const [c, s] = [Math.cos(turn), Math.sin(turn)];
    const reach = Math.max(a, b) + 1;
    const middle = Math.floor(size / 2);
    const [top, bottom] = [Math.floor(y - reach) + middle, Math.ceil(y + reach) + middle];
    const [left, right] = [Math.floor(x - reach) + middle, Math.ceil(x + reach) + middle];
    for (let row = Math.max(0, top); row < Math.min(size, bottom); row++)
      for (let column = Math.max(0, left); column < Math.min(size, right); column++) {
        let inside = 0;
        for (let i = 0; i < points; i++)
          for (let j = 0; j < points; j++) {
            const v = row - middle + (i + 0.5) / points - 0.5 - y;
            const u = column - middle + (j + 0.5) / points - 0.5 - x;
            const [p, q] = [(u * c + v * s) / a, (v * c - u * s) / b];
            if (p * p + q * q <= 1) inside++;
          }
        image[row * size + column] += (grey * inside) / points ** 2;
      }
  }
  return image;
}

/** Area of an ellipse on one side of a line, whose distance from the middle is u times the half width. */
const segment = (u, area) => {
  const t = Math.min(1, Math.max(-1, u));
  return (area / Math.PI) * (Math.asin(t) + t * Math.sqrt(1 - t * t));
};

/** The exact sinogram of ellipses: integrals over strips of one pixel's width, one Float32Array for each view. */
function project(views, ellipses = CHEST, detector = DETECTOR) {
  return views.map((angle) => {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    const column = new Float32Array(detector);
    for (const { x, y, a, b, turn, grey } of ellipses) {
      // the ellipse's shadow on the detector: its middle and half width
      const middle = x * c - y * s;
      const width = Math.hypot(a * Math.cos(turn + angle), b * Math.sin(turn + angle));
      for (let t = 0; t < detector; t++) {
        const at = t - Math.floor(detector / 2) - middle;
        column[t] += grey * (segment((at + 0.5) / width, Math.PI * a * b) - segment((at - 0.5) / width, Math.PI * a * b));
      }
    }
    return column;
  });
}

/** The ramp filter in space (Kak and Slaney 1988, Eq. 3.61), applied to one view. */
function ramp(column) {
  const filtered = new Float32Array(column.length);
  for (let t = 0; t < column.length; t++) {
    let sum = column[t] / 4;
    for (let k = t % 2 ? 0 : 1; k < column.length; k += 2) sum -= column[k] / (Math.PI * (t - k)) ** 2;
    filtered[t] = sum;
  }
  return filtered;
}

/** Filtered backprojection of a sinogram, interpolated between detector pixels: Float32Array, row by row. */
function backproject(sinogram, views, size = SIZE) {
  const image = new Float32Array(size * size);
  const middle = Math.floor(size / 2);
  views.forEach((angle, k) => {
    const column = ramp(sinogram[k]);
    const centre = Math.floor(column.length / 2);
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    for (let row = 0, i = 0; row < size; row++) {
      let t = -middle * c - (row - middle) * s + centre;
      for (let j = 0; j < size; j++, i++, t += c) {
        const low = Math.floor(t);
        if (low >= 0 && low + 1 < column.length) image[i] += column[low] + (t - low) * (column[low + 1] - column[low]);
      }
    }
  });
  const scale = Math.PI / views.length;
  return image.map((value) => value * scale);
}

/** Peak signal-to-noise ratio in dB, for grey values in [0, 1]. */
function psnr(image, truth) {
  let sum = 0;
  for (let i = 0; i < truth.length; i++) sum += (image[i] - truth[i]) ** 2;
  return 10 * Math.log10(truth.length / sum);
}

// ---- Figure ---------------------------------------------------------------------------------------------------

/** Windows as wide as receptive fields of the book, in pixels of an image of 256. */
const FIELDS = { 0: "no window", 7: "7 pixels: ResCNN", 25: "25 pixels", 60: "60 pixels", 100: "100 pixels: SimpleUNet" };

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (key.startsWith("on")) element[key] = value;
    else if (value !== false) element.setAttribute(key, value === true ? "" : value);
  element.append(...children);
  return element;
}

/** A picture of size w × h that is drawn in grey values between two ends. */
function picture(w, h, label) {
  const canvas = make("canvas", { width: w, height: h, role: "img", "aria-label": label });
  const context = canvas.getContext("2d");
  return {
    canvas,
    show(values, low, high) {
      const data = context.createImageData(w, h);
      for (let i = 0; i < w * h; i++) {
        const grey = Number.isNaN(values[i]) ? 40 : (255 * (values[i] - low)) / (high - low);
        data.data.set([grey, grey, grey, 255], 4 * i);
      }
      context.putImageData(data, 0, 0);
    },
  };
}

let mounted = 0;

/** Fill one element of class few-views; a picture in it, for readers without scripts, is replaced. */
function mount(root) {
  const id = `few-views-${mounted++}`;
  const truth = draw();
  const full = project(angles(MOST));
  const strongest = Math.max(...full.map((column) => Math.max(...column)));
  const sinogram = picture(MOST, DETECTOR, "Sinogram");
  const answer = picture(SIZE, SIZE, "Filtered backprojection");
  const slice = picture(SIZE, SIZE, "The slice itself");
  slice.show(truth, 0, 1);
  const frames = [answer, slice].map(() => make("span", { class: "fv-window", hidden: true }));
  const live = make("p", { class: "fv-live", "aria-live": "polite" });
  const slider = make("input", { type: "range", min: LEAST, max: MOST, value: 30, id: `${id}-views`,
    oninput: () => update() });
  const menu = make("select", { id: `${id}-field`, onchange: () => place() },
    ...Object.entries(FIELDS).map(([value, name]) => make("option", { value }, name)));
  menu.value = 7;
  let at = [SIZE / 2 + 16, SIZE / 2 - 8]; // of the window's middle: column, row

  const panel = (canvas, caption, frame) =>
    make("figure", {}, make("span", { class: "fv-stage" }, canvas, ...(frame ? [frame] : [])),
      make("figcaption", {}, caption));
  const figure = make("div", { class: "fv" },
    make("div", { class: "fv-bar" },
      make("label", { for: slider.id }, "Views"), slider,
      make("label", { for: menu.id }, "Window"), menu),
    make("div", { class: "fv-panels" },
      panel(sinogram.canvas, "Sinogram: the columns that are measured"),
      panel(answer.canvas, "Filtered backprojection", frames[0]),
      panel(slice.canvas, "Slice", frames[1])),
    live);

  for (const { canvas } of [answer, slice]) {
    const follow = (event) => {
      const box = canvas.getBoundingClientRect();
      at = [((event.clientX - box.left) / box.width) * SIZE, ((event.clientY - box.top) / box.height) * SIZE];
      place();
    };
    canvas.addEventListener("pointerdown", follow);
    canvas.addEventListener("pointermove", follow);
  }

  /** Everything that depends on the number of views. */
  function update() {
    const count = Number(slider.value);
    const views = angles(count);
    const measured = project(views);
    // each view stands at its angle; between them nothing is known
    const columns = new Float32Array(MOST * DETECTOR).fill(NaN);
    measured.forEach((column, k) => {
      const where = Math.floor((k * MOST) / count);
      column.forEach((value, t) => (columns[t * MOST + where] = value));
    });
    sinogram.show(columns, 0, strongest);
    const image = backproject(measured, views);
    answer.show(image, 0, 1);
    live.textContent = `${count} views of ${MOST}: ${psnr(image, truth).toFixed(1)} dB.`;
    slider.setAttribute("aria-valuetext", `${count} views`);
    place();
  }

  /** Draw the window where the reader points. */
  function place() {
    const side = (Number(menu.value) / 256) * 100; // per cent of the picture
    for (const frame of frames) {
      frame.hidden = side === 0;
      Object.assign(frame.style, { width: `${side}%`, height: `${side}%`,
        left: `${(at[0] / SIZE) * 100 - side / 2}%`, top: `${(at[1] / SIZE) * 100 - side / 2}%` });
    }
  }

  const image = root.querySelector("img");
  if (image) (image.closest("a") ?? image).replaceWith(figure); // a caption and a number stay
  else root.replaceChildren(figure);
  update();
}

function mountAll() {
  document.querySelectorAll(".few-views").forEach(mount);
}

return { SIZE, DETECTOR, LEAST, MOST, CHEST, angles, draw, project, ramp, backproject, psnr, mount, mountAll };
})();
