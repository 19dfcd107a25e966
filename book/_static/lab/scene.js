// What the panels show: from a measurement and results to pictures and words.
import { stamp } from "./engine.js";
import { decibel, title } from "./facts.js";
import { psnr, ssim } from "./math.js";
import { errorMap, seen } from "./pictures.js";

/** @typedef {import("./settings.js").Settings} Settings */
/**
 * A measurement, and what it was made of.
 * @typedef {object} Measured
 * @property {number} version
 * @property {import("./images.js").Picture} picture
 * @property {import("./math.js").Image} y
 * @property {number} psnr NaN until it is shown
 * @property {number} ssim
 * @property {number} left when its settings were left, in milliseconds; 0: they hold
 */
/** @typedef {import("./engine.js").Result & {measured: Measured, given: number}} Shown a result */

const PATIENCE = 400; // milliseconds for which an old result passes as new, while a slider moves
const signed = (/** @type {number} */ value) =>
  (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(2);

export class Scene {
  constructor() {
    /** @type {Map<string, {key: string, canvas: HTMLCanvasElement}>} painted pictures by panel */
    this.painted = new Map();
  }

  /** A picture of a panel, painted once for the same key. */
  paint(name, key, image, picture, settings) {
    const errors = settings.show === "errors" && name !== "Image";
    const whole = `${key} ${errors ? settings.gain : ""}`, known = this.painted.get(name);
    if (known?.key === whole) return known.canvas;
    const canvas = errors ? errorMap(image, picture, settings.gain) : seen(image, picture);
    this.painted.set(name, { key: whole, canvas });
    return canvas;
  }

  /**
   * @param {Measured | undefined} now
   * @param {Map<string, Shown>} results
   * @param {Settings} settings
   * @returns {import("./panels.js").Panel[]} image, measurement, methods
   */
  panels(now, results, settings) {
    if (now && Number.isNaN(now.psnr)) { // only now, while the worker is at work already
      const { y, picture: { grey } } = now;
      Object.assign(now, { psnr: psnr(y, grey), ssim: ssim(y, grey) });
    }
    const shown = settings.methods.map((key) => this.method(key, now, results.get(key), settings));
    const best = Math.max(...shown.filter(({ fresh }) => fresh).map(({ value }) => value));
    const methods = shown.map(({ fresh, value, ...panel }) => {
      const wins = fresh && value === best && shown.length > 1;
      return { ...panel, best: wins, label: panel.label + (wins ? ", the best" : "") };
    });
    const blank = { picture: null, psnr: "", more: "", best: false, age: 0 };
    const frame = (name, panel) => ({ ...blank, name, title: name, label: name, ...panel });
    if (!now) return [frame("Image", {}), frame("Measurement", {}), ...methods];
    const { version, picture, y } = now;
    const value = decibel(now.psnr), error = settings.show === "errors" ? "error, " : "";
    return [
      frame("Image", { picture: this.paint("Image", version, picture.grey, picture, settings) }),
      frame("Measurement", { picture: this.paint("Measurement", version, y, picture, settings),
        psnr: value, more: `SSIM ${now.ssim.toFixed(3)}`, label: `Measurement, ${error}${value}` }),
      ...methods];
  }

  /** The panel of one method, with its PSNR and whether it belongs to the settings. */
  method(name, now, result, settings) {
    const words = title(name);
    const error = settings.show === "errors" ? "error, " : "";
    if (!result || !now)
      return { name, title: words, picture: null, psnr: "", more: "", best: false, age: 0,
        label: `${words}, ${error}not computed yet`, fresh: false, value: NaN };
    const { measured, image } = result, value = decibel(result.psnr);
    const fresh = result.stamp === stamp(name, now.version, settings);
    const since = fresh ? 0 : performance.now() - (measured.left || result.given);
    const age = since > PATIENCE ? since / 1000 : 0;
    const gain = measured.psnr === Infinity ? "" : `${signed(result.psnr - measured.psnr)}, `;
    return { name, title: words, psnr: value, best: false, age, fresh, value: result.psnr,
      picture: this.paint(name, result.stamp, image, measured.picture, settings),
      more: `${gain}SSIM ${result.ssim.toFixed(3)}`,
      label: `${words}, ${error}${value}${age ? ", of older settings" : ""}` };
  }
}
