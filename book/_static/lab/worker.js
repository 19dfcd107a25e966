// Reconstructs beside the page, so that it stays responsive. One request at a time: {method, y, taps, lambda} for a
// classical method, {method, y, network, runtime} for a network. The answer is {image, seconds} or {problem}; while
// something is fetched, {loaded, total} in bytes are told.
import { SIDE, tikhonov, totalVariation } from "./math.js";

const CLASSICAL = { Tikhonov: tikhonov, TV: totalVariation };
const sessions = new Map();
let runtime = null;

/** A file as bytes, with its progress told. */
async function download({ url, bytes }) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`the server answered ${answer.status} for ${url.split("/").pop()}`);
  const parts = [], reader = answer.body.getReader();
  for (let loaded = 0, part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    loaded += part.value.length;
    postMessage({ loaded: Math.min(loaded, bytes), total: bytes });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** ONNX Runtime, fetched once. Without the headers of an isolated page a browser allows it one thread only. */
async function load({ script, glue, binary }) {
  if (runtime) return;
  const ort = await import(script);
  ort.env.wasm.wasmBinary = (await download(binary)).buffer;
  ort.env.wasm.wasmPaths = { mjs: glue, wasm: binary.url };
  ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  runtime = ort;
}

async function reconstruct({ method, y, taps, lambda, network, runtime: files }) {
  if (method in CLASSICAL) {
    const start = performance.now();
    return { image: CLASSICAL[method](y, taps, lambda), seconds: (performance.now() - start) / 1000 };
  }
  await load(files);
  if (!sessions.has(method)) sessions.set(method, await runtime.InferenceSession.create(await download(network)));
  const start = performance.now();
  const input = new runtime.Tensor("float32", Float32Array.from(y), [1, 1, SIDE, SIDE]);
  const { x_hat } = await sessions.get(method).run({ y_delta: input });
  const threads = runtime.env.wasm.numThreads;
  return { image: Float64Array.from(x_hat.data), seconds: (performance.now() - start) / 1000, threads };
}

addEventListener("message", async ({ data }) => {
  try {
    postMessage(await reconstruct(data));
  } catch (error) {
    postMessage({ problem: String(error?.message ?? error) });
  }
});
