"use strict";
// Starts the slides, and makes what is too high for a slide a little smaller.
const fit = () => {
  const slide = Reveal.getCurrentSlide();
  if (!slide || slide.querySelector(".lab-body, .rf, details[open]")) return; // they may scroll
  slide.style.zoom = "";
  if (slide.scrollHeight > 720) slide.style.zoom = Math.max(0.8, 715 / slide.scrollHeight);
};
Reveal.initialize({
  width: 1280, height: 720, margin: 0.03, center: false, hash: true, slideNumber: "c/t", transition: "none",
  plugins: [RevealNotes],
}).then(() => {
  Reveal.on("slidechanged", fit);
  fit();
  window.addEventListener("load", fit);
  window.MathJax?.startup?.promise?.then(fit);
});
