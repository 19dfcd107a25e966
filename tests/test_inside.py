"""Figures that look into a network: switches and maps against ippy, controls in a real browser."""

import base64
import json

import pytest
import torch
from conftest import ROOT, SITE, violations
from laboratory import call, image, numbers, sample
from sphinx.cmd.build import build_main

from ippy import evaluation, networks, receptive_field, weights
from ippy.models.opened import OpenedUNet
from ippy.studies.skips import parts, silenced
from ippy.tasks import measure, task_operator

pytestmark = pytest.mark.slow
UNET, VARIANTS = "/book/unet.html", "/book/unet_variants.html"

RUN = """
const { address, facts, runtime } = lab;
const worker = new Worker(new URL("../_static/lab/worker.js", location.href), { type: "module" });
const network = facts.networks.find(({ key }) => key === given.key), found = [];
const stages = network.files.map(({ name, bytes }) => ({ url: address(name), bytes }));
for (const [turn, { y, factors, maps }] of given.jobs.entries()) {
  const image = decode(given.images[y]);
  const jobs = [{ method: given.key, stamp: `${turn}`, rank: 0, stages, factors, maps }];
  worker.postMessage({ id: turn, y: image, truth: image, runtime: runtime(), jobs });
  const answer = await new Promise((done) => {
    worker.onmessage = ({ data }) => data.method && done(data);
    worker.onerror = (event) => done({ problem: event.message });
  });
  if (answer.problem) throw new Error(answer.problem);
  found.push({ image: encode(answer.image), seconds: answer.seconds, maps: Object.fromEntries(
    Object.entries(answer.maps ?? {}).map(([name, map]) =>
      [name, { ...map, data: encode(map.data) }])) });
}
worker.terminate();
return found;
"""


def has_weights(key: str) -> bool:
    return (weights.WEIGHTS_DIR / f"{key}.pth").is_file()


@pytest.fixture(scope="module")
def page(chromium, site):
    """The chapter on the UNet, as it opens."""
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.errors, page.asked = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.errors.append(m.text))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(site + UNET)
    page.wait_for_selector(".inside .lab-start")
    yield page
    page.close()


@pytest.fixture(scope="module")
def started(page):
    """The figure at work."""
    page.locator(".inside .lab-start").click()
    page.wait_for_selector(".apart-u", timeout=120_000)
    return page


def status(page) -> str:
    return page.locator(".inside .lab-status").text_content()


def after(page, act) -> str:
    """What the figure says after something was done that changes its answer."""
    before = status(page)
    act()
    page.wait_for_function(
        "old => document.querySelector('.inside .lab-status').textContent !== old",
        arg=before,
        timeout=60_000,
    )
    page.wait_for_timeout(200)
    return status(page)


def test_until_a_click_there_is_the_picture_and_no_network(page) -> None:
    label = page.locator(".inside .lab-start").text_content()
    assert label.startswith("Run the UNet here (fetches ") and label.endswith(" MB once)")
    assert page.locator(".inside figure img").count() == 1
    assert page.locator(".inside-body").count() == 0
    assert not [url for url in page.asked if "/lab/" in url and "_static" not in url]


# -- What is computed ------------------------------------------------------------------------------


@torch.no_grad()
def test_switches_do_what_silencing_does(page) -> None:
    """In turn on one worker, which runs only what a switch has changed."""
    unet, K = weights.load("UNet").eval(), task_operator()
    images = [measure(sample(), K), measure(sample("cat"), K)]
    whole = [evaluation.reconstruct(unet, y) for y in images]
    jobs, expected = [{"y": 0, "factors": {}}], [whole[0]]
    for step, part in parts(unet):
        jobs.append({"y": 0, "factors": {f"{step}_{part}": 0}, "maps": {"dec1": None}})
        expected.append(silenced(unet, step, part, images[0]))
    opened = OpenedUNet(unet)
    factors = dict(zip(opened.switches, (0.5, 1, 0, 0.25, 1, 0.05), strict=True))
    for y in (0, 1, 1):
        jobs.append({"y": y, "factors": factors, "maps": {"enc1": None}})
        expected.append(opened(images[y], *torch.tensor([*factors.values()])[:, None])[0])
    jobs.append({"y": 1, "factors": {}, "maps": {"enc1": None}})
    expected.append(whole[1])
    given = {"key": "UNet", "jobs": jobs, "images": [numbers(y) for y in images]}
    found = call(page, RUN, given)
    assert len(found) == len(expected) == 11
    for job, got, right in zip(jobs, found, expected, strict=True):
        worst = (image(got["image"]) - right).abs().max().item()
        print(f"{job['factors']}: difference {worst:.1e}, {got['seconds']:.2f} s")
        assert worst < 1e-4, job
    off = [(right - whole[0]).abs().max().item() for right in expected[1:7]]
    assert min(off) > 1e-3, f"a switch does nothing: {off}"
    again = found[-2]["seconds"]  # nothing had changed
    assert again < 0.5 * found[0]["seconds"], "everything was computed again"


@pytest.mark.skipif(not has_weights("AttentionUNet"), reason="AttentionUNet has no weights yet")
@torch.no_grad()
def test_gates_are_those_of_the_network(chromium, site) -> None:
    page = chromium.new_page()
    page.goto(site + VARIANTS)
    y_delta, network = measure(sample(), task_operator()), weights.load("AttentionUNet").eval()
    opened = OpenedUNet(network)
    outputs = opened(y_delta, *torch.ones(len(opened.switches), 1))
    right = dict(zip([*opened.maps, *opened.gates], outputs[1:], strict=True))
    maps = dict.fromkeys(["dec2", *opened.gates])
    job = {"y": 0, "factors": {}, "maps": maps}
    given = {"key": "AttentionUNet", "jobs": [job], "images": [numbers(y_delta)]}
    (found,) = call(page, RUN, given)
    page.close()
    assert (image(found["image"]) - network(y_delta)).abs().max() < 1e-4
    for name, got in found["maps"].items():
        data = torch.frombuffer(bytearray(base64.b64decode(got["data"])), dtype=torch.float64)
        expected = right[name][0, got["channels"]].flatten().double()
        assert (data - expected).abs().max() < 1e-4, name
        assert got["of"] == right[name].shape[1] and got["side"] == right[name].shape[-1]
    spread = right["dec2"][0].std((1, 2)).argsort(descending=True)[:8]
    assert found["maps"]["dec2"]["channels"] == spread.tolist()


def test_the_squares_are_receptive_fields(page) -> None:
    fields = json.loads(page.locator(".inside").get_attribute("data-fields"))
    model = networks.NETWORKS["UNet"].recipe.build().eval()
    model = type(model)(base_ch=2)
    for parameter in model.parameters():
        torch.nn.init.ones_(parameter)
    opened = OpenedUNet(model.double())
    assert list(fields) == opened.maps
    ones = torch.ones(len(opened.switches), 1, dtype=torch.float64)
    for k, name in enumerate(opened.maps):
        x = torch.rand(1, 1, 256, 256, dtype=torch.float64, requires_grad=True)
        h = opened(x, *ones)[1 + k]
        index = 128 * h.shape[-1] // 256
        h[0, :, index, index].sum().backward()
        rows, columns = x.grad[0, 0].nonzero().T
        # max-pooling passes on the largest pixel alone, so that a derivative may miss the border
        assert fields[name][0] <= rows.min() - 128 and rows.max() - 128 <= fields[name][1], name
        size = fields[name][1] - fields[name][0] + 1
        assert rows.max() - rows.min() + 1 >= size - 10, name
    exact = receptive_field.receptive_field(model.float())
    box = exact.box((128, 128))
    assert [box.top - 128, box.bottom - 128] == fields["dec1"]


# -- The figure ------------------------------------------------------------------------------------


def test_switches_change_the_answer_and_can_be_taken_back(started) -> None:
    page = started
    assert "everything is on" in status(page)
    whole = float(status(page).split(" dB")[0].split()[-1])
    tick = page.get_by_label("Skip of level 1, on")
    said = after(page, tick.click)
    assert "dB less" in said and float(said.split(" dB")[0].split()[-1]) < whole - 3
    slider = page.get_by_label("Skip of level 1, factor")
    assert slider.input_value() == "0" and slider.get_attribute("aria-valuetext") == "times 0"
    slider.focus()
    after(page, lambda: slider.press("End"))
    page.wait_for_function(
        "document.querySelector('.inside .lab-status').textContent.includes('everything is on')"
    )
    assert tick.is_checked()
    after(page, page.locator(".inside").get_by_role("button", name="Finest level alone").click)
    assert not page.get_by_label("What comes up from dec2, on").is_checked()
    after(page, page.get_by_role("button", name="All on").click)
    assert "everything is on" in status(page) and page.errors == []


def test_a_setting_may_be_asked_for_twice(started) -> None:
    page = started
    alone = page.locator(".inside").get_by_role("button", name="Finest level alone")
    after(page, alone.click)
    alone.click()  # the same answer again, and the figure goes on
    page.wait_for_timeout(500)
    after(page, page.get_by_role("button", name="All on").click)
    assert "everything is on" in status(page) and page.errors == []


def test_blocks_are_selected_with_their_channels_and_field(started) -> None:
    page = started
    seen, strip = page.locator(".apart-about"), page.locator(".apart-strip")
    picture = "() => document.querySelector('.apart .lab-panel canvas').toDataURL()"
    radios = page.locator(".apart-block input")
    assert radios.count() == 7
    sizes = {}
    for k in range(7):
        radios.nth(k).check(force=True)
        name = radios.nth(k).get_attribute("value")
        assert seen.text_content().startswith(f"{name}: ")
        assert name in strip.get_attribute("aria-label")
        sizes[name] = int(seen.text_content().split("sees ")[1].split()[0])
    assert sizes["enc1"] == 5 and sizes["bottleneck"] == 68 and sizes["dec1"] in (92, 100)
    wide = page.evaluate(picture)
    radios.nth(0).focus()
    page.keyboard.press("ArrowRight")  # as in any group of radio buttons
    assert radios.nth(1).is_checked() and page.evaluate(picture) != wide, "the same square"
    moved = page.evaluate(picture)
    page.locator(".apart .lab-panels").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    assert page.evaluate(picture) != moved, "the square did not move"


def test_the_laboratory_and_the_figure_share_their_files(started) -> None:
    facts = json.loads(started.locator("#lab-facts").text_content())
    names = {f["name"] for n in facts["networks"] if n["key"] == "UNet" for f in n["files"]}
    asked = {url.split("/")[-1] for url in started.asked if url.endswith(".onnx")}
    assert asked == names
    on_site = {path.name for path in (SITE / "lab").glob("UNet-*.onnx")}
    assert on_site == names, "a second copy of the weights"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_is_accessible_and_fits(started, axe, theme: str) -> None:
    page = started
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    for width, height in ((1280, 800), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(500)
        assert violations(page, axe) == [], f"{theme}, at {width} pixels"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator(".inside-body").bounding_box()
        assert width < 500 or box["height"] <= 800, "the figure does not fit on a screen"
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 800})


@pytest.mark.skipif(not has_weights("AttentionUNet"), reason="AttentionUNet has no weights yet")
def test_attention_lies_over_the_image(chromium, site, axe) -> None:
    page, errors = chromium.new_page(viewport={"width": 390, "height": 844}), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site + VARIANTS)
    page.locator(".inside .lab-start").click()
    page.wait_for_selector(".gates .lab-more:not(:empty)", timeout=120_000)
    titles = page.locator(".gates .lab-panel strong").all_text_contents()
    assert titles[0] == "Measurement" and titles[1] == "Gate of level 1, 256 × 256"
    assert (
        len(titles) == 4 and "α from 0." in page.locator(".gates .lab-more").nth(1).text_content()
    )
    picture = "() => document.querySelectorAll('.gates canvas')[1].toDataURL()"
    strong = page.evaluate(picture)
    page.get_by_label("Overlay").press("Home")
    page.wait_for_timeout(200)
    bare = page.evaluate(picture)
    assert bare != strong
    assert bare == page.evaluate(picture.replace("[1]", "[0]")), "without overlay it is the image"
    assert violations(page, axe) == [] and errors == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_a_lost_connection_is_told_and_can_be_mended(chromium, site) -> None:
    page = chromium.new_page()
    page.route("**/lab/*.onnx", lambda route: route.abort())
    page.goto(site + UNET)
    button = page.locator(".inside .lab-start")
    button.click()
    page.wait_for_selector(".inside .lab-problem", timeout=60_000)
    assert status(page).startswith("UNet could not be run: ") and button.is_enabled()
    assert page.locator(".inside img").count() == 1, "the picture has gone"
    page.unroute("**/lab/*.onnx")
    button.click()
    page.wait_for_selector(".apart-u", timeout=120_000)
    assert page.locator(".inside .lab-problem").count() == 0
    page.close()


def test_without_a_server_the_picture_stays(chromium, site) -> None:
    page, errors = chromium.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((SITE / "book" / "unet.html").as_uri())
    page.wait_for_timeout(1000)
    assert page.locator(".inside img").count() == 1 and page.locator(".lab-start").count() == 0
    assert page.get_by_text("a page that comes from a server").first.is_visible()
    assert errors == []
    page.close()


PAGE = """
Page
====

.. inside:: {}

   In place of this.
"""


@pytest.mark.parametrize("name", ["UNet", "ResCNN", "UNett"])
def test_what_is_no_unet_cannot_be_looked_into(tmp_path, capsys, name) -> None:
    extensions = str(ROOT / "book" / "_ext")
    conf = f'import sys\nsys.path.insert(0, {extensions!r})\nextensions = ["book_inside"]\n'
    (tmp_path / "conf.py").write_text(conf, encoding="utf-8")
    (tmp_path / "index.rst").write_text(PAGE.format(name), encoding="utf-8")
    failed = bool(build_main(["-q", "-W", "-b", "latex", str(tmp_path), str(tmp_path / "out")]))
    said = capsys.readouterr().err
    assert failed == (name != "UNet"), said
    if failed:
        assert f"{name} is no UNet of the laboratory" in said and "index.rst:5" in said
