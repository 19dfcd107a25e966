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

  // What scrolls sideways can be reached and scrolled with the keyboard.
  const reach = () =>
    all(".bd-article div.math, .bd-article .cell_output, .bd-article figure, .bd-article pre").forEach((box) => {
      if (box.scrollWidth > box.clientWidth && box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    });
  reach();
  window.addEventListener("resize", reach);
  for (const event of ["toggle", "click"]) document.addEventListener(event, () => setTimeout(reach), true); // unfolded
  window.MathJax?.startup?.promise.then(reach);

  // A click on a picture shows it as large as the window allows; Escape or another click closes it.
  const zoom = document.createElement("dialog");
  zoom.className = "zoomed";
  zoom.setAttribute("aria-label", "Enlarged picture");
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  zoom.addEventListener("click", () => zoom.close());
  document.addEventListener("keydown", (event) => event.key === "Escape" && zoom.close(), true); // a script of the theme eats the key
  all(".bd-article figure img").forEach((image) => {
    if (image.closest("a, .lab, .rf-explorer")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "zoom";
    button.setAttribute("aria-label", `Enlarge: ${image.alt}`);
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => {
      const large = image.cloneNode();
      large.removeAttribute("style");
      zoom.replaceChildren(large, close);
      document.body.append(zoom);
      zoom.showModal();
    });
  });

  // Scripts that few pages need: the explorer in place of its picture, the answers of self-check boxes.
  const fetchScript = (name, then = () => {}) => {
    const script = document.createElement("script");
    script.src = new URL(name, ownAddress);
    script.addEventListener("load", then);
    document.head.append(script);
  };
  if (all(".rf-explorer").length) fetchScript("receptive_field.js", () => receptiveField.mountAll());
  if (all(".selfcheck").length) fetchScript("selfcheck.js");
  // A page from the disk may not start the networks: its picture stays.
  if (document.getElementById("lab-facts") && location.protocol !== "file:") import(new URL("lab/lab.js", ownAddress));

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
