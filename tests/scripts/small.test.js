// The arithmetic of the small figures by itself; tests/test_small_figures.py compares it with ippy.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  blur, finish, motionTaps, psnr, totalVariationSteps,
} from "../../book/_static/lab/math.js";
import { gaussianTaps, magnitude } from "../../book/_static/small/spectrum.js";
import {
  angles, backproject, chest, draw, MOST, project, SIZE,
} from "../../book/_static/small/tomograph.js";

test("kernels have sum one, and so has frequency zero", () => {
  for (const taps of [gaussianTaps(0.5), gaussianTaps(4), motionTaps(9, 20)]) {
    const sum = taps.reduce((total, tap) => total + tap[2], 0);
    assert.ok(Math.abs(sum - 1) < 1e-12);
    const H = magnitude(taps, 16);
    assert.ok(Math.abs(H[8 * 16 + 8] - 1) < 1e-12);
    assert.ok(H.every((value) => value <= 1 + 1e-12));
  }
});

test("a horizontal motion leaves vertical frequencies as they are", () => {
  const H = magnitude(motionTaps(5, 0), 16);
  for (let row = 0; row < 16; row++) assert.ok(Math.abs(H[row * 16 + 8] - 1) < 1e-12);
  assert.ok(H[8 * 16] < 0.5);
});

test("arithmetic of the laboratory takes images of any side", () => {
  const x = Float64Array.from({ length: 32 * 32 }, (_, i) => (i % 32 > 15 ? 0.8 : 0.2));
  const y = blur(x, motionTaps(5, 0));
  assert.equal(y.length, x.length);
  const answer = finish(totalVariationSteps(y, motionTaps(5, 0), 1e-4, 400));
  assert.ok(psnr(answer, x) > psnr(y, x) + 10);
});

test("a slice scales with its image, and many views give it back", () => {
  const [small, large] = [draw(64), draw(SIZE)];
  const sum = (image) => image.reduce((a, b) => a + b);
  assert.ok(Math.abs(sum(large) / sum(small) - 4) < 0.02);
  const views = angles(MOST), image = backproject(project(views, chest()), views);
  assert.ok(psnr(image, large) > 30);
});
