"""The figure of few views in a real browser: its arithmetic against ippy's, its controls."""

import math

import pytest
import torch

from ippy.operators import CTProjector

ARITHMETIC = """<!doctype html><meta charset="utf-8"><pre></pre>
<script src="_static/few_views.js"></script><script type="module">
const f = fewViews, views = f.angles(30), sinogram = f.project(views), truth = f.draw();
const image = f.backproject(sinogram, views);
const disc = [{ x: 5, y: -3, a: 20, b: 20, turn: 0.7, grey: 2 }];
document.querySelector("pre").textContent = JSON.stringify({
  size: f.SIZE, detector: f.DETECTOR, truth: [...truth], sinogram: sinogram.map((c) => [...c]),
  image: [...image], psnr: f.psnr(image, truth), most: f.psnr(
    f.backproject(f.project(f.angles(f.MOST)), f.angles(f.MOST)), truth),
  disc: f.project([0, 1], disc).map((c) => c.reduce((a, b) => a + b)),
  ramp: [...f.ramp([0, 0, 1, 0])],
});
</script>"""

PAGE = """<!doctype html><html data-theme="light"><meta charset="utf-8"><title>Test</title>
<link rel="stylesheet" href="_static/custom.css"><script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
</script><script src="_static/frame.js"></script>
<div class="few-views"><figure id="fig"><img alt="" src="data:,"><figcaption>Caption</figcaption>
</figure></div><pre></pre><script>
const all = (selector) => [...document.querySelectorAll(selector)];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
addEventListener("load", async () => {
  for (let i = 0; i < 100 && !all(".fv").length; i++) await wait(50);
  const live = () => all(".fv-live")[0].textContent, [slider] = all(".fv input");
  const mean = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
    .data.reduce((a, b) => a + b) / canvas.width / canvas.height / 4;
  const seen = { captions: all("figcaption").map((c) => c.textContent), first: live(),
    grey: all("canvas").map(mean), pictures: all("img").length };
  const drag = (value) => { slider.value = value; slider.dispatchEvent(new Event("input")); };
  drag(1000);
  seen.most = live();
  drag(0);
  seen.least = [live(), slider.getAttribute("aria-valuetext")];
  const frame = all(".fv-window")[0], [menu] = all(".fv select");
  seen.window = [frame.style.width, frame.hidden];
  menu.value = 0;
  menu.dispatchEvent(new Event("change"));
  seen.none = frame.hidden;
  menu.value = 100;
  menu.dispatchEvent(new Event("change"));
  const canvas = all("canvas")[1], box = canvas.getBoundingClientRect();
  const at = { clientX: box.left + box.width / 4, clientY: box.top + box.height / 2 };
  canvas.dispatchEvent(new PointerEvent("pointermove", at));
  seen.moved = [frame.style.left, frame.style.top, frame.style.width];
  seen.unnamed = all(".fv select, .fv input").filter((e) => !e.labels.length).length;
  document.querySelector("pre").textContent = JSON.stringify({ ...seen, errors });
});
</script>"""


@pytest.fixture(scope="module")
def found(show):
    return show(ARITHMETIC)


def test_sinogram_and_backprojection_are_those_of_the_package(found):
    size, detector = found["size"], found["detector"]
    K = CTProjector((size, size), torch.arange(30) * torch.pi / 30, detector)
    x = torch.tensor(found["truth"]).reshape(1, 1, size, size)
    y = torch.tensor(found["sinogram"]).T[None, None]
    image = torch.tensor(found["image"]).reshape_as(x)
    # pixels approximate ellipses, and interpolation the strips
    assert (K(x) - y).norm() < 0.02 * y.norm()
    assert (K.fbp(y) - image).norm() < 0.02 * image.norm()
    error = (image - x).square().mean().item()
    assert found["psnr"] == pytest.approx(-10 * math.log10(error), abs=1e-3)
    assert x.min() >= 0 and 0.8 < x.max() <= 1


def test_a_sinogram_of_a_disc_holds_its_area_and_views_bring_detail(found):
    assert found["disc"] == pytest.approx([2 * math.pi * 400] * 2, rel=1e-4)
    assert found["most"] > found["psnr"] + 8
    ramp = [-1 / (math.pi * k) ** 2 if k % 2 else 0.25 * (k == 0) for k in (-2, -1, 0, 1)]
    assert found["ramp"] == pytest.approx(ramp, abs=1e-6)


def test_the_figure_follows_its_controls(show):
    seen = show(PAGE)
    assert seen["errors"] == [] and seen["pictures"] == 0
    assert seen["captions"][-1] == "Caption" and len(seen["captions"]) == 4
    assert all(40 < grey < 200 for grey in seen["grey"])
    assert seen["first"].startswith("30 views of 180: ")
    assert seen["most"].startswith("180 views of 180") and seen["least"][1] == "4 views"
    decibels = [
        float(text.split(": ")[1].split()[0])
        for text in (seen["least"][0], seen["first"], seen["most"])
    ]
    assert decibels == sorted(decibels) and decibels[2] - decibels[0] > 20
    assert seen["window"] == [f"{100 * 7 / 256:.5f}".rstrip("0") + "%", False] and seen["none"]
    left, top, width = (float(value.rstrip("%")) for value in seen["moved"])
    assert width == pytest.approx(100 * 100 / 256, abs=0.01)
    assert left == pytest.approx(25 - width / 2, abs=0.5)
    assert top == pytest.approx(50 - width / 2, abs=0.5)
    assert seen["unnamed"] == 0
