"use strict";
// Self-check boxes: the numbered answers become buttons that say at once whether they are right.
// Without this script the list and the folded answer remain. The right one is the bold number that the answer begins with.
for (const box of document.querySelectorAll(".admonition.selfcheck")) {
  const list = box.querySelector("ol"), answer = box.querySelector("details");
  const right = parseInt(answer?.querySelector("strong")?.textContent, 10);
  if (!list || !(right >= 1 && right <= list.children.length)) continue;
  const verdict = document.createElement("p");
  verdict.className = "selfcheck-verdict";
  verdict.setAttribute("aria-live", "polite");
  list.after(verdict);
  [...list.children].forEach((item, index) => {
    const button = document.createElement("button"), text = item.querySelector(":scope > p");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(...(text ?? item).childNodes);
    button.querySelectorAll("a").forEach((link) => link.replaceWith(...link.childNodes)); // no link within a button
    if (text) text.replaceWith(button);
    else item.append(button);
    button.addEventListener("click", () => {
      for (const other of list.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
      const isRight = index + 1 === right;
      button.className = isRight ? "selfcheck-right" : "selfcheck-wrong";
      verdict.textContent = `Answer ${index + 1} is ${isRight ? "right." : "not right. Try another one."}`;
      if (isRight) answer.open = true;
    });
  });
}
