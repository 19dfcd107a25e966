"""The receptive-field explorer in a real browser: its arithmetic against PyTorch, its figure."""

import random
import re

import pytest
import torch
from torch import Tensor, nn

from ippy import models
from ippy.networks import find, taught
from ippy.receptive_field import ReceptiveField, receptive_field, recursion

UNREADABLE = [
    "c0",
    "c32",
    "c3s5",
    "c3d17",
    "p1",
    "p5",
    "u2",
    "s40",
    "s",
    "C3",
    "c3.",
    ".",
    "c3..c3",
]
UNREADABLE += ["<b>", "%", "c3 c3", "c-3", "c3d2s2", ".".join(["c3"] * 41), "9" * 999]

ARITHMETIC = """<!doctype html><meta charset="utf-8"><pre></pre>
<script type="module">
import * as rf from "./_static/explorer/arithmetic.js";
const data = await (await fetch("./data.json")).json();
const facts = (nodes, positions) => {
  const last = nodes.at(-1);
  const one = (i) => ({ seen: last.seen(i), outside: last.outside(i), trace: traced(nodes, i) });
  return { size: last.size, field: last.receptiveField, jump: last.jump, offset: last.offset,
    problems: nodes.map((node) => node.problem).join(""), at: positions.map(one) };
};
const traced = (nodes, i) => [...rf.trace(nodes, nodes.length - 1, i)[0]].sort((a, b) => a - b);
const results = {
  networks: data.networks.map(({ layers, n, positions }) => ({
    ...facts(rf.analyse(layers, n), positions), again: rf.parse(rf.serialise(layers)) })),
  presets: rf.PRESETS.map(([name, code]) => {
    const { layers, problem } = rf.parse(code), nodes = rf.fit(layers);
    const formula = rf.formula(layers, nodes, layers.length);
    return { name, layers, problem, formula, n: nodes[0].size, code: rf.serialise(layers),
      ...facts(nodes, []) };
  }),
  unreadable: data.unreadable.map((text) => rf.parse(text)),
  wrong: data.wrong.map((text) => rf.fit(rf.parse(text).layers).map((node) => node.problem)),
};
document.querySelector("pre").textContent = JSON.stringify(results);
</script>"""

FIGURE = """<div class="rf-explorer"><figure id="fig"><a href="x.svg"><img alt="" src="data:,"></a>
<figcaption>Caption</figcaption></figure></div>"""

PAGE = f"""<!doctype html><html data-theme="light"><meta charset="utf-8"><title>Test</title>
<link rel="stylesheet" href="_static/custom.css"><script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
console.error = (...words) => errors.push(words.join(" "));
</script><script src="_static/frame.js"></script>{FIGURE}{FIGURE}<pre></pre><script>
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
addEventListener("load", async () => {{
  for (let i = 0; i < 100 && all(".rf-slider").length < 2; i++) await wait(50);
  const [first, second] = all(".rf-explorer"), one = (selector) => first.querySelector(selector);
  const live = () => one(".rf-live").textContent, slider = one(".rf-slider");
  const fire = (element, type, more = {{}}) => {{
    const event = new Event(type, {{ bubbles: true, cancelable: true }});
    element.dispatchEvent(Object.assign(event, more));
  }};
  const point = (clientX, clientY) =>
    fire(one(".rf-drawing"), "pointermove", {{ clientX, clientY }});
  const type = (value) => {{ one("li input").value = value; fire(one("li input"), "input"); }};
  const lit = () => all(".rf-lit", first).map((path) => path.getAttribute("d")).join("");
  const facts = () => all(".rf-facts", first).map((fact) => fact.textContent);
  const seen = {{ count: all(".rf").length, captions: all("figure figcaption").length,
    pictures: all("img").length, live: live(), result: one(".rf-result").textContent,
    label: one(".rf-drawing").getAttribute("aria-label"), facts: facts(),
    second: second.querySelector(".rf-result").textContent,
    link: second.querySelector("button").hidden }};
  const controls = all("li input, li select, button", first);
  seen.unnamed = controls.filter((e) => !e.ariaLabel && !e.textContent).length;
  fire(slider, "keydown", {{ key: "ArrowUp" }});
  seen.up = live();
  fire(slider, "keydown", {{ key: "ArrowDown" }});
  slider.value = 0;
  fire(slider, "input");
  seen.edge = live();
  const box = one(".rf-drawing").getBoundingClientRect();
  point(box.right, box.top);
  seen.pointed = live();
  point(box.left + box.width / 2, box.bottom);
  for (const bad of ["0", "", "2.5", "99"]) {{
    type(bad);
    const said = one("li .rf-problem").textContent;
    (seen.bad ??= []).push([said, one("li input").ariaInvalid, lit().length]);
  }}
  type("5");
  await wait(500);
  seen.edited = [location.hash, one("li .rf-problem").textContent, facts()];
  location.hash = "#fig";
  await wait(200);
  seen.anchor = [location.hash, facts().length];
  location.hash = "#rf=c3.c3.p2.c3.u.s2.c3";
  await wait(200);
  all("[data-name=copy]", first)[0].click();
  await wait(500);
  seen.inserted = location.hash;
  all("[data-name=remove]", first)[1].click();
  all("[data-name=down]", first)[0].click();
  await wait(500);
  seen.moved = [location.hash, document.activeElement.dataset.name];
  location.hash = "#rf=c3.<img src=x>";
  await wait(200);
  seen.note = [one(".rf-note").textContent, facts().length, all("img").length];
  const menu = one("select");
  menu.selectedIndex = [...menu.options].findIndex((option) => option.text.startsWith("VGG"));
  fire(menu, "change");
  seen.menu = [one(".rf-result strong").textContent, all("*", one(".rf-drawing")).length];
  while (all("li", first).length) all("[data-name=remove]", first)[0].click();
  seen.empty = live();
  document.querySelector("pre").textContent = JSON.stringify({{ ...seen, errors }});
}});
</script>"""


class Net(nn.Module):
    """The network that a list of layers describes; all weights are one, so that nothing cancels."""

    def __init__(self, layers: list[dict]) -> None:
        super().__init__()
        self.layers = layers
        self.parts = nn.ModuleList(self.part(**layer) for layer in layers)
        for parameter in self.parameters():
            nn.init.ones_(parameter)

    @staticmethod
    def part(kind: str, kernel=1, stride=1, dilation=1, mode="nearest", **_) -> nn.Module:
        if kind == "conv":
            padding = dilation * (kernel - 1) // 2
            return nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False)
        if kind == "pool":
            return nn.AvgPool2d(kernel)
        if kind == "up" and mode == "bilinear":
            return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        if kind == "up":
            return nn.ConvTranspose2d(1, 1, 2, stride=2, bias=False)
        return nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (1, 1, n, n) to (1, 1, m, m)."""
        maps = [x]
        for layer, part in zip(self.layers, self.parts, strict=True):
            h = part(maps[layer["from"]] if layer["kind"] == "branch" else maps[-1])
            if layer["kind"] == "skip":
                h = torch.cat([h, maps[layer["from"]]], dim=1).sum(1, keepdim=True)
            maps.append(h)
        return maps[-1]


def random_network(seed: int) -> dict:
    """Layers of all kinds that fit each other, an input size, and some output positions."""
    rng = random.Random(seed)
    n = rng.choice((24, 32, 33, 40))
    layers, sizes, length = [], [n], rng.randint(1, 9)
    while len(layers) < length:
        kind = rng.choice(("conv", "conv", "conv", "pool", "up", "skip", "skip", "branch"))
        layer, size = {"kind": kind}, sizes[-1]
        if kind == "conv":
            k, s, d = rng.randint(1, 7), rng.choice((1, 1, 2, 3, 4)), rng.choice((1, 1, 2, 3))
            layer |= {"kernel": k, "stride": s, "dilation": d}
            size = (size + 2 * (d * (k - 1) // 2) - d * (k - 1) - 1) // s + 1
        elif kind == "pool":
            layer["kernel"] = rng.choice((2, 2, 3, 4))
            size //= layer["kernel"]
        elif kind == "up":
            layer["mode"] = rng.choice(("nearest", "bilinear"))
            size *= 2
        else:
            fitting = [i for i, s in enumerate(sizes) if s == size or kind == "branch"]
            layer["from"] = rng.choice(fitting)
            size = sizes[layer["from"]]
        if 3 <= size <= 80:
            layers.append(layer)
            sizes.append(size)
    positions = sorted({0, 1, sizes[-1] // 2, rng.randrange(sizes[-1]), sizes[-1] - 1})
    return {"layers": layers, "n": n, "positions": positions}


NETWORKS = [random_network(seed) for seed in range(240)]


@pytest.fixture(scope="module")
def found(show) -> dict:
    """What the module computes."""
    wrong = ["p3.u.s0", "s5", "b1", "c3.s2", "u." * 9 + "u", "p4.p4.p4.p4.p4.p4"]
    data = {"networks": NETWORKS, "unreadable": UNREADABLE, "wrong": wrong}
    return show(ARITHMETIC, data=data)


def fields(network: dict) -> ReceptiveField:
    return receptive_field(Net(network["layers"]), (1, 1, network["n"], network["n"]))


def height(field: ReceptiveField) -> list[int] | None:
    try:
        return list(field.height)
    except ValueError:  # every field touches the border
        return None


def gradient(network: dict) -> list[list[int]]:
    """Input rows that the network's positions see, by differentiation."""
    x = torch.ones(1, 1, network["n"], network["n"], dtype=torch.float64, requires_grad=True)
    y = Net(network["layers"]).double()(x).sum((0, 1, 3))  # (m)
    seen = []
    for position in network["positions"]:
        (grad,) = torch.autograd.grad(y[position], x, retain_graph=True)
        seen.append(grad[0, 0].sum(1).nonzero().flatten().tolist())
    return seen


def test_random_networks_are_varied() -> None:
    assert len(NETWORKS) >= 200
    kinds = [layer["kind"] for network in NETWORKS for layer in network["layers"]]
    for kind in ("conv", "pool", "up", "skip", "branch"):
        assert kinds.count(kind) > 100
    seen = [s for network in NETWORKS[:40] for s in gradient(network) if s]
    assert any(len(s) < s[-1] - s[0] + 1 for s in seen), "no field has gaps"


def test_seen_pixels_are_those_with_a_gradient(found) -> None:
    for network, result in zip(NETWORKS, found["networks"], strict=True):
        assert result["problems"] == "", network
        assert [at["seen"] for at in result["at"]] == gradient(network), network
        for at in result["at"]:
            inside = [p for p in at["trace"] if 0 <= p < network["n"]]
            assert inside == at["seen"], f"drawn is not what is computed: {network}"


@pytest.mark.slow
def test_arithmetic_agrees_with_the_library(found) -> None:
    known = 0
    for network, result in zip(NETWORKS, found["networks"], strict=True):
        field = fields(network)
        assert result["size"] == field.output_size[0], network
        assert result["field"] == height(field), network
        assert result["jump"] == float(field.stride[0]), network
        known += result["field"] is not None
        for position, at in zip(network["positions"], result["at"], strict=True):
            assert field.is_interior((position, position)) is not at["outside"], network
            if at["seen"]:
                box = field.box((position, position))
                assert (at["seen"][0], at["seen"][-1]) == (box.top, box.bottom), network
    assert known > 120, "most networks should have interior positions"


def narrow(key: str) -> nn.Module:
    """A network of the book with one channel, which has the same receptive field."""
    return getattr(models, find(key).recipe.model)(1, 1, 1)


def test_presets_are_the_networks_of_the_book(found) -> None:
    presets = [p for p in found["presets"] if "UNet" in p["name"] or "CNN" in p["name"]]
    assert [preset["field"] for preset in presets] == [[7, 7], [92, 100], [48, 52]]
    for preset in presets:
        shape = (1, 1, preset["n"], preset["n"])
        fields = {key: height(receptive_field(narrow(key), shape)) for key in taught()}
        same = [key for key, field in fields.items() if field == preset["field"]]
        named = [key for key in taught() if find(key).recipe.model in preset["name"]]
        assert same and set(named) <= set(same), preset["name"]
        assert preset["jump"] == 1
        assert preset["size"] == preset["n"]


def test_presets_of_chains_follow_the_recursion(found) -> None:
    chains = [p for p in found["presets"] if p["formula"]]
    assert len(chains) == 7
    for preset in chains:
        layers = []
        for layer in preset["layers"]:
            k, s, d = layer["kernel"], layer.get("stride"), layer.get("dilation", 1)
            layers.append((k, s, d * (k - 1) // 2, d) if s else (k, k, 0, 1))
        last = recursion(layers)[-1]
        assert preset["field"] == [last["receptive_field"]] * 2
        assert preset["formula"].endswith(f" = {last['receptive_field']}")
        assert (preset["jump"], preset["offset"]) == (last["jump"], last["offset"])
    assert chains[-1]["field"] == [212, 212]


def test_address_holds_the_network(found) -> None:
    for network, result in zip(NETWORKS, found["networks"], strict=True):
        assert result["again"] == {"layers": network["layers"], "problem": ""}
    for preset in found["presets"]:
        assert re.fullmatch(r"[a-z0-9.]+", preset["code"])
        assert preset["problem"] == ""


def test_unreadable_addresses_give_the_first_preset_and_a_reason(found) -> None:
    for text, result in zip(UNREADABLE, found["unreadable"], strict=True):
        assert result["layers"] == found["presets"][0]["layers"], text
        assert "not a layer" in result["problem"] or "40 layers" in result["problem"], text
        assert len(result["problem"]) < 60


def test_layers_that_do_not_fit_say_so(found) -> None:
    mismatch, partner, back, own, large, small = ("".join(p) for p in found["wrong"])
    assert "Sizes differ: 20 here, 32 in layer 0" in mismatch
    assert "Layer 5 is not before this one: choose 0 to 0" in partner
    assert "Layer 1 is not before" in back
    assert "Layer 2 is not before" in own
    assert "More than 4096 positions" in large
    assert "Nothing is left of 1024 pixels" in small


def test_figure_in_a_page(show) -> None:
    seen = show(PAGE, anchor="#rf=c3.c3s2.c3")
    assert seen["errors"] == []
    assert (seen["count"], seen["captions"], seen["pictures"]) == (2, 2, 0)
    assert seen["live"] == "Output pixel 8 sees input pixels 12 to 20: 9 pixels."
    assert seen["live"] in seen["label"]
    assert seen["label"].startswith("Pyramid of 3 layers below an input of 32 pixels.")
    assert seen["result"].startswith("Receptive field 9 pixels; neighbouring outputs are 2 pixels")
    assert seen["facts"][2] == "size 16 · jump 2 · field 5 + 2·2 = 9"
    assert seen["second"].startswith("Receptive field 7 pixels"), "only the first reads the address"
    assert seen["link"]
    assert seen["unnamed"] == 0

    assert seen["up"] == "Pixel 8 of layer 2 sees input pixels 14 to 18: 5 pixels."
    assert seen["edge"].startswith(
        "Output pixel 0 sees input pixels 0 to 4: 5 pixels. It also reads"
    )
    assert seen["pointed"] == "Input pixel 31 sees input pixel 31: 1 pixel."
    for text, invalid, drawn in seen["bad"]:
        assert text == "The kernel must be a whole number from 1 to 31; 3 is kept."
        assert invalid == "true"
        assert drawn > 100, "the figure went blank"
    address, problem, facts = seen["edited"]
    assert (address, problem) == ("#rf=c5.c3s2.c3", "")
    assert facts[0].endswith("field 1 + 4·1 = 5")

    assert seen["anchor"] == ["#fig", 3], "an anchor of the page changed the network"
    assert seen["inserted"] == "#rf=c3.c3.c3.p2.c3.u.s3.c3"
    assert seen["moved"] == ["#rf=c3.c3.p2.c3.u.s1.c3", "down"]
    assert "“c3.<img" not in seen["note"][0]
    assert "could not be read" in seen["note"][0]
    assert seen["note"][1:] == [3, 0]
    assert seen["menu"][0] == "212"
    assert seen["menu"][1] < 400, "too many elements to be fast"
    assert seen["empty"] == "Output pixel 16 sees input pixel 16: 1 pixel."
