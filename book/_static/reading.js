"use strict";
// Reading on any screen: what is wider than the page shows that it goes on, and a picture opens for a closer look.
window.addEventListener("load", () => {
  const all = (selector) => [...document.querySelectorAll(selector)];

  // A number from the notebook stays with its unit; a list of words may break.
  for (const value of all(".bd-article .pasted-text")) if (value.textContent.length < 16) value.style.whiteSpace = "nowrap";

  // Columns of numbers stand on the right, and what is negative has a minus and not a hyphen.
  const NUMBER = /^[<−-]?\d[\d.,]*( ± [\d.]+)?( [%s])?$/;
  for (const table of all(".bd-article table")) {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
    const numeric = (texts[0] ?? []).map((_, i) => texts.every((row) => NUMBER.test(row[i] ?? "")));
    for (const row of table.rows) [...row.cells].forEach((cell, i) => cell.classList.toggle("number", numeric[i] || cell.matches(".number")));
    for (const cell of table.querySelectorAll("td.number")) if (/^-\d/.test(cell.textContent)) cell.textContent = cell.textContent.replace("-", "−");
  }

  // Formulas shrink a little where that makes them fit; what is still wide fades at the side where it goes on, and can
  // be scrolled by finger, mouse and, since it takes the focus, by key.
  const SMALLEST = 0.75;
  const NAMES = ["div.math", "div.math mjx-container", ".cell_output", "figure", "pre", ".pst-scrollable-table-container", ".results"];
  const WIDE = NAMES.map((name) => `.bd-article ${name}`).join(", ");
  const mark = (box) => {
    const hidden = box.clientWidth ? box.scrollWidth - box.clientWidth : 0;
    if (hidden > 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
    box.classList.toggle("more-left", hidden > 1 && box.scrollLeft > 2);
    box.classList.toggle("more-right", hidden > 1 && box.scrollLeft < hidden - 2);
  };
  const shrink = (formula) => {
    const box = formula.parentElement;
    box.style.fontSize = "";
    const share = formula.clientWidth / formula.scrollWidth;
    if (share < 1) box.style.fontSize = `${Math.max(SMALLEST, 0.98 * share)}em`;
  };
  const fit = () => {
    all(".bd-article div.math > mjx-container").forEach(shrink);
    all(WIDE).forEach(mark);
  };
  document.addEventListener("scroll", ({ target }) => target.matches?.(WIDE) && mark(target), { capture: true, passive: true });
  window.addEventListener("resize", fit);
  for (const event of ["toggle", "click"]) document.addEventListener(event, () => setTimeout(fit), true); // unfolded
  fit();
  window.MathJax?.startup?.promise.then(fit);

  // A click on a picture opens it; there + and −, a click, or the keys + − 0 change its size, and dragging moves it.
  const LARGEST = 4;
  const dialog = document.createElement("dialog"), bar = document.createElement("div"), room = document.createElement("div");
  dialog.className = "zoomed";
  dialog.setAttribute("aria-label", "Enlarged picture");
  bar.className = "zoom-bar";
  room.className = "zoom-room";
  room.tabIndex = 0;
  let picture, ratio, natural, scale;
  const whole = () => Math.min(room.clientWidth / natural, room.clientHeight / (natural * ratio));
  const show = (wanted, x = room.clientWidth / 2, y = room.clientHeight / 2) => {
    const next = Math.min(Math.max(wanted, whole()), Math.max(LARGEST, whole())), grown = next / (scale || next);
    const [left, top] = [(room.scrollLeft + x) * grown - x, (room.scrollTop + y) * grown - y];
    scale = next;
    picture.style.width = `${scale * natural}px`;
    room.scrollTo(left, top);
  };
  const button = (text, name, act) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    if (name) made.setAttribute("aria-label", name);
    made.addEventListener("click", act);
    bar.append(made);
  };
  button("−", "Smaller", () => show(scale / 1.5));
  button("+", "Larger", () => show(scale * 1.5));
  button("Whole", "Whole picture", () => show(0));
  button("Close", "", () => dialog.close());
  dialog.append(bar, room);
  dialog.addEventListener("keydown", ({ key }) => {
    const act = { "+": () => show(scale * 1.5), "=": () => show(scale * 1.5), "-": () => show(scale / 1.5), 0: () => show(0) };
    act[key]?.();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && dialog.close(), true); // a script of the theme eats the key
  window.addEventListener("resize", () => dialog.open && show(scale));

  let from, moved;
  room.addEventListener("pointerdown", (event) => {
    [from, moved] = [event, false];
    if (event.pointerType === "mouse") event.preventDefault(); // no selection, no dragging of the file
  });
  room.addEventListener("pointermove", (event) => {
    if (!from || event.pointerType !== "mouse" || !event.buttons) return; // fingers scroll by themselves
    moved ||= Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > 4;
    room.scrollBy(-event.movementX, -event.movementY);
  });
  room.addEventListener("click", (event) => {
    if (moved) return;
    if (event.target === room) dialog.close();
    const box = room.getBoundingClientRect(), full = scale > 0.95 * Math.max(LARGEST, whole());
    show(full ? 0 : scale * 2, event.clientX - box.left, event.clientY - box.top);
  });

  const open = (image) => {
    picture = image.cloneNode();
    picture.src = image.currentSrc; // on a phone a narrow drawing
    for (const name of ["style", "width", "height", "loading"]) picture.removeAttribute(name);
    room.replaceChildren(picture);
    document.body.append(dialog);
    dialog.showModal();
    room.focus();
    [natural, ratio, scale] = [image.naturalWidth, image.naturalHeight / image.naturalWidth, 0];
    // Whole where that is legible, else at its own size, so that letters can be read and the rest is scrolled to.
    show(whole() < 0.75 ? 1 : whole(), 0, 0);
  };
  all(".bd-article figure img").forEach((image) => {
    if (image.closest("a, .lab, .inside, .rf-explorer, .small-figure")) return;
    const opener = Object.assign(document.createElement("button"), { type: "button", className: "zoom" });
    opener.setAttribute("aria-label", `Enlarge: ${image.alt}`);
    const shown = image.closest("picture") ?? image;
    shown.replaceWith(opener);
    opener.append(shown);
    opener.addEventListener("click", () => open(image));
  });

  // A picture that moves can be stopped: with #still behind its address it shows its last frame.
  all(".bd-article figure.moving").forEach((figure) => {
    const image = figure.querySelector("img");
    const pause = document.createElement("button");
    pause.type = "button";
    pause.className = "pause";
    pause.textContent = "Pause";
    pause.addEventListener("click", () => {
      const still = image.src.endsWith("#still");
      image.src = still ? image.src.slice(0, -"#still".length) : `${image.src}#still`;
      pause.textContent = still ? "Pause" : "Play";
    });
    figure.querySelector("figcaption").before(pause);
  });

  // Paper shows the picture of a laboratory in which nothing was computed (print.css).
  all(".lab").forEach((lab) => {
    const still = lab.cloneNode(true);
    still.className = "lab-still";
    still.querySelectorAll("[id]").forEach((part) => part.removeAttribute("id"));
    lab.after(still);
  });
});
