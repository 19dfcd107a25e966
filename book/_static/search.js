"use strict";
// Excerpts of found pages: a sentence that holds the word, without code, outputs and raw TeX.
const LENGTH = 240; // letters of an excerpt
const SIGNS = {
  alpha: "α", beta: "β", delta: "δ", Delta: "Δ", theta: "θ", Theta: "Θ", lambda: "λ", mu: "μ", sigma: "σ", omega: "ω", phi: "φ",
  nabla: "∇", times: "×", cdot: "·", star: "∗", circ: "∘", approx: "≈", le: "≤", leq: "≤", ge: "≥", geq: "≥", in: "∈", to: "→", mapsto: "↦",
  sum: "∑", sqrt: "√", infty: "∞", pm: "±", R: "ℝ", dots: "…", ldots: "…", quad: " ", qquad: " ", top: "ᵀ", lVert: "‖", rVert: "‖", log: "log ",
};
const plainFormula = (tex) =>
  tex
    .replace(/^\\\(|\\\)$/g, "")
    .replace(/\\norm\{([^{}]*)\}/g, "‖$1‖")
    .replace(/\\abs\{([^{}]*)\}/g, "|$1|")
    .replace(/\\([A-Za-z]+) ?/g, (_, name) => SIGNS[name] ?? "")
    .replace(/\\[,;! ]/g, " ")
    .replace(/[{}\\]/g, "");

/** The sentences of a page, or of the part of it that a result points to. */
const sentencesOf = (html, anchor) => {
  const page = new DOMParser().parseFromString(html, "text/html");
  const article = page.querySelector("article") ?? page.body;
  const found = anchor ? page.getElementById(decodeURIComponent(anchor.slice(1))) : null;
  const part = (found?.matches("dt") ? found.nextElementSibling : found) || article; // what follows a term or a signature
  part.querySelectorAll("span.math").forEach((formula) => (formula.textContent = plainFormula(formula.textContent)));
  const rest = ".headerlink, script, style, nav, pre, div.math, .cell_input, .cell_output, summary, .sd-summary-title";
  part.querySelectorAll(rest).forEach((element) => element.remove());
  return [...part.querySelectorAll("p, li, figcaption, td")]
    .filter((block) => !block.querySelector("p, li"))
    .map((block) => block.textContent.replace(/\s+/g, " ").trim())
    .filter((text) => text.length > 20);
};

document.addEventListener("DOMContentLoaded", () => {
  // Registered before the search's own start, which comes with the next script.
  Search.makeSearchSummary = (html, keywords, anchor) => {
    const words = [...keywords].map((word) => word.toLowerCase());
    const sentences = sentencesOf(html, anchor);
    const places = (text) => words.map((word) => text.toLowerCase().indexOf(word)).filter((at) => at >= 0);
    const most = Math.max(0, ...sentences.map((sentence) => places(sentence).length));
    const text = sentences.find((sentence) => places(sentence).length === most);
    if (!text) return null;
    const at = Math.max(0, ...places(text));
    let start = Math.max(0, at - LENGTH / 2);
    if (text.length - start < LENGTH) start = Math.max(0, text.length - LENGTH);
    if (start) start = text.indexOf(" ", start) + 1;
    let end = Math.min(text.length, start + LENGTH);
    if (end < text.length) end = text.lastIndexOf(" ", end);
    const excerpt = document.createElement("p");
    excerpt.className = "context";
    excerpt.textContent = `${start ? "… " : ""}${text.slice(start, end)}${end < text.length ? " …" : ""}`;
    return excerpt;
  };
});
