"""The small figures in a real browser: their arithmetic against ippy's, their controls."""

import math

import pytest
import torch
from conftest import SITE, violations

from ippy import classical
from ippy.images import sample_image
from ippy.operators import CTProjector, Gradient, gaussian_kernel
from ippy.tasks import task_operator

pytestmark = pytest.mark.slow

ARITHMETIC = """<!doctype html><meta charset="utf-8"><pre></pre><script type="module">
const module = (name) => import(`./_static/${name}.js`);
const [f, spectrum, piece, math] = await Promise.all(
  ["small/tomograph", "small/spectrum", "small/thorax", "lab/math"].map(module));
const views = f.angles(30), sinogram = f.project(views), truth = f.draw();
const image = f.backproject(sinogram, views);
const disc = [{ x: 5, y: -3, a: 20, b: 20, turn: 0.7, grey: 2 }];
const motion = math.motionTaps(9, 20), x = await piece.thorax();
document.querySelector("pre").textContent = JSON.stringify({
  size: f.SIZE, detector: f.DETECTOR, truth: [...truth], sinogram: sinogram.map((c) => [...c]),
  image: [...image], psnr: math.psnr(image, truth), most: math.psnr(
    f.backproject(f.project(f.angles(f.MOST)), f.angles(f.MOST)), truth),
  disc: f.project([0, 1], disc).map((c) => c.reduce((a, b) => a + b)),
  ramp: [...f.ramp([0, 0, 1, 0])],
  motion: [...spectrum.magnitude(motion, 64)], gaussian: spectrum.gaussianTaps(1.5),
  piece: [...x], tikhonov: [...math.finish(math.tikhonovSteps(x, motion, 0.01))],
});
</script>"""

#: Does what every page of a small figure does: waits for it, then looks at its parts.
PAGE = """<!doctype html><html data-theme="light"><meta charset="utf-8"><title>Test</title>
<link rel="stylesheet" href="_static/custom.css"><script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
</script><script src="_static/frame.js"></script>
<div class="small-figure %s"><figure id="fig"><img alt="" src="data:,">
<figcaption>Caption</figcaption></figure></div><pre></pre><script>
const all = (selector) => [...document.querySelectorAll(selector)];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const live = () => all(".sf-live")[0].textContent;
const until = async (test) => {
  for (let i = 0; i < 400 && !test(); i++) await wait(50);
};
const mean = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
  .data.reduce((a, b) => a + b) / canvas.width / canvas.height / 4;
const set = (element, value, type = "input") => {
  element.value = value;
  element.dispatchEvent(new Event(type));
};
addEventListener("load", async () => {
  await until(() => all(".sf-live").length && live());
  const seen = { captions: all("figcaption").map((c) => c.textContent), first: live(),
    grey: all("canvas").map(mean), pictures: all("img").length,
    unnamed: all(".sf select, .sf input").filter((e) => !e.labels.length).length };
  %s
  document.querySelector("pre").textContent = JSON.stringify({ ...seen, errors });
});
</script>"""

VIEWS = """
  const [slider] = all(".sf input"), [menu] = all(".sf select"), [frame] = all(".sf-window");
  set(slider, 1000);
  seen.most = live();
  set(slider, 0);
  seen.least = [live(), slider.getAttribute("aria-valuetext")];
  seen.window = [frame.style.width, frame.hidden];
  set(menu, 0, "change");
  seen.none = frame.hidden;
  set(menu, 100, "change");
  const canvas = all("canvas")[1], box = canvas.getBoundingClientRect();
  const at = { clientX: box.left + box.width / 4, clientY: box.top + box.height / 2 };
  canvas.dispatchEvent(new PointerEvent("pointermove", at));
  seen.moved = [frame.style.left, frame.style.top, frame.style.width];
  canvas.parentElement.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
  seen.key = frame.style.left;
"""

LAMBDA = """
  const decibel = (k) => +live().split(" dB")[k].split(" ").pop();
  const [tikhonov, tv] = all(".sf input"), [noise] = all(".sf select");
  await until(() => live().includes("variation"));
  seen.start = [decibel(0), decibel(1), decibel(2)];
  const drag = async (slider, value) => {
    const before = live();
    set(slider, value);
    await until(() => live() !== before);
    await wait(100);
  };
  await drag(tikhonov, 1);
  seen.soft = [decibel(1), all(".sf output")[0].textContent];
  await drag(tv, 1);
  seen.flat = [decibel(2), all("canvas").map(mean)];
  const before = live();
  set(noise, "0.2", "change");
  await until(() => live() !== before);
  seen.noisy = decibel(0);
"""

KERNEL = """
  const [kind] = all(".sf select"), [length, angle] = all(".sf input");
  const weak = () => +live().split(" at ")[1].split(" ")[0];
  const row = () => [...all("canvas")[1].getContext("2d").getImageData(0, 64, 128, 1).data]
    .filter((_, i) => i % 4 === 0);
  set(angle, 0);
  set(length, 9);
  seen.row = row();
  seen.nine = weak();
  set(length, 1);
  seen.none = [weak(), Math.min(...row())];
  const hidden = () => all(".sf-control").map((control) => control.hidden);
  seen.hidden = [hidden()];
  set(kind, "gaussian", "change");
  seen.hidden.push(hidden());
"""

WINDOW = """
  const [slider] = all(".sf input"), stage = all(".sf-stage")[0];
  const size = () => all("canvas")[1].width;
  seen.sizes = [size()];
  set(slider, 1000);
  seen.sizes.push(size(), all("canvas")[3].height);
  seen.most = live();
  const before = all("canvas")[3].toDataURL();
  for (let i = 0; i < 9; i++)
    stage.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown" }));
  seen.moved = all("canvas")[3].toDataURL() !== before;
  set(slider, 0);
  seen.sizes.push(size());
  seen.frames = all(".sf-window").map((frame) => frame.style.width);
"""


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


def test_spectrum_and_gaussian_are_those_of_the_package(found):
    K = task_operator((64, 64))
    H = torch.fft.fftshift(K.transfer_function((64, 64)).abs())
    assert (torch.tensor(found["motion"]).reshape(64, 64) - H).abs().max() < 1e-5
    kernel = torch.zeros(11, 11)
    for row, column, weight in found["gaussian"]:
        kernel[row + 5, column + 5] = weight
    expected = gaussian_kernel(11, 1.5**2)
    assert (kernel - expected).abs().max() < 1e-6


def test_the_piece_is_that_of_the_sample_and_is_reconstructed_as_in_the_package(found):
    x = (sample_image("thorax")[..., 48:176, 16:144] * 255).round() / 255
    piece = torch.tensor(found["piece"]).reshape_as(x)
    assert (piece - x).abs().max() < 1e-6, "renew it: python tools/drawing/results.py"
    K = task_operator((128, 128)).double()
    gradient = Gradient(K.img_shape, boundary="reflect").double()
    expected = classical.tikhonov(K, x.double(), 0.01, regulariser=gradient)
    answer = torch.tensor(found["tikhonov"], dtype=torch.float64).reshape_as(x)
    assert (answer - expected).abs().max() < 1e-4


def opened(show, name: str, script: str, pictures: int) -> dict:
    """What a page with one small figure leaves, after what is true of each."""
    seen = show(PAGE % (name, script))
    assert seen["errors"] == [] and seen["pictures"] == 0 and seen["unnamed"] == 0
    assert seen["captions"][-1] == "Caption" and len(seen["captions"]) == pictures + 1
    return seen


def test_views_follow_their_slider_and_the_window_its_pointer(show):
    seen = opened(show, "few-views", VIEWS, 3)
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
    assert float(seen["key"].rstrip("%")) == pytest.approx(left + 100 / 64, abs=0.01)


def test_lambda_can_be_too_large(show):
    seen = opened(show, "drag-lambda", LAMBDA, 3)
    measured, tikhonov, tv = seen["start"]
    assert measured < tikhonov < tv
    assert seen["soft"][0] < tikhonov - 3 and seen["soft"][1] == "10"
    assert seen["flat"][0] < tv - 8
    assert seen["noisy"] < measured - 1


def test_a_kernel_has_its_stripes(show):
    seen = opened(show, "drag-kernel", KERNEL, 3)
    row = torch.tensor(seen["row"]) / 255  # along the motion: |sinc|, zero at multiples of 128 / 9
    assert row[64] == 1 and row[[64 + 14, 64 + 28, 64 - 14]].max() < 0.05 < row[64 + 21]
    assert seen["nine"] > 0 and seen["none"] == [0, 255]
    assert seen["hidden"] == [[False, False, False, True], [False, True, True, False]]


def test_a_window_shows_what_lies_in_it(show):
    seen = opened(show, "drag-window", WINDOW, 4)
    assert seen["sizes"] == [25, 100, 100, 7] and seen["moved"]
    assert seen["most"] == "100 × 100 pixels: 15 % of the image."
    assert set(seen["frames"]) == {f"{100 * 7 / 256:.5f}".rstrip("0") + "%"}


def test_small_figures_work_from_a_disk(chromium, site):
    page, errors = chromium.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((SITE / "book" / "inverse_problems.html").as_uri())
    box = page.locator(".small-figure.drag-lambda")
    box.scroll_into_view_if_needed()
    page.wait_for_function(
        "document.querySelector('.drag-lambda .sf-live')?.textContent.includes('variation')"
    )
    assert box.locator("img").count() == 0 and errors == []
    page.close()


@pytest.mark.parametrize("name", ["inverse_problems", "receptive_field"])
def test_small_figures_are_accessible(chromium, site, axe, name: str):
    size, looks = {"width": 390, "height": 844}, {"color_scheme": "dark"}
    page = chromium.new_page(viewport=size, **looks, reduced_motion="reduce")
    page.goto(f"{site}/book/{name}.html")
    boxes = page.locator(".small-figure")
    for k in range(boxes.count()):
        boxes.nth(k).scroll_into_view_if_needed()
        boxes.nth(k).locator(".sf-live:not(:empty)").wait_for()
    page.wait_for_timeout(1000)
    assert boxes.count() and violations(page, axe, ".small-figure") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
