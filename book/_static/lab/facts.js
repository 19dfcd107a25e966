// What the build tells a page about its laboratory: methods, samples, files (book_lab.py).

/**
 * A method of the registry; networks have files.
 * @typedef {object} Method
 * @property {string} key
 * @property {string} title
 * @property {string} group
 * @property {{name: string, bytes: number}[]} [files] its stages, in their order
 * @property {{given: number, step: number}} [told] of a network that is told the blur
 */
/**
 * @typedef {object} Facts
 * @property {{kernel_size: number, motion_angle: number, noise_level: number}} task
 * @property {Record<string, Record<string, number>>} lambdas noise level -> method -> parameter
 * @property {{name: string, title: string, file: string}[]} samples
 * @property {{script: string, glue: string, binary: string, bytes: number}} runtime
 * @property {Method[]} classical
 * @property {Method[]} networks
 */

/** @type {Facts} */
export const facts = JSON.parse(document.getElementById("lab-facts")?.textContent ?? "null");

const root = document.documentElement.dataset.content_root ?? "./";
const folder = new URL("lab/", new URL(root, document.baseURI));

/** @param {string} name of a file of the laboratory @returns {string} */
export const address = (name) => new URL(name, folder).href;

/** The blur and the noise that the networks were trained for. */
export const TRAINED = {
  length: facts.task.kernel_size,
  angle: facts.task.motion_angle,
  level: facts.task.noise_level,
};

const everything = [...facts.classical, ...facts.networks];
/** @type {Map<string, Method>} */
export const methods = new Map(everything.map((method) => [method.key, method]));

/** @param {string} key @returns {boolean} */
export const isNetwork = (key) => methods.get(key)?.files !== undefined;

/** What a panel is called: the title of a method, or "Image" and "Measurement" themselves. */
export const title = (/** @type {string} */ name) => methods.get(name)?.title ?? name;

/** Size of a network's files; 0 for other methods. */
export const weight = (/** @type {string} */ key) =>
  (methods.get(key)?.files ?? []).reduce((sum, { bytes }) => sum + bytes, 0);

/** Keys of the methods that a list of keys and groups names. */
export function named(list = "") {
  const names = new Set(list.split(" "));
  const wanted = everything.filter(({ key, group }) => names.has(key) || names.has(group));
  return wanted.map(({ key }) => key);
}

/** @param {number} bytes @returns {string} */
export const megabytes = (bytes) =>
  bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

/** @param {number} value @returns {string} */
export const decibel = (value) => (value === Infinity ? "∞ dB" : `${value.toFixed(2)} dB`);

/** How settings leave what the networks were trained for; empty if they do not. */
export function astray(/** @type {import("./settings.js").Settings} */ settings) {
  const differs = Object.keys(TRAINED).filter((name) => settings[name] !== TRAINED[name]);
  if (!differs.length) return "";
  const words = differs.map((name) => (name === "level" ? "noise" : name)).join(" and ");
  const { length, angle, level } = TRAINED, verb = differs.length > 1 ? "are" : "is";
  return `The networks were trained at length ${length}, angle ${angle}°, noise ${level}. `
    + `They do not know that the ${words} ${verb} another now.`;
}

/** The settings of a measurement in words. */
export function inWords(/** @type {import("./settings.js").Settings} */ settings) {
  const { image, length, angle, level, seed, told } = settings;
  const sample = facts.samples.find(({ name }) => name === image)?.title ?? "Own image";
  return `${sample}; blur of ${length} pixels at ${angle}°, noise level ${level}, noise number `
    + `${seed}${told ? "; the classical methods were told" : ""}`;
}
