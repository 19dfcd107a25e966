// The laboratory's settings as a link.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readLink, writeLink } from "../../book/_static/lab/settings.js";

const known = { images: ["thorax", "cat"], methods: ["TV", "ResCNN", "UNet"] };
const settings = {
  image: "cat", length: 13, angle: 25, level: 0.035, seed: 4, told: true, methods: ["TV", "UNet"],
  show: "errors", gain: 3, layout: "large", left: "UNet", right: "TV", wipe: 40,
};

test("a link brings all settings back", () => {
  assert.deepEqual(readLink(writeLink(settings), known), { settings, problem: "" });
  assert.deepEqual(readLink(writeLink({ methods: [] }), known)?.settings, { methods: [] });
});

test("other addresses are none of the laboratory's", () => {
  assert.equal(readLink("#fig-lab", known), null);
  assert.equal(readLink("", known), null);
});

test("what cannot be read is named and left out", () => {
  for (const bad of ["angle=181", "angle=", "length=8", "level=x", "told=1", "methods=TV.XY",
    "image=dog", "constructor=1", "gain=99", "wipe=-1", "<b>=1"]) {
    const found = readLink(`#lab:${bad}&seed=2`, known);
    assert.deepEqual(found?.settings, { seed: 2 }, bad);
    assert.match(found?.problem ?? "", /means nothing here/);
  }
});
