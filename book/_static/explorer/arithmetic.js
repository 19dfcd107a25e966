// The receptive-field explorer's arithmetic, without a page. A network is a list of layers along one axis; the other
// axis behaves the same. Node 0 of an analysis is the input, node l the output of layer l; "from" in a layer is such a
// number. Positions count from 0.

/** @typedef {{kind: string, [name: string]: any}} Layer a layer with the numbers that its kind has in KINDS */
/**
 * What a layer makes: see analyse. "reads" holds [node, positions of it that a position reads].
 * @typedef {object} LayerNode
 * @property {number} size
 * @property {number} jump
 * @property {number} offset
 * @property {string} problem
 * @property {[number, (i: number) => number[]][]} reads
 * @property {number} interior
 * @property {number[] | null} receptiveField
 * @property {(i: number) => boolean} outside
 * @property {(i: number) => number[]} seen
 */

export const MAX_LAYERS = 40;
const INPUT_SIZES = [32, 64, 128, 256, 512, 1024];
const MAX_SIZE = 4096; // positions of one layer: upsampling without end stops here

/** The numbers that a layer of each kind has, with their least and greatest value. */
export const KINDS = {
  conv: { kernel: [1, 31], stride: [1, 4], dilation: [1, 16] },
  pool: { kernel: [2, 4] },
  up: {},
  skip: { from: [0, MAX_LAYERS - 1] },
  branch: { from: [0, MAX_LAYERS - 1] },
};

/** Names and networks, written as in the address of the page (see serialise). */
export const PRESETS = [
  ["Three 3×3", "c3.c3.c3"],
  ["Three 3×3, stride 2 in the first", "c3s2.c3.c3"],
  ["Three 3×3, stride 2 in the second", "c3.c3s2.c3"],
  ["Three 3×3, stride 2 in the third", "c3.c3.c3s2"],
  ["Dilation 1, 2, 4, 8", "c3.c3d2.c3d4.c3d8"],
  ["Dilation 2, 2, 2 (leaves gaps)", "c3d2.c3d2.c3d2"],
  ["SimpleCNN with skip: ResCNN", "c3.c3.c3.s0"],
  ["SimpleUNet (same field: ResidualUNet, AttentionUNet)",
    "c3.c3.p2.c3.c3.p2.c3.c3.p2.c3.c3.u.s8.c3.c3.u.s5.c3.c3.u.s2.c3.c3.c1"],
  ["Nested UNet with two poolings", "c3.c3.p2.c3.c3.p2.c3.c3.b5.ub.s2.c3.c3.b8.ub.s5.c3.c3.ub.s2.s13.c3.c3.c1"],
  ["VGG-16, convolutional part", "c3.c3.p2.c3.c3.p2.c3.c3.c3.p2.c3.c3.c3.p2.c3.c3.c3.p2"],
];

/** @param {number} n @returns {number[]} */
export const range = (n) => Array.from({ length: n }, (_, i) => i);

/**
 * Layers as short text: c3s2d4 convolution, p2 pooling, u or ub up, s2 skip from 2, b2 back to 2; dots between.
 * @param {Layer[]} layers
 */
export function serialise(layers) {
  const code = {
    conv: (l) => `c${l.kernel}${l.stride > 1 ? `s${l.stride}` : ""}${l.dilation > 1 ? `d${l.dilation}` : ""}`,
    pool: (l) => `p${l.kernel}`,
    up: (l) => (l.mode === "bilinear" ? "ub" : "u"),
    skip: (l) => `s${l.from}`,
    branch: (l) => `b${l.from}`,
  };
  return layers.map((layer) => code[layer.kind](layer)).join(".");
}

/** @param {string} code @returns {Layer | null} */
export function parseLayer(code) {
  const [, c, s, d] = /^c(\d+)(?:s(\d+))?(?:d(\d+))?$/.exec(code) ?? [];
  const [, kind, number] = /^([psb])(\d+)$/.exec(code) ?? [];
  /** @type {Layer | null} */
  let layer = null;
  if (c) layer = { kind: "conv", kernel: +c, stride: +(s ?? 1), dilation: +(d ?? 1) };
  else if (code === "u" || code === "ub") layer = { kind: "up", mode: code === "u" ? "nearest" : "bilinear" };
  else if (kind === "p") layer = { kind: "pool", kernel: +number };
  else if (kind) layer = { kind: kind === "s" ? "skip" : "branch", from: +number };
  const fits = layer && Object.entries(KINDS[layer.kind]).every(([k, [a, b]]) => layer[k] >= a && layer[k] <= b);
  return fits ? layer : null;
}

/**
 * The inverse of serialise: {layers, problem}. Text that cannot be read gives the first preset and says why.
 * @param {string} text
 * @returns {{layers: Layer[], problem: string}}
 */
export function parse(text) {
  const codes = text ? text.split(".") : [];
  const layers = /** @type {Layer[]} */ (codes.map(parseLayer));
  const bad = codes.find((code) => !parseLayer(code));
  let problem = "";
  if (bad !== undefined) problem = `“${bad.slice(0, 20)}” is not a layer`;
  else if (layers.length > MAX_LAYERS) problem = `more than ${MAX_LAYERS} layers`;
  return problem ? { layers: parse(PRESETS[0][1]).layers, problem } : { layers, problem };
}

/**
 * What a layer makes of the nodes before it: size and place of its positions, and which positions each one reads.
 * @param {Layer} layer
 * @param {LayerNode[]} nodes
 * @returns {any}
 */
function connect(layer, nodes) {
  const last = nodes.length - 1;
  const { size, jump, offset } = nodes[last];
  const copy = (from, problem = "") => {
    const { size, jump, offset } = nodes[from];
    return { size, jump, offset, problem, reads: [[from, (i) => [i]]] };
  };
  let made;
  if (layer.kind === "conv") {
    const { kernel, stride, dilation } = layer;
    const span = dilation * (kernel - 1);
    const padding = Math.floor(span / 2);
    const length = Math.floor((size + 2 * padding - span - 1) / stride) + 1;
    const taps = range(kernel).map((t) => t * dilation - padding);
    const reads = [[last, (i) => taps.map((t) => i * stride + t)]];
    made = { size: length, jump: jump * stride, offset: offset + jump * (span / 2 - padding), reads };
  } else if (layer.kind === "pool") {
    const k = layer.kernel;
    const reads = [[last, (i) => range(k).map((t) => i * k + t)]];
    made = { size: Math.floor(size / k), jump: jump * k, offset: offset + (jump * (k - 1)) / 2, reads };
  } else if (layer.kind === "up") {
    const at = layer.mode === "bilinear" ? (i) => [(i - 1) >> 1, (i + 1) >> 1] : (i) => [i >> 1];
    made = { size: 2 * size, jump: jump / 2, offset: offset - jump / 4, reads: [[last, at]] };
  } else {
    if (layer.from > last) return copy(last, `Layer ${layer.from} is not before this one: choose 0 to ${last}.`);
    if (layer.kind === "branch") return copy(layer.from);
    const other = nodes[layer.from];
    if (other.size !== size)
      return copy(last, `Sizes differ: ${size} here, ${other.size} in layer ${layer.from}. The skip is left out.`);
    made = copy(last);
    made.jump = Math.min(jump, other.jump);
    made.reads.push([layer.from, (i) => [i]]);
  }
  if (made.size < 1) return copy(last, `Nothing is left of ${nodes[0].size} pixels. The layer is left out.`);
  if (made.size > MAX_SIZE) return copy(last, `More than ${MAX_SIZE} positions. The layer is left out.`);
  return { problem: "", ...made };
}

/**
 * Exact analysis for an input of n pixels: one node for the input and one for each layer.
 *
 * A node has size, jump (distance of neighbours in input pixels), offset (place of position 0), receptiveField
 * ([least, greatest] extent over the interior positions, whose field does not touch the outside; null without any),
 * interior (their number), seen(i) (input pixels, ascending), outside(i) (does it read padding?), reads and problem.
 * @param {Layer[]} layers
 * @param {number} n
 * @returns {LayerNode[]}
 */
export function analyse(layers, n) {
  const outside = 1n << BigInt(n); // a set of input pixels is a number: bit i for pixel i, bit n for the outside
  /** @type {any[]} */
  const nodes = [{ size: n, jump: 1, offset: 0, reads: [], problem: "" }];
  const sets = [range(n).map((i) => 1n << BigInt(i))];
  for (const layer of layers) {
    const node = connect(layer, nodes);
    sets.push(range(node.size).map((i) => {
      let set = 0n;
      for (const [from, at] of node.reads) for (const j of at(i)) set |= sets[from][j] ?? outside;
      return set;
    }));
    nodes.push(node);
  }
  nodes.forEach((node, l) => {
    const extents = sets[l].filter((set) => set < outside).map((set) => set.toString(2).lastIndexOf("1") + 1);
    node.interior = extents.length;
    node.receptiveField = extents.length ? [Math.min(...extents), Math.max(...extents)] : null;
    node.outside = (i) => sets[l][i] >= outside;
    node.seen = (i) => range(n).filter((pixel) => (sets[l][i] >> BigInt(pixel)) & 1n);
  });
  return nodes;
}

/**
 * The analysis for the smallest input at which every layer shows all its phases well inside the image.
 * @param {Layer[]} layers
 */
export function fit(layers) {
  let nodes = analyse(layers, INPUT_SIZES[0]);
  const period = () => Math.max(...nodes.map((node) => node.jump));
  const enough = () => nodes.every((node) => node.interior >= Math.max(4, period() / node.jump));
  for (const n of INPUT_SIZES.slice(1)) if (!enough()) nodes = analyse(layers, n);
  return nodes;
}

/**
 * For every node the set of positions that feed one position of node l; those in the padding are outside 0..size-1.
 * @param {LayerNode[]} nodes
 * @param {number} l
 * @param {number} position
 */
export function trace(nodes, l, position) {
  const lit = nodes.map(() => new Set());
  lit[l].add(position);
  for (; l > 0; l--) {
    const inside = [...lit[l]].filter((i) => i >= 0 && i < nodes[l].size);
    for (const [from, at] of nodes[l].reads) inside.flatMap(at).forEach((j) => lit[from].add(j));
  }
  return lit;
}

/**
 * The textbook recursion for layer l of a chain of convolutions and poolings, as "3 + 2·2 = 7"; else "".
 * @param {Layer[]} layers
 * @param {LayerNode[]} nodes
 * @param {number} l
 */
export function formula(layers, nodes, l) {
  let field = 1;
  for (let m = 1; m <= l; m++) {
    const { kind, kernel, dilation = 1 } = layers[m - 1];
    if (!["conv", "pool"].includes(kind) || nodes[m].problem) return "";
    const before = field;
    field += dilation * (kernel - 1) * nodes[m - 1].jump;
    const factors = [kernel - 1, dilation, nodes[m - 1].jump].filter((f, i) => i !== 1 || f > 1);
    if (m === l) return `${before} + ${factors.join("·")} = ${field}`;
  }
  return "";
}
