"use strict";
// Starts the slides. Before that, what is too high for a slide goes on to the next one, so that nothing is cut off.
const WIDTH = 1280, HEIGHT = 720;
const CONTAINERS = "ul, ol, .admonition, .cell, .cell_input, .cell_output, .highlight, .highlight-ipython3, div:not(.math)";
const rest = (slide) => [...slide.children].filter((part) => !part.matches("h2, aside.notes"));
const isHigh = (slide) => slide.scrollHeight > HEIGHT;

/** A container without its content, so that part of it can go on elsewhere. */
const emptied = (container) => {
  const copy = container.cloneNode(false), title = container.querySelector(":scope > .admonition-title");
  copy.removeAttribute("id");
  if (title) copy.append(title.cloneNode(true));
  if (container.localName === "ol") copy.start = (container.start || 1) + container.children.length;
  return copy;
};

/** Move parts from the end of one container to the start of another until the slide is low enough, or one part is left. */
const shift = (slide, from, to) => {
  const parts = from === slide ? rest(slide) : [...from.children].filter((part) => !part.matches(".admonition-title"));
  let first = to.querySelector(":scope > :not(h2, .admonition-title)");
  while (isHigh(slide) && parts.length > 1) {
    const part = parts.pop();
    to.insertBefore(part, first);
    first = part;
    if (from.localName === "ol") to.start -= 1;
  }
  const [last] = parts;
  if (!isHigh(slide) || !last || !last.matches(CONTAINERS) || last.matches(".lab, .inside, .rf, .small-figure")) return;
  const inside = [...last.children].filter((part) => !part.matches(".admonition-title"));
  if (!inside.length || (inside.length === 1 && !inside[0].matches(CONTAINERS))) return;
  const copy = emptied(last);
  to.insertBefore(copy, first);
  shift(slide, last, copy);
  if (!copy.querySelector(":scope > :not(.admonition-title)")) copy.remove();
};

const split = (slide) => {
  for (let round = 0; isHigh(slide) && round < 20; round++) {
    const next = document.createElement("section"), heading = slide.querySelector("h2");
    if (heading) next.append(heading.cloneNode(true));
    slide.after(next);
    shift(slide, slide, next);
    if (!rest(next).length) {
      next.remove();
      break;
    }
    slide = next;
  }
};

/** What cannot be parted, one table say, becomes smaller. */
const shrink = (slide) => {
  for (const part of rest(slide)) {
    const inner = part.querySelector("table, mjx-container") ?? part;
    if (inner.scrollWidth > part.clientWidth + 1) part.style.zoom = Math.max(0.6, part.clientWidth / inner.scrollWidth);
  }
  if (!isHigh(slide) || slide.querySelector(".lab, .inside, .rf, .small-figure")) return;
  const zoom = Math.max(0.6, HEIGHT / slide.scrollHeight);
  Object.assign(slide.style, { zoom, width: `${WIDTH / zoom}px`, maxHeight: `${HEIGHT / zoom}px` });
};

/** How wide the widest thing of a slide is that cannot be broken into lines, in pixels. */
const widest = (slide) => {
  const lines = [...slide.querySelectorAll("pre")].flatMap((pre) => pre.textContent.split("\n"));
  const letters = Math.max(0, ...lines.map((line) => line.length));
  const others = [...slide.querySelectorAll("table, mjx-math")].map((part) => part.getBoundingClientRect().width);
  return Math.max(letters ? 13.3 * letters + 40 : 0, ...others);
};

/** What leaves half of a slide empty becomes larger, for those in the last row. */
const grow = (slide) => {
  if (slide.matches(".title-slide") || slide.querySelector(".lab, .inside, .rf, .small-figure, img, object")) return;
  const wide = Math.max(1, widest(slide));
  const zoom = Math.min(1.4, (0.85 * HEIGHT) / slide.scrollHeight, (WIDTH - 110) / wide);
  if (slide.scrollHeight > HEIGHT / 2 || zoom < 1.05) return;
  for (const part of rest(slide)) part.style.zoom = zoom;
};

const start = async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  const deck = document.querySelector(".slides");
  const slides = () => [...deck.querySelectorAll(":scope > section > section")];
  deck.classList.add("measured");
  for (const slide of slides()) split(slide);
  for (const slide of slides()) shrink(slide);
  for (const slide of slides()) grow(slide);
  deck.classList.remove("measured");
  const all = slides();
  await Reveal.initialize({
    width: WIDTH, height: HEIGHT, margin: 0.03, center: false, hash: true, transition: "none", navigationMode: "linear",
    slideNumber: (slide) => [all.indexOf(slide) + 1, "/", all.length],
    plugins: [RevealNotes],
  });
};
if (document.readyState === "complete") start();
else window.addEventListener("load", start);
