// Reconstructs beside the page, so that it stays responsive. The page sends an order: a
// measurement and the jobs that it wants done with it. The newest order counts; what belongs to an
// older one is left at the next opportunity, never queued. Answers are {method, stamp, image, psnr,
// ssim, seconds} or {method, problem}; {loaded, total} in bytes while something is fetched; {idle}
// when there is nothing left to do.
import { pick } from "./maps.js";
import { CLASSICAL, dataStep, psnr, SIDE, ssim, tikhonovSteps } from "./math.js";

/**
 * What is to be done with a measurement by one method; a stamp is equal for equal settings.
 * @typedef {object} Job
 * @property {string} method
 * @property {string} stamp
 * @property {number} rank lowest first; those from PATIENT on wait until the reader pauses
 * @property {import("./math.js").Tap[]} [taps] of a method that is told the blur
 * @property {number} [lambda]
 * @property {{url: string, bytes: number}[]} [stages] of a network
 * @property {{given: number, step: number}} [told] weights around a network that is told the blur
 * @property {Record<string, number>} [factors] of the switches of a network; they are 1 elsewhere
 * @property {Record<string, number[] | null>} [maps] of a network that is taken apart: its maps ->
 * the channels that are wanted; null: those that vary most
 */
/**
 * Where ONNX Runtime is, and how it is used.
 * @typedef {object} Runtime
 * @property {string} script
 * @property {string} glue
 * @property {{url: string, bytes: number}} binary
 * @property {number} threads
 */
/**
 * @typedef {object} Order
 * @property {number} id
 * @property {import("./math.js").Image} y the measurement
 * @property {import("./math.js").Image} truth
 * @property {Job[]} jobs
 * @property {Runtime} runtime
 */

const PATIENT = 1;
const PAUSE = 60; // milliseconds without a newer order after which a reader has paused
const BREATH = 25; // milliseconds of JavaScript between two looks at the messages

/** @type {any} ONNX Runtime, once it is there */
let runtime = null;
/** @type {Map<string, any[]>} method -> a session for each stage of a network */
const sessions = new Map();
/** @type {Order | null} */
let order = null;
let arrived = 0, working = false, turn = 0;
/** @type {Map<string, {stamp: string, turn: number}>} what was done last by each method */
const done = new Map();

/** Let messages in. */
const breathe = () => new Promise((go) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => go(undefined);
  port2.postMessage(null);
});

/** A file as bytes, with its progress told. */
async function download({ url, bytes }, before = 0, total = bytes) {
  const answer = await fetch(url);
  if (!answer.ok || !answer.body)
    throw new Error(`the server answered ${answer.status} for ${url.split("/").pop()}`);
  const parts = [], reader = answer.body.getReader();
  for (let loaded = 0, part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    loaded += part.value.length;
    postMessage({ loaded: before + Math.min(loaded, bytes), total });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Load ONNX Runtime. */
async function load({ script, glue, binary, threads }) {
  const ort = await import(script);
  ort.env.wasm.wasmBinary = (await download(binary)).buffer;
  ort.env.wasm.wasmPaths = { mjs: glue, wasm: binary.url };
  ort.env.wasm.numThreads = threads;
  runtime = ort;
}

/** The sessions of a network, fetched once. */
async function prepare({ method, stages }) {
  const known = sessions.get(method);
  if (known) return known;
  const total = stages.reduce((sum, { bytes }) => sum + bytes, 0), made = [];
  let before = 0;
  for (const stage of stages) {
    const file = await download(stage, before, total);
    made.push(await runtime.InferenceSession.create(file));
    before += stage.bytes;
  }
  sessions.set(method, made);
  return made;
}

/**
 * A run of a network, and how far it has come.
 * @typedef {object} Run
 * @property {import("./math.js").Image} y
 * @property {Job} job
 * @property {Record<string, any>} tensors
 * @property {number} done how many stages
 */

/**
 * The last run of a network that is taken apart: after a switch was moved, only the stages from
 * that switch on have to run again.
 * @type {Run | null}
 */
let kept = null;

/** What a run may begin with. @returns {Run} */
function begin(job, y, stages) {
  const old = kept, fresh = { y, job, tensors: {}, done: 0 };
  if (!old || !job.maps || old.job.method !== job.method) return fresh;
  if (y.some((value, i) => value !== old.y[i])) return fresh;
  const factor = (/** @type {Job} */ { factors }, name) => factors?.[name] ?? 1;
  const turned = ({ inputNames }) =>
    inputNames.some((name) => factor(job, name) !== factor(old.job, name));
  const first = stages.findIndex(turned);
  return { ...old, job, done: Math.min(old.done, first < 0 ? stages.length : first) };
}

/**
 * A network's answer, stage by stage: each takes tensors by name and adds its own.
 * @param {Job} job
 * @param {import("./math.js").Image} y
 * @param {Record<string, any>} more what goes with the answer: the maps that were asked for
 */
async function* network(job, y, more) {
  const { taps = [], told, factors = {}, maps = {} } = job, shape = [1, 1, SIDE, SIDE];
  const given = Float32Array.from(told ? yield* tikhonovSteps(y, taps, told.given) : y);
  const stages = sessions.get(job.method) ?? [], run = begin(job, y, stages);
  if (job.maps) kept = run;
  const { tensors } = run;
  tensors.y_delta = new runtime.Tensor("float32", given, shape);
  const factor = (name) => new runtime.Tensor("float32", [factors[name] ?? 1], [1]);
  for (; run.done < stages.length; run.done++) {
    if (run.done) yield;
    const stage = stages[run.done], later = stages.slice(run.done + 1);
    const feeds = stage.inputNames.map((name) => [name, tensors[name] ?? factor(name)]);
    const wanted = stage.outputNames.filter((name) => name === "x_hat" || name in maps ||
      later.some(({ inputNames }) => inputNames.includes(name)));
    Object.assign(tensors, await stage.run(Object.fromEntries(feeds), wanted));
  }
  const picked = Object.entries(maps).map(([name, which]) => [name, pick(tensors[name], which)]);
  if (job.maps) more.maps = Object.fromEntries(picked);
  const x = Float64Array.from(tensors.x_hat.data);
  return told ? yield* dataStep(x, y, taps, told.step) : x;
}

/** Do a job of an order, unless a newer order comes while there is a choice. */
async function carryOut(job, mine) {
  if (job.stages) {
    if (!runtime) await load(mine.runtime);
    await prepare(job);
  }
  const start = performance.now();
  const { y, truth } = mine, more = {};
  const steps = job.stages ? network(job, y, more) : CLASSICAL[job.method](y, job.taps, job.lambda);
  let last = start, step = await steps.next();
  while (!step.done) {
    if ((job.stages && !job.told) || performance.now() - last > BREATH) {
      await breathe();
      if (order !== mine) return;
      last = performance.now();
    }
    step = await steps.next();
  }
  const image = step.value, seconds = (performance.now() - start) / 1000;
  done.set(job.method, { stamp: job.stamp, turn: ++turn });
  const threads = job.stages && runtime.env.wasm.numThreads;
  const quality = { psnr: psnr(image, truth), ssim: ssim(image, truth) };
  const { method, stamp } = job;
  postMessage({ method, stamp, image, seconds, threads, ...quality, ...more });
}

/** The job of the newest order that comes next: lowest rank, then the one that waited longest. */
function next() {
  const open = (order?.jobs ?? []).filter((job) => done.get(job.method)?.stamp !== job.stamp);
  const since = (/** @type {Job} */ job) => done.get(job.method)?.turn ?? 0;
  return open.sort((a, b) => a.rank - b.rank || (a.rank < PATIENT ? since(a) - since(b) : 0))[0];
}

async function work() {
  working = true;
  for (let job = next(); job; job = next()) {
    const mine = /** @type {Order} */ (order), wait = arrived + PAUSE - performance.now();
    if (job.rank >= PATIENT && wait > 0) {
      await new Promise((go) => setTimeout(go, Math.min(wait, 20)));
      continue;
    }
    try {
      await carryOut(job, mine);
      await breathe();
    } catch (error) {
      const problem = error instanceof Error ? error.message : `${error}`;
      postMessage({ method: job.method, problem });
      order = null;
    }
  }
  working = false;
  postMessage({ idle: true });
}

addEventListener("message", ({ data }) => {
  order = data;
  arrived = performance.now();
  if (!working) work();
});
