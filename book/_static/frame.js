"use strict";
// Small repairs of the theme: names, landmarks and keyboard reach for assistive technology; folded parts in print.
const ownAddress = document.currentScript.src; // known only while the script itself runs
window.addEventListener("load", () => {
  const all = (selector) => document.querySelectorAll(selector);

  // A button's accessible name must hold the text that is seen on it.
  const name = () => {
    all(".search-button-field, details.hide > summary").forEach((e) => e.removeAttribute("aria-label"));
    all(".theme-switch-button svg").forEach((icon) => {
      icon.querySelectorAll("title").forEach((title) => title.remove());
      icon.removeAttribute("aria-labelledby");
      icon.removeAttribute("role");
      icon.setAttribute("aria-hidden", "true");
    });
  };
  name();
  // Font Awesome swaps its icons in, and Bootstrap its tool tips, after the page has loaded.
  const watch = new MutationObserver(name);
  all(".theme-switch-button, .search-button-field").forEach((button) => watch.observe(button, { childList: true }));

  // The sidebar holds the title of the book, which has to lie in a landmark.
  const sidebar = document.getElementById("pst-primary-sidebar");
  if (sidebar) {
    sidebar.setAttribute("role", "region");
    sidebar.setAttribute("aria-label", "Book");
  }

  // Scripts that few pages need: the explorer in place of its picture, the answers of self-check boxes.
  const fetchScript = (name, then = () => {}) => {
    const script = document.createElement("script");
    script.src = new URL(name, ownAddress);
    script.addEventListener("load", then);
    document.head.append(script);
  };
  const onDisk = location.protocol === "file:"; // where a browser loads no modules
  if (all(".rf-explorer").length && onDisk) fetchScript("explorer/bundle.js", () => receptiveField.mountAll());
  else if (all(".rf-explorer").length) import(new URL("explorer/figure.js", ownAddress)).then((it) => it.mountAll());
  if (all(".small-figure").length && onDisk) fetchScript("small/bundle.js", () => smallFigures.mountAll());
  else if (all(".small-figure").length) import(new URL("small/figures.js", ownAddress)).then((it) => it.mountAll());
  if (all(".selfcheck").length) fetchScript("selfcheck.js");
  // A page from the disk may not start the networks: its picture stays.
  const live = document.getElementById("lab-facts") && !onDisk;
  if (live && all(".lab").length) import(new URL("lab/lab.js", ownAddress));
  if (live && all(".inside").length) import(new URL("lab/inside.js", ownAddress));

  // Paper is white and cannot unfold anything; questions keep their answers to themselves.
  const questions = ".predict details, .selfcheck details";
  let opened = [], theme;
  window.addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    opened = [...all("details:not([open])")].filter((part) => !part.matches(questions));
    opened.forEach((part) => (part.open = true));
  });
  window.addEventListener("afterprint", () => {
    document.documentElement.dataset.theme = theme;
    opened.forEach((part) => (part.open = false));
  });
});
