// The receptive-field explorer's figure: it takes the place of a picture in a box of class "rf-explorer".
// Browsers load modules only from a server; for pages opened from a disk the build bundles this one.
import {
  fit, formula, KINDS, MAX_LAYERS, parse, parseLayer, PRESETS, range, serialise, trace,
} from "./arithmetic.js";

// ---- Words ----------------------------------------------------------------------------------------------------

const KIND_NAMES = { conv: "conv", pool: "pool", up: "up ×2", skip: "skip", branch: "back" };
const MODES = { nearest: "nearest or transposed 2×2", bilinear: "bilinear" };
const NEW_LAYERS = { conv: "c3", pool: "p2", up: "u", skip: "s0", branch: "b0" };

function layerName(layer, short) {
  if (!layer) return "input";
  const { kind, kernel: k, stride, dilation, mode, from } = layer;
  if (kind === "pool") return `pool ${k}×${k}`;
  if (kind === "up") return short ? `up ×2` : `up ×2, ${mode}`;
  if (kind === "skip") return short ? `skip ${from}` : `skip from ${from}`;
  if (kind === "branch") return `back to ${from}`;
  const parts = [`conv ${k}×${k}`];
  if (stride > 1) parts.push(short ? `s${stride}` : `stride ${stride}`);
  if (dilation > 1) parts.push(short ? `d${dilation}` : `dilation ${dilation}`);
  return parts.join(short ? " " : ", ");
}

const fieldText = (field) => (field ? [...new Set(field)].join("–") : "?");
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

/** One sentence on what a position sees. */
export function sentence(nodes, l, position) {
  const pixels = nodes[l].seen(position);
  let who = l ? `Pixel ${position} of layer ${l}` : `Input pixel ${position}`;
  if (l === nodes.length - 1) who = `Output pixel ${position}`;
  const [first, last] = [pixels[0], pixels.at(-1)];
  let what = "no input pixel";
  if (pixels.length === 1) what = `input pixel ${first}: 1 pixel`;
  else if (pixels.length === last - first + 1) what = `input pixels ${first} to ${last}: ${pixels.length} pixels`;
  else if (pixels.length) what = `${pixels.length} of the ${last - first + 1} input pixels ${first} to ${last}`;
  const more = nodes[l].outside(position) ? " It also reads padding, outside the image." : "";
  return `${who} sees ${what}.${more}`;
}

// ---- Figure ---------------------------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
const THUMB = 16; // width of a slider's thumb in pixels, about
let explorers = 0;

/** An element with attributes, on-listeners and children; text stays text. */
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "rect", "text", "clipPath"].includes(tag);
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Runs [first, last] of neighbours in an ascending list. */
function runs(positions) {
  const found = [];
  for (const p of positions)
    if (found.length && p === found.at(-1)[1] + 1) found.at(-1)[1] = p;
    else found.push([p, p]);
  return found;
}

/** Build an explorer in the place of the picture inside root; with useAddress the page's address holds the network. */
export function mount(root, useAddress = false) {
  const id = `rf${++explorers}`;
  /** @type {{layers: any[], nodes: import("./arithmetic.js").LayerNode[], l: number, position: number}} */
  const state = { layers: parse(PRESETS[0][1]).layers, nodes: [], l: 0, position: 0 };
  /** @type {any} */
  let view = null; // what the last drawing knows: scales and the paths that light up
  let timer = 0;

  const preset = make("select", { id: `${id}-preset`, onchange: () => load(preset.value) });
  preset.append(
    make("option", { value: "", hidden: true }, "Your own network"),
    ...PRESETS.map(([name, code]) => make("option", { value: code }, name)),
  );
  const copy = make("button", { type: "button", hidden: !useAddress, onclick: copyLink }, "Copy link");
  const address = make("input", { class: "rf-address", readonly: true, hidden: true, "aria-label": "Link" });
  const note = make("p", { class: "rf-note", role: "status" });
  const result = make("p", { class: "rf-result" });
  const drawing = make("svg", { class: "rf-drawing", role: "img", onpointermove: point, onpointerdown: point });
  const slider = make("input", {
    type: "range", min: 0, class: "rf-slider", "aria-label": "Position", "aria-describedby": `${id}-hint`,
    oninput: () => select(state.l, +slider.value), onkeydown: changeLayer,
  });
  const hint = make("p", { class: "rf-hint", id: `${id}-hint` },
    "Point at a cell, or move the slider: the keys ← → change the position, ↑ ↓ the layer. " +
    "Positions count from 0; dashed cells are padding.");
  const rule = make("p", { class: "rf-hint" },
    "In a chain, field = field before + (kernel − 1) · dilation · jump before; " +
    "the jump is the distance of neighbours in input pixels.");
  const live = make("p", { class: "rf-live", "aria-live": "polite" });
  const plane = make("svg", { class: "rf-plane", role: "img" });
  const planeText = make("p");
  const list = make("ol", { class: "rf-layers", "aria-label": "Layers" });
  const add = make("button", { type: "button", onclick: () => insert(state.layers.length) }, "Add a layer");
  const explorer = make("div", { class: "rf" },
    make("div", { class: "rf-bar" }, make("label", { for: preset.id }, "Network"), preset, copy, address),
    note, result, drawing, slider,
    make("div", { class: "rf-square" }, plane, planeText), live, hint, rule, list, add);

  // -- the network --

  function load(code) {
    state.layers = parse(code).layers;
    changed(true);
  }

  /** The network has changed; rebuild says whether the list needs other fields than before. */
  function changed(rebuild, save = true) {
    const middle = state.nodes.length ? state.position / state.nodes[state.l].size : 0.5;
    const atEnd = state.l === state.nodes.length - 1;
    state.nodes = fit(state.layers);
    const last = state.nodes.length - 1;
    const l = atEnd || rebuild ? last : Math.min(state.l, last);
    preset.value = "";
    const code = serialise(state.layers);
    if (PRESETS.some(([, known]) => known === code)) preset.value = code;
    if (rebuild) buildList();
    writeFacts();
    draw();
    select(l, rebuild ? state.nodes[l].size >> 1 : Math.floor(middle * state.nodes[l].size));
    clearTimeout(timer); // browsers limit how often the address may change
    if (save) {
      note.textContent = "";
      address.hidden = true;
      if (useAddress) timer = setTimeout(() => history.replaceState(history.state, "", `#rf=${code}`), 200);
    }
  }

  function readAddress() {
    if (!location.hash.startsWith("#rf=")) return false;
    const { layers, problem } = parse(location.hash.slice(4));
    state.layers = layers;
    changed(true, false);
    note.textContent = problem ? `The link could not be read: ${problem}. This is the first network of the menu.` : "";
    return true;
  }

  async function copyLink() {
    const link = `${location.href.split("#")[0]}#rf=${serialise(state.layers)}`;
    try {
      await navigator.clipboard.writeText(link);
      note.textContent = "The link is on the clipboard.";
    } catch { // not allowed, or not a secure page: the reader copies it
      address.value = link;
      address.hidden = false;
      address.select();
      note.textContent = "Copy the marked link.";
    }
  }

  /** Insert a copy of the layer before i. */
  function insert(i) {
    renumber((from) => (from > i ? from + 1 : from));
    state.layers.splice(i, 0, i ? { ...state.layers[i - 1] } : parseLayer(NEW_LAYERS.conv));
    changed(true);
    focusOn(i, "kind");
  }

  function remove(i) {
    renumber((from) => (from > i ? from - 1 : from));
    state.layers.splice(i, 1);
    changed(true);
    if (state.layers.length) focusOn(Math.min(i, state.layers.length - 1), "remove");
    else add.focus();
  }

  function move(i, by) {
    renumber((from) => (from === i + 1 ? from + by : from === i + 1 + by ? i + 1 : from));
    state.layers.splice(i + by, 0, ...state.layers.splice(i, 1));
    changed(true);
    focusOn(i + by, by < 0 ? "up" : "down");
  }

  /** Skips keep their partner when layers change places. */
  function renumber(map) {
    for (const layer of state.layers) if ("from" in layer) layer.from = Math.min(map(layer.from), MAX_LAYERS - 1);
  }

  function focusOn(i, name) {
    const buttons = [...list.children[i].querySelectorAll("[data-name]")];
    const wanted = buttons.find((button) => button.dataset.name === name && !button.disabled);
    (wanted ?? buttons.find((button) => button.dataset.name === "kind")).focus();
  }

  // -- the list --

  function buildList() {
    list.replaceChildren(...state.layers.map(buildRow));
    add.disabled = state.layers.length >= MAX_LAYERS;
  }

  function buildRow(layer, i) {
    const kind = choice(`Kind of layer ${i + 1}`, layer.kind, KIND_NAMES, (value) => {
      state.layers[i] = parseLayer(NEW_LAYERS[value]);
      changed(true);
      focusOn(i, "kind");
    });
    kind.dataset.name = "kind";
    const fields = Object.keys(KINDS[layer.kind]).map((name) => numberField(layer, i, name));
    if (layer.kind === "up")
      fields.push(choice(`Mode of layer ${i + 1}`, layer.mode, MODES, (value) => {
        layer.mode = value;
        changed(false);
      }));
    const button = (name, sign, words, disabled, onclick) => {
      const label = `${words} layer ${i + 1}`;
      const names = { "data-name": name, "aria-label": label, title: label };
      return make("button", { type: "button", disabled, onclick, ...names }, sign);
    };
    return make("li", {},
      make("span", { class: "rf-number" }, `${i + 1}`), kind, ...fields,
      make("span", { class: "rf-buttons" },
        button("up", "↑", "Move up", i === 0, () => move(i, -1)),
        button("down", "↓", "Move down", i === state.layers.length - 1, () => move(i, 1)),
        button("copy", "+", "Insert a copy of", state.layers.length >= MAX_LAYERS, () => insert(i + 1)),
        button("remove", "×", "Remove", false, () => remove(i))),
      make("span", { class: "rf-facts" }),
      make("p", { class: "rf-problem", id: `${id}-problem-${i}`, role: "alert" }));
  }

  function choice(label, value, names, onchange) {
    const options = Object.entries(names).map(([key, name]) => make("option", { value: key }, name));
    const menu = make("select", { "aria-label": label, onchange: () => onchange(menu.value) }, ...options);
    menu.value = value;
    return menu;
  }

  /** A number of a layer. The network keeps the last good number while the field holds something else. */
  function numberField(layer, i, name) {
    const [least, most] = KINDS[layer.kind][name];
    const partner = name === "from";
    const input = make("input", {
      type: "number", min: least, max: most, value: layer[name], "aria-describedby": `${id}-problem-${i}`,
      "aria-label": partner ? `Partner of layer ${i + 1}` : `${name} of layer ${i + 1}`,
      oninput: () => {
        const value = input.value.trim() === "" ? NaN : Number(input.value);
        const good = Number.isInteger(value) && value >= least && value <= most;
        if (good) layer[name] = value;
        const rule = `must be a whole number from ${least} to ${most}; ${layer[name]} is kept.`;
        input.dataset.problem = good ? "" : `The ${partner ? "number" : name} ${rule}`;
        input.setAttribute("aria-invalid", !good);
        changed(false);
      },
    });
    return make("label", {}, layer.kind === "branch" ? "to" : name, input);
  }

  function writeFacts() {
    [...list.children].forEach((row, i) => {
      const node = state.nodes[i + 1];
      const field = formula(state.layers, state.nodes, i + 1) || fieldText(node.receptiveField);
      row.querySelector(".rf-facts").replaceChildren(`size ${node.size} · jump ${node.jump} · field ${field}`);
      const faults = [...row.querySelectorAll("input")].map((input) => input.dataset.problem ?? "");
      const problem = [...faults, node.problem].filter(Boolean).join(" ");
      const place = row.querySelector(".rf-problem");
      if (place.textContent !== problem) place.textContent = problem;
    });
    const { receptiveField: field, jump } = state.nodes[state.nodes.length - 1];
    const n = state.nodes[0].size;
    const wrong = state.nodes.findIndex((node) => node.problem);
    const problem = wrong > 0 ? ` Layer ${wrong}: ${state.nodes[wrong].problem}` : "";
    const big = make("strong", {}, field ? fieldText(field) : `more than ${n}`);
    result.replaceChildren("Receptive field ", big, ` ${field && field[1] === 1 ? "pixel" : "pixels"}`,
      field && field[0] < field[1] ? ", depending on the position" : "",
      `; neighbouring outputs are ${count(jump, "pixel")} apart. Drawn for an input of ${n} pixels.`,
      make("span", { class: "rf-problem" }, problem));
  }

  // -- the drawing --

  /** Everything that does not depend on the position pointed at. */
  function draw() {
    const { nodes, layers } = state;
    const width = Math.max(result.clientWidth, 280);
    const short = width < 480;
    const pitch = Math.min(Math.max(300 / nodes.length, 17), 54);
    const thick = Math.min(pitch * 0.56, 20);
    const lanes = makeLanes(nodes);
    const names = nodes.map((_, l) => `${l} ${layerName(layers[l - 1], short)}`);
    const [left, top] = [16 + 6.6 * Math.max(...names.map((name) => name.length)), 30];
    const right = 46 + (lanes.count ? 9 * lanes.count + 8 : 0);
    const room = Math.max(width - left - right, 60);
    const height = top + pitch * (nodes.length - 1) + thick + 8;
    const [low, high] = extent(nodes);
    const scale = room / (high - low);
    const x = (node, i) => (node.offset + i * node.jump - low) * scale;
    const y = (l) => top + l * pitch;
    const word = (cls, at, l, text) => make("text", { class: cls, x: at, y: l < 0 ? 14 : y(l) + thick / 2 + 4 }, text);

    const rows = nodes.map((node, l) => ({
      all: make("path", { class: "rf-cell", d: cells(range(node.size), l) }),
      lit: make("path", { class: l ? "rf-lit" : "rf-lit rf-input" }),
      padding: make("path", { class: "rf-padding" }),
      lines: make("path", { class: "rf-line" }),
      name: word(node.problem ? "rf-wrong" : "", 0, l, names[l]),
      field: word("rf-end", width, l, fieldText(node.receptiveField)),
    }));
    const picked = make("path", { class: "rf-picked" });
    view = { rows, cells, x, y, pitch, thick, scale, left, top, picked, arcs: lanes.arcs };
    const plot = make("svg", { x: left, y: 0, width: room, height, class: "rf-plot" },
      ...rows.map((row) => row.lines), ...rows.flatMap((row) => [row.all, row.lit, row.padding]), picked);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.replaceChildren(
      word("", 0, -1, "layer"), word("rf-end", width, -1, "field"), plot,
      ...rows.flatMap((row) => [row.name, row.field]),
      ...lanes.arcs.map((arc) => {
        const [a, b] = [y(arc.from) + thick / 2, y(arc.l) + thick / 2];
        const edge = left + room + 3;
        const out = edge + 7 + 9 * arc.lane;
        arc.path = make("path", { class: `rf-arc rf-${layers[arc.l - 1].kind}`,
          d: `M${edge} ${a}H${out - 4}q4 0 4 4V${b - 4}q0 4 -4 4H${edge}m5 -4l-5 4l5 4` });
        return arc.path;
      }));

    /** Cells of a layer as one path; those too narrow to be told apart are drawn as one bar. */
    function cells(positions, l) {
      const w = nodes[l].jump * scale;
      const gap = w < 3 ? 0 : Math.min(2, w * 0.2);
      const parts = w < 3 ? runs(positions) : positions.map((p) => [p, p]);
      const bar = ([a, b]) => {
        const start = x(nodes[l], a) - w / 2 + gap / 2;
        const end = start + Math.max((b - a + 1) * w - gap, 1);
        return `M${start.toFixed(2)} ${y(l)}H${end.toFixed(2)}v${thick}H${start.toFixed(2)}z`;
      };
      return parts.map(bar).join("");
    }
  }

  /** Part of the axis that is drawn: the image and, if it is not far, the padding. */
  function extent(nodes) {
    const n = nodes[0].size;
    const edges = nodes.flatMap((node) => [[node, 0], [node, node.size - 1]]);
    for (const { size, reads } of nodes)
      for (const [from, at] of reads) for (const p of [...at(0), ...at(size - 1)]) edges.push([nodes[from], p]);
    const low = edges.map(([{ offset, jump }, p]) => offset + (p - 0.5) * jump);
    const high = edges.map(([{ offset, jump }, p]) => offset + (p + 0.5) * jump);
    return [Math.max(Math.min(...low), -0.07 * n), Math.min(Math.max(...high), 1.07 * n)];
  }

  /** Arcs for reads from layers further up, each in the first lane that is free; short ones inside. */
  function makeLanes(nodes) {
    const all = nodes.flatMap((node, l) => node.reads.map(([from]) => ({ from, l })));
    const arcs = all.filter(({ from, l }) => from < l - 1);
    arcs.sort((a, b) => a.l - a.from - (b.l - b.from));
    arcs.forEach((arc, i) => {
      const met = arcs.slice(0, i).filter((other) => other.from < arc.l && arc.from < other.l);
      arc.lane = range(i + 1).find((lane) => !met.some((other) => other.lane === lane));
    });
    return { arcs, count: Math.max(0, ...arcs.map((arc) => arc.lane + 1)) };
  }

  // -- what lights up --

  function point(event) {
    const box = drawing.getBoundingClientRect();
    const zoom = drawing.viewBox.baseVal.width / box.width;
    const l = Math.round(((event.clientY - box.top) * zoom - view.top - view.thick / 2) / view.pitch);
    const at = Math.min(Math.max(l, 0), state.nodes.length - 1);
    const node = state.nodes[at];
    const right = (event.clientX - box.left) * zoom - view.left - view.x(node, 0);
    select(at, Math.round(right / (node.jump * view.scale)));
  }

  function changeLayer(event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const l = state.l + by;
    if (!by) return;
    event.preventDefault();
    if (!state.nodes[l]) return;
    const [here, there] = [state.nodes[state.l], state.nodes[l]];
    select(l, Math.round((here.offset + state.position * here.jump - there.offset) / there.jump));
  }

  /** Light up what feeds a position of a layer. */
  function select(l, position) {
    const { nodes } = state;
    position = Math.min(Math.max(position, 0), nodes[l].size - 1);
    Object.assign(state, { l, position });
    slider.max = nodes[l].size - 1;
    slider.value = position;
    const way = (nodes[l].size - 1) * nodes[l].jump * view.scale; // the thumb stands below its cell
    slider.style.width = `${Math.max(way + THUMB, 4 * THUMB)}px`;
    slider.style.marginLeft = `${view.left + view.x(nodes[l], 0) - THUMB / 2}px`;
    slider.setAttribute("aria-valuetext", `${position} in ${l ? `layer ${l}` : "the input"}`);
    const lit = trace(nodes, l, position).map((set) => [...set].sort((a, b) => a - b));
    const inside = lit.map((set, m) => set.filter((p) => p >= 0 && p < nodes[m].size));
    view.rows.forEach((row, m) => {
      row.lit.setAttribute("d", view.cells(inside[m], m));
      row.padding.setAttribute("d", view.cells(lit[m].filter((p) => p < 0 || p >= nodes[m].size), m));
      row.lines.setAttribute("d", m ? lines(m, inside[m]) : "");
      row.name.classList.toggle("rf-on", m === l);
      row.field.classList.toggle("rf-on", m === l);
    });
    for (const arc of view.arcs) arc.path.classList.toggle("rf-on", inside[arc.l].length > 0);
    view.picked.setAttribute("d", view.cells([position], l));
    const words = sentence(nodes, l, position);
    live.textContent = words;
    const what = `Pyramid of ${count(nodes.length - 1, "layer")} below an input of ${count(nodes[0].size, "pixel")}`;
    drawing.setAttribute("aria-label", `${what}. ${words}`);
    drawPlane(inside[0], nodes[l].seen((nodes[l].size - 1) >> 1));
  }

  /** Lines from lit cells of row m up to the cells that they read; one area where cells are too narrow. */
  function lines(m, positions) {
    const { x, y, thick, scale } = view;
    const node = state.nodes[m];
    const above = state.nodes[m - 1];
    const read = node.reads.find(([from]) => from === m - 1);
    if (!read || !positions.length) return "";
    const at = read[1];
    const [down, up] = [y(m), y(m - 1) + thick];
    if (Math.min(node.jump, above.jump) * scale < 3) {
      const [a, b] = [positions[0], positions.at(-1)];
      const [w, v] = [(node.jump * scale) / 2, (above.jump * scale) / 2];
      const ends = [...at(a), ...at(b)];
      const [c, d] = [Math.min(...ends), Math.max(...ends)];
      return `M${x(node, a) - w} ${down}L${x(above, c) - v} ${up}H${x(above, d) + v}L${x(node, b) + w} ${down}z`;
    }
    const line = (i, j) => `M${x(node, i).toFixed(1)} ${down}L${x(above, j).toFixed(1)} ${up}`;
    return positions.flatMap((i) => at(i).map((j) => line(i, j))).join("");
  }

  /** The lit pixels in the plane: those columns, and the rows that the middle position sees. */
  function drawPlane(columns, rows) {
    const n = state.nodes[0].size;
    const grid = n <= 32 ? range(n - 1).map((i) => `M${i + 1} 0V${n}M0 ${i + 1}H${n}`).join("") : "";
    const bars = runs(columns).map(([a, b]) => `M${a} 0H${b + 1}V${n}H${a}z`).join("");
    const stripes = runs(rows).map(([a, b]) => `M0 ${a}H${n}V${b + 1}H0z`).join("");
    plane.setAttribute("viewBox", `0 0 ${n} ${n}`);
    plane.replaceChildren(
      make("clipPath", { id: `${id}-rows` }, make("path", { d: stripes })),
      make("rect", { class: "rf-cell", width: n, height: n }),
      make("path", { class: "rf-lit rf-input", d: bars, "clip-path": `url(#${id}-rows)` }),
      make("path", { class: "rf-grid", d: grid }));
    planeText.textContent = `In the plane: ${rows.length} × ${columns.length} pixels`;
    plane.setAttribute("aria-label", planeText.textContent);
  }

  // -- start --

  const image = root.querySelector("img");
  if (image) (image.closest("a") ?? image).replaceWith(explorer); // a caption and a number stay
  else root.replaceChildren(explorer);
  if (useAddress && readAddress()) root.scrollIntoView({ block: "nearest", behavior: "instant" });
  else changed(true, false);
  if (useAddress) window.addEventListener("hashchange", readAddress);
  let width = explorer.clientWidth;
  new ResizeObserver(() => {
    if (explorer.clientWidth === width) return;
    width = explorer.clientWidth;
    draw();
    select(state.l, state.position);
  }).observe(explorer);
}

/** All explorers of the page; the first one keeps its network in the address. */
export function mountAll() {
  document.querySelectorAll(".rf-explorer").forEach((root, i) => mount(root, i === 0));
}
