// Maps of a network by themselves; tests/test_inside.py compares them with ippy's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pick, ranges, strongest } from "../../book/_static/lab/maps.js";

/** Three channels of four values: flat, varied, a little varied. */
const data = Float32Array.from([5, 5, 5, 5, 0, 4, -4, 0, 1, 2, 1, 2]);

test("the channels that vary most come first, whatever their level", () => {
  assert.deepEqual(strongest(data, 4, 2), [1, 2]);
  assert.deepEqual(strongest(data, 4, 9), [1, 2, 0]);
});

test("channels are picked by their variation, or by number", () => {
  const map = { data, dims: [1, 3, 2, 2] };
  assert.deepEqual(pick(map, null, 1),
    { side: 2, of: 3, channels: [1], data: Float32Array.from([0, 4, -4, 0]) });
  assert.deepEqual(pick(map, [2, 0]).data, Float32Array.from([1, 2, 1, 2, 5, 5, 5, 5]));
});

test("a grey scale holds all but a few of the greatest values", () => {
  const values = Float32Array.from({ length: 400 }, (_, i) => i);
  assert.deepEqual(ranges({ side: 20, of: 1, channels: [0], data: values }), [[0, 398]]);
  assert.deepEqual(ranges({ side: 20, of: 1, channels: [0], data: values }, 0.1, 0.1), [[39, 360]]);
  assert.deepEqual(ranges({ side: 2, of: 1, channels: [0], data: data.slice(4, 8) }), [[-4, 4]]);
});
