// Style sheets of this folder: only pages that show something of it fetch them.
import { make } from "./dom.js";

/**
 * Wait until style sheets hold, each fetched once.
 * @param {...string} names
 */
export async function styled(...names) {
  await Promise.all(names.map((name) => new Promise((done) => {
    const { href } = new URL(name, import.meta.url);
    if (document.querySelector(`link[href="${href}"]`)) return done(undefined);
    const link = make("link", { rel: "stylesheet", href, onload: done, onerror: done });
    return document.head.append(link);
  })));
}
