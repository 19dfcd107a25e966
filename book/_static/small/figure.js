// What the small figures share: controls above, pictures below, one sentence on what is seen, and
// a window that a reader moves over pictures. A figure takes the place of the picture in its box;
// caption and number stay.
import { make, pen } from "../lab/dom.js";

let counter = 0;

/**
 * A slider with its name and its value in words.
 * @param {string} text
 * @param {{min: number, max: number, step?: number, value: number}} range
 * @param {(value: number) => string} words
 * @param {() => void} changed
 */
export function slider(text, range, words, changed) {
  const output = make("output"), id = `sf-${++counter}`;
  const input = make("input", { type: "range", id, ...range, oninput: () => {
    show();
    changed();
  } });
  const show = () => {
    output.textContent = words(+input.value);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  show();
  const label = make("label", { for: id, text });
  const root = make("div", { class: "sf-control" }, label, input, output);
  return { root, input, get value() { return +input.value; } };
}

/**
 * A menu with its name.
 * @param {string} text
 * @param {[string, string][]} options value and words
 * @param {() => void} changed
 */
export function menu(text, options, changed) {
  const id = `sf-${++counter}`;
  const input = make("select", { id, onchange: changed },
    ...options.map(([value, name]) => make("option", { value, text: name })));
  const root = make("div", { class: "sf-control" }, make("label", { for: id, text }), input);
  return { root, input, get value() { return input.value; } };
}

/**
 * A picture with a caption, drawn in grey values between two ends.
 * @param {number} width
 * @param {number} height
 * @param {string} caption
 */
export function picture(width, height, caption) {
  const canvas = make("canvas", { width, height, role: "img", "aria-label": caption });
  const stage = make("span", { class: "sf-stage" }, canvas);
  const words = make("figcaption", { text: caption });
  const root = make("figure", {}, stage, words);
  /** Grey values, row by row; NaN is where nothing is known. */
  const show = (/** @type {ArrayLike<number>} */ values, low = 0, high = 1) => {
    const pixels = new ImageData(canvas.width, canvas.height);
    for (let i = 0; i < values.length; i++) {
      const grey = Number.isNaN(values[i]) ? 40 : (255 * (values[i] - low)) / (high - low);
      pixels.data.fill(grey, 4 * i, 4 * i + 3); // rounded and cut off as it is written
      pixels.data[4 * i + 3] = 255;
    }
    pen(canvas).putImageData(pixels, 0, 0);
  };
  return { root, canvas, stage, words, show };
}

/** @typedef {ReturnType<typeof picture>} Picture */

/**
 * A square window on several pictures of one scene. It follows pointers, and the arrow keys where
 * one of the pictures has the focus.
 * @param {Picture[]} pictures
 * @param {[number, number]} start its middle, from 0 to 1, right and down
 * @param {() => void} moved
 */
export function movingWindow(pictures, start, moved = () => {}) {
  const frames = pictures.map(({ stage }) => {
    const frame = make("span", { class: "sf-window", hidden: true });
    stage.append(frame);
    return frame;
  });
  const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const state = { at: start, side: 0,
    /** Give it a side, as a part of the picture's; 0 takes it away. */
    resize(/** @type {number} */ side) {
      state.side = side;
      place(state.at);
    } };
  const place = (/** @type {[number, number]} */ at) => {
    state.at = at;
    const [left, top] = at.map((part) => `${100 * (part - state.side / 2)}%`);
    const size = `${100 * state.side}%`;
    for (const frame of frames) {
      frame.hidden = state.side === 0;
      Object.assign(frame.style, { left, top, width: size, height: size });
    }
    moved();
  };
  const inside = (part) => Math.min(1, Math.max(0, part));
  for (const { canvas, stage } of pictures) {
    const follow = ({ clientX, clientY }) => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      place([inside((clientX - left) / width), inside((clientY - top) / height)]);
    };
    canvas.addEventListener("pointerdown", follow);
    canvas.addEventListener("pointermove", follow);
    Object.assign(stage, { tabIndex: 0, role: "group" });
    stage.setAttribute("aria-label", `${canvas.ariaLabel}; arrow keys move the window`);
    stage.addEventListener("keydown", (event) => {
      const step = keys[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation(); // slides would go on
      place([inside(state.at[0] + step[0] / 64), inside(state.at[1] + step[1] / 64)]);
    });
  }
  return state;
}

/**
 * Put a figure in the place of the picture in a box.
 * @param {Element} box
 * @param {{root: HTMLElement}[]} controls
 * @param {{root: HTMLElement}[]} pictures
 * @returns {(words: string) => void} says what is seen
 */
export function build(box, controls, pictures) {
  const live = make("p", { class: "sf-live", "aria-live": "polite" });
  const figure = make("div", { class: "sf" },
    make("div", { class: "sf-bar" }, ...controls.map(({ root }) => root)),
    make("div", { class: "sf-panels" }, ...pictures.map(({ root }) => root)), live);
  const image = box.querySelector("img");
  const shown = image?.closest("a, picture, button") ?? image;
  if (shown) shown.replaceWith(figure);
  else box.replaceChildren(figure);
  return (words) => (live.textContent = words);
}
