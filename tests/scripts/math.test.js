// The laboratory's arithmetic by itself; tests/test_lab.py compares it with ippy.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  blur, CLASSICAL, finish, gaussianNoise, measure, mirrored, motionTaps, psnr, SIDE, ssim,
} from "../../book/_static/lab/math.js";

const norm = (x) => Math.sqrt(x.reduce((sum, value) => sum + value ** 2, 0));
/** A bright square on a dark ground. */
const square = () => Float64Array.from({ length: SIDE ** 2 }, (_, i) =>
  Math.max(Math.abs((i % SIDE) - 128), Math.abs((i >> 8) - 128)) < 40 ? 0.9 : 0.1);

test("a motion blur has sum one, and none of one pixel changes anything", () => {
  for (const [length, angle] of [[9, 20], [31, 137], [5, 90]]) {
    const sum = motionTaps(length, angle).reduce((total, tap) => total + tap[2], 0);
    assert.ok(Math.abs(sum - 1) < 1e-12);
  }
  assert.deepEqual(blur(square(), motionTaps(1, 0)), square());
});

test("mirrored taps are the adjoint", () => {
  const x = gaussianNoise(square(), 1, 1), z = gaussianNoise(square(), 1, 2);
  const taps = motionTaps(15, 60), dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  assert.ok(Math.abs(dot(blur(x, taps), z) - dot(x, blur(z, mirrored(taps)))) < 1e-9);
});

test("noise has its level and is a function of the seed", () => {
  const y = square(), e = gaussianNoise(y, 0.05, 3);
  assert.ok(Math.abs(norm(e) / norm(y) - 0.05) < 1e-12);
  assert.deepEqual(gaussianNoise(y, 0.05, 3), e);
  assert.notDeepEqual(gaussianNoise(y, 0.05, 4), e);
});

test("an image is like itself, and less like its measurement", () => {
  const x = square(), y = measure(x, motionTaps(9, 20), 0.01, 1);
  assert.equal(psnr(x, x), Infinity);
  assert.ok(Math.abs(ssim(x, x) - 1) < 1e-12);
  assert.ok(ssim(y, x) < 0.98 && ssim(y, x) > 0.5);
});

test("the classical methods bring a blurred square nearer, in steps that can be left", () => {
  const x = square(), taps = motionTaps(9, 20), y = measure(x, taps, 0.01, 1);
  for (const [name, lambda] of [["Tikhonov", 1e-3], ["TV", 1e-3]]) {
    const steps = CLASSICAL[name](y, taps, lambda);
    assert.equal(steps.next().done, false, name);
    assert.ok(psnr(finish(steps), x) > psnr(y, x) + 3, name);
  }
});
