// The settings of a laboratory as the end of an address, "#lab:angle=25&methods=TV.UNet", and back.
// Nothing here needs a page.

/** What a slider can be set to. */
export const SLIDERS = {
  length: { text: "Blur length", unit: " pixels", min: 1, max: 31, step: 2 },
  angle: { text: "Angle", unit: "°", min: 0, max: 180, step: 1 },
  level: { text: "Noise level", unit: "", min: 0, max: 0.2, step: 0.005 },
};
/** How many times an error map is amplified, as powers of two. */
export const GAIN = { min: 0, max: 6, step: 1 };
export const VIEWS = ["images", "errors"];
export const LAYOUTS = ["fit", "2", "4", "large"];

/**
 * Everything that a reader can set.
 * @typedef {object} Settings
 * @property {string} image name of a sample, or "own"
 * @property {number} length
 * @property {number} angle
 * @property {number} level
 * @property {number} seed
 * @property {boolean} told whether the classical methods know blur and noise
 * @property {string[]} methods those that are ticked
 * @property {string} show
 * @property {number} gain
 * @property {string} layout
 * @property {string} left what the large view shows left of its line
 * @property {string} right
 * @property {number} wipe where the line is, in percent
 */
/** @typedef {{images: string[], methods: string[]}} Known names that this laboratory has */

const START = "#lab:";

const number = (range) => (text) => {
  const value = text.trim() === "" ? NaN : Number(text);
  const steps = (value - range.min) / range.step;
  const inside = value >= range.min && value <= range.max;
  return inside && Math.abs(steps - Math.round(steps)) < 1e-6 ? value : undefined;
};
const choice = (names) => (text) => (names.includes(text) ? text : undefined);

/**
 * How each setting is read.
 * @param {Known} known
 * @returns {Record<string, (text: string) => any>}
 */
const readers = ({ images, methods }) => ({
  image: choice([...images, "own"]),
  length: number(SLIDERS.length),
  angle: number(SLIDERS.angle),
  level: number(SLIDERS.level),
  seed: number({ min: 1, max: 999999, step: 1 }),
  told: (text) => ({ yes: true, no: false })[text],
  methods: (text) => {
    const keys = text.split(".").filter(Boolean);
    return keys.every((key) => methods.includes(key)) ? keys : undefined;
  },
  show: choice(VIEWS),
  gain: number(GAIN),
  layout: choice(LAYOUTS),
  left: choice(["Image", "Measurement", ...methods]),
  right: choice(["Image", "Measurement", ...methods]),
  wipe: number({ min: 0, max: 100, step: 1 }),
});

/**
 * The end of an address that carries all settings.
 * @param {Partial<Settings>} settings
 */
export function writeLink(settings) {
  const words = Object.entries(settings).map(([name, value]) => {
    if (typeof value === "boolean") return `${name}=${value ? "yes" : "no"}`;
    return `${name}=${encodeURIComponent(Array.isArray(value) ? value.join(".") : `${value}`)}`;
  });
  return START + words.join("&");
}

/**
 * The inverse: what an address sets, and which of its parts could not be read.
 * @param {string} hash
 * @param {Known} known
 * @returns {{settings: Partial<Settings>, problem: string} | null} null for another address
 */
export function readLink(hash, known) {
  if (!hash.startsWith(START)) return null;
  /** @type {Record<string, any>} */
  const settings = {};
  const read = readers(known), bad = [];
  for (const [name, text] of new URLSearchParams(hash.slice(START.length))) {
    const value = Object.hasOwn(read, name) ? read[name](text) : undefined;
    if (value === undefined) bad.push(`“${name}=${text}”`.slice(0, 40));
    else settings[name] = value;
  }
  const problem = bad.length ? `The link has ${bad.join(" and ")}, which means nothing here.` : "";
  return { settings, problem };
}
