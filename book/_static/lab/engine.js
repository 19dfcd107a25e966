// The page's side of the worker that reconstructs: jobs from methods and settings, answers back.
import { address, facts, isNetwork, methods, TRAINED } from "./facts.js";
import { motionTaps } from "./math.js";

/** @typedef {import("./math.js").Image} Image */
/**
 * What a method made of a measurement.
 * @typedef {object} Result
 * @property {string} method
 * @property {string} stamp of the settings that it belongs to
 * @property {Image} image
 * @property {number} seconds
 * @property {number} psnr
 * @property {number} ssim
 * @property {number} threads
 * @property {Record<string, import("./maps.js").Channels>} [maps] of a network that is taken apart
 */
/**
 * Who is told what: a result, bytes of a download, a problem in words, the end of all work.
 * @typedef {object} Listener
 * @property {(result: Result) => void} result
 * @property {(loaded: number, total: number) => void} progress
 * @property {(method: string, words: string) => void} problem
 * @property {() => void} idle
 */

/**
 * Small networks follow a moving slider; Tikhonov, large networks and total variation wait for a
 * pause, in this order.
 */
function rank(method) {
  const { files, told } = methods.get(method) ?? {};
  if (files) return files.length === 1 && !told ? 0 : 2;
  return method === "TV" ? 3 : 1;
}

/** Blur and parameter that a classical method is told: those of the training, or those set. */
function classical(method, settings) {
  const { length, angle, level } = settings.told ? settings : TRAINED;
  const distance = (studied) => Math.abs(Math.log(studied / Math.max(level, 1e-6)));
  const nearest = Object.keys(facts.lambdas).sort((a, b) => distance(a) - distance(b))[0];
  return { taps: motionTaps(length, angle), lambda: facts.lambdas[nearest][method] };
}

/** Stages of a network, and the blur if it is told that. */
export function network(method, { length, angle }) {
  const { files = [], told } = methods.get(method) ?? {};
  const stages = files.map(({ name, bytes }) => ({ url: address(name), bytes }));
  return told ? { stages, told, taps: motionTaps(length, angle) } : { stages };
}

/**
 * Threads of a network. Threads wait for each other at every layer, so that on a core which is busy
 * elsewhere one more of them costs more than it brings: one core is left to the page. A browser
 * allows one thread only unless the host isolates the page.
 */
export const threads = (isolated = crossOriginIsolated, cores = navigator.hardwareConcurrency) =>
  isolated ? Math.max(1, Math.min(4, cores - 1)) : 1;

/** Where the worker finds ONNX Runtime, and how it uses it. */
export function runtime() {
  const { script, glue, binary, bytes } = facts.runtime, url = address(binary);
  const files = { script: address(script), glue: address(glue), binary: { url, bytes } };
  return { ...files, threads: threads() };
}

/** What has to be equal for a result to be that of the settings. */
export function stamp(method, version, settings) {
  return isNetwork(method) ? `${version}` : `${version} ${settings.told}`;
}

export class Engine {
  /** @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
    /** @type {Worker | null} */
    this.worker = null;
    this.orders = 0;
  }

  /** A worker at work; one that failed is replaced. */
  start() {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    let newest = "The laboratory's worker";
    worker.onerror = (event) => {
      this.worker = null;
      this.listener.problem(newest, event.message || "its program could not be loaded");
    };
    worker.onmessage = ({ data }) => {
      newest = data.method ?? newest;
      if (data.problem) this.listener.problem(data.method, data.problem);
      else if (data.idle) this.listener.idle();
      else if (data.total) this.listener.progress(data.loaded, data.total);
      else this.listener.result(data);
    };
    return worker;
  }

  /**
   * Ask for reconstructions; what was asked before and is not done yet is given up.
   * @param {string[]} wanted methods
   * @param {{y: Image, truth: Image, version: number}} measured
   * @param {import("./settings.js").Settings} settings
   */
  order(wanted, { y, truth, version }, settings) {
    const jobs = wanted.map((method) => ({
      method,
      stamp: stamp(method, version, settings),
      rank: rank(method),
      ...(isNetwork(method) ? network : classical)(method, settings),
    }));
    this.send(jobs, y, truth);
  }

  /**
   * Send jobs to the worker in place of all that are not done yet.
   * @param {import("./worker.js").Job[]} jobs
   * @param {Image} y
   * @param {Image} truth
   */
  send(jobs, y, truth) {
    this.worker ??= this.start();
    this.worker.postMessage({ id: ++this.orders, y, truth, jobs, runtime: runtime() });
  }
}
