// Opens pages of the built book in a Firefox and prints what is wrong with each, as JSON:
//
//   node firefox.mjs NODE_MODULES FIREFOX ADDRESS PAGE…
//
// puppeteer-core drives an ordinary Firefox; it comes with lighthouse, which tests need anyway.
import { pathToFileURL } from "node:url";

const [modules, program, site, ...names] = process.argv.slice(2);
const entry = `${modules}/puppeteer-core/lib/puppeteer/puppeteer-core.js`;
const { launch } = await import(pathToFileURL(entry));
const patience = 300000; // milliseconds: a busy machine takes its time
const browser = await launch({
  browser: "firefox", executablePath: program, headless: true,
  timeout: patience, protocolTimeout: patience,
});

/** A new page, and the list that will hold errors, failed requests and requests to other hosts. */
async function open(address) {
  const page = await browser.newPage();
  page.setDefaultTimeout(patience);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("console", (said) => said.type() === "error" && wrong.push(`console: ${said.text()}`));
  page.on("requestfailed", (request) => wrong.push(`failed: ${request.url()}`));
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(site)) {
      wrong.push(`another host: ${request.url()}`);
    }
  });
  page.on("response", (response) => {
    if (response.status() >= 400) wrong.push(`${response.status()}: ${response.url()}`);
  });
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(`${site}/${address}`, { waitUntil: "load" });
  return { page, wrong };
}

const found = { version: await browser.version(), pages: {} };
for (const name of names) {
  const { page, wrong } = await open(name);
  await page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))");
  for (const width of [1280, 390]) {
    await page.setViewport({ width, height: 900 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const wide = await page.evaluate("document.documentElement.scrollWidth");
    if (wide > width) wrong.push(`scrolls sideways: ${wide} of ${width} pixels`);
  }
  const formulas = "document.querySelectorAll('.math').length";
  const drawn = "document.querySelectorAll('mjx-container').length";
  if ((await page.evaluate(formulas)) && !(await page.evaluate(drawn))) wrong.push("no formula");
  found.pages[name] = wrong;
  await page.close();
}

// The search.
const search = await open("search.html?q=receptive field");
await search.page.waitForSelector("#search-results li a");
found.search = await search.page.$$eval("#search-results li a", (all) => all.map((a) => a.href));
await search.page.close();
await browser.close();
console.log(JSON.stringify(found));
