// Runs in a page of the site before it is printed: nothing is left to fetch, folded answers go to the end of the
// chapter, and every anchor that another page points to is linked to once, since Chromium keeps only such anchors.
// Returns the headings of the page: level, text, anchor.
async (anchors) => {
  const article = document.querySelector(".bd-article"), all = (selector) => [...article.querySelectorAll(selector)];
  const make = (name, properties, ...content) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...content);
    return element;
  };

  // Answers
  const end = make("section", { id: "answers-of-the-chapter" }, make("h2", {}, "Answers"));
  let count = 0;
  const move = (title, content) => {
    const id = `answer-${++count}`;
    const head = make("p", { className: "answer-title", id }, make("strong", {}, `${count}. `, title));
    end.append(make("div", { className: "answer" }, head, ...content));
    return make("p", { className: "answer-below" }, make("a", { href: `#${id}` }, `Answer ${count} is at the end of this chapter.`));
  };
  for (const fold of all(".predict details, .selfcheck details")) {
    const title = fold.closest(".admonition").querySelector(".admonition-title").textContent;
    const content = [...fold.childNodes].filter((node) => node.nodeName !== "SUMMARY");
    fold.replaceWith(move(title, content));
  }
  for (const box of all(".solution")) {
    const title = box.querySelector(".admonition-title");
    title.remove();
    box.classList.remove("toggle-hidden", "toggle", "dropdown", "admonition");
    const place = make("span", {});
    box.replaceWith(place);
    place.replaceWith(move(title.textContent, [box]));
  }
  if (count) (article.querySelector(":scope > section") ?? article).append(end);

  // Everything is there before the page is printed.
  await window.MathJax?.startup?.promise;
  all("img").forEach((image) => (image.loading = "eager"));
  await Promise.all(all("img").map((image) => image.decode().catch(() => {})));
  await document.fonts.ready;

  const headings = all("section[id] > :is(h1, h2, h3)").map((heading) => {
    const copy = heading.cloneNode(true);
    copy.querySelectorAll(".headerlink").forEach((link) => link.remove());
    return [Number(heading.localName[1]), copy.textContent.trim(), heading.parentElement.id];
  });
  for (const anchor of new Set([...anchors, ...headings.map((heading) => heading[2])]))
    article.append(make("a", { href: `#${encodeURIComponent(anchor)}` }));
  return headings;
}
