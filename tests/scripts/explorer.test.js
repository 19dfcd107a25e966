// The arithmetic of the receptive-field explorer by itself; tests/test_explorer.py compares it with
// ippy.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fit, formula, parse, PRESETS, serialise } from "../../book/_static/explorer/arithmetic.js";

test("every preset survives the address", () => {
  for (const [name, code] of PRESETS) {
    const { layers, problem } = parse(code);
    assert.equal(problem, "", name);
    assert.equal(serialise(layers), code);
  }
});

test("three 3 x 3 layers see seven pixels, by the textbook", () => {
  const { layers } = parse("c3.c3.c3"), nodes = fit(layers);
  assert.deepEqual(nodes[3].receptiveField, [7, 7]);
  assert.equal(formula(layers, nodes, 3), "5 + 2·1 = 7");
  assert.deepEqual(nodes[3].seen(16), [13, 14, 15, 16, 17, 18, 19]);
});

test("what is no layer is named", () => {
  assert.match(parse("c3.<b>").problem, /“<b>” is not a layer/);
});
