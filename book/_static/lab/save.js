// The panels as a picture file, with the settings below them in words and as a link.
import { make, pen } from "./dom.js";

const CELL = 512, GAP = 24, LINE = 30;

/**
 * @param {import("./panels.js").Panel[]} panels
 * @param {string[]} lines
 * @returns {HTMLCanvasElement}
 */
export function sheet(panels, lines) {
  const shown = panels.filter(({ picture }) => picture);
  const columns = Math.min(shown.length, shown.length <= 4 ? 2 : 3);
  const rows = Math.ceil(shown.length / columns), high = CELL + 2 * LINE + GAP;
  const width = columns * (CELL + GAP) + GAP, text = rows * high + GAP;
  const height = text + lines.length * LINE + GAP;
  const canvas = make("canvas", { width, height }), context = pen(canvas);
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#1d2630";
  context.imageSmoothingEnabled = false;
  shown.forEach(({ picture, title, psnr, more }, k) => {
    const left = GAP + (k % columns) * (CELL + GAP), top = GAP + Math.floor(k / columns) * high;
    if (picture) context.drawImage(picture, left, top, CELL, CELL);
    context.font = "600 22px system-ui, sans-serif";
    context.fillText(title, left, top + CELL + LINE, CELL);
    context.font = "20px system-ui, sans-serif";
    const words = [psnr, more].filter(Boolean).join(", ");
    context.fillText(words, left, top + CELL + 2 * LINE - 4, CELL);
  });
  context.font = "18px system-ui, sans-serif";
  lines.forEach((line, k) =>
    context.fillText(line, GAP, text + (k + 0.7) * LINE, width - 2 * GAP));
  return canvas;
}

/**
 * Hand a canvas to the reader as a PNG file.
 * @param {HTMLCanvasElement} canvas
 * @param {string} name
 * @returns {Promise<boolean>} whether there is one
 */
export function download(canvas, name) {
  return new Promise((done) => canvas.toBlob((blob) => {
    if (blob) {
      const link = make("a", { href: URL.createObjectURL(blob), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }
    done(blob !== null);
  }));
}
