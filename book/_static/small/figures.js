// The small figures of the chapters, by the class of their boxes: each is computed in the page.
// Browsers load modules from a server only; for pages from a disk the build bundles this one.
import { kernel } from "./kernel.js";
import { lambda } from "./lambda.js";
import { views } from "./views.js";
import { fieldWindow } from "./window.js";

/** @type {Record<string, (box: Element) => void | Promise<void>>} */
const FIGURES = {
  "few-views": views, "drag-kernel": kernel, "drag-lambda": lambda, "drag-window": fieldWindow,
};

/** Build a figure when the reader comes near its box. */
export function mountAll() {
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      const name = Object.keys(FIGURES).find((one) => target.classList.contains(one));
      if (name) FIGURES[name](target);
    }
  }, { rootMargin: "600px" });
  document.querySelectorAll(".small-figure").forEach((box) => near.observe(box));
}
