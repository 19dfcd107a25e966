"""Large images in tiles: equal to the whole image, with the least overlap, in bounded memory."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ippy import evaluation, models
from ippy.networks import NETWORKS
from ippy.receptive_field import apply_in_tiles, tile_overlap
from ippy.receptive_field import tiles as module

#: Pixels of overlap and total stride of the networks of the book; of one that is new, the test
#: below knows only that they must be enough, and the least.
THREE_POOLINGS = ("AttentionUNet", "CorrectionUNet", "ResidualUNet", "SimpleUNet")
EXPECTED = {"SimpleCNN": (6, 1), "ResCNN": (6, 1), "UNetPP": (52, 4)}
EXPECTED |= dict.fromkeys(THREE_POOLINGS, (96, 8))
CLASSES = sorted({network.recipe.model for network in NETWORKS.values()})


def strong(model: nn.Module) -> nn.Module:
    """In float64 and with a signal in its deepest layers, so that every pixel counts."""
    torch.manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight)
    return model.double().eval()


@torch.no_grad()
def differences(model: nn.Module, x: torch.Tensor, tile: int) -> float:
    """Largest difference between tiles and the whole image, relative to the largest output."""
    whole, parts = model(x), apply_in_tiles(model, x, tile, progress=False)
    assert whole.shape == parts.shape
    return float((whole - parts).abs().max() / whole.abs().max())


@pytest.mark.parametrize("name", CLASSES)
def test_networks_of_the_book_give_in_tiles_what_they_give_whole(name, monkeypatch):
    model = strong(getattr(models, name)(1, 1, 2))
    found = tile_overlap(model)
    assert found.height == found.width
    if name in EXPECTED:
        assert (found.height.pixels, found.height.stride) == EXPECTED[name]
    x = torch.rand(2, 1, 267, 230).double()  # neither size is a multiple of the stride
    tile = found.height.pixels + 3 * found.height.stride
    assert differences(model, x, tile) < 1e-12
    # with less it is not: the overlap is the least one
    less = [
        how._replace(
            pixels=how.pixels - how.stride,
            before=(how.pixels - how.stride) // 2,
            after=(how.pixels - how.stride) // 2,
        )
        for how in found
    ]
    monkeypatch.setattr(module, "tile_overlap", lambda *_: less)
    assert differences(model, x, tile) > 1e-9


def test_tiles_begin_at_multiples_of_the_total_stride(monkeypatch):
    model = strong(models.SimpleUNet(base_ch=2))
    shifted = [how._replace(stride=4, pixels=100) for how in tile_overlap(model)]
    monkeypatch.setattr(module, "tile_overlap", lambda *_: shifted)
    assert differences(model, torch.rand(1, 1, 264, 64).double(), 116) > 1e-9


class Resize(nn.Module):
    """Halves its maps and brings them back to the size they had."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x):
        small = F.relu(self.conv(F.max_pool2d(x, 2)))
        return x + F.interpolate(small, size=x.shape[2:], mode="bilinear")


OTHERS = {
    "valid convolutions": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 5)),
    "half the size": nn.Sequential(nn.Conv2d(3, 4, 5, 2, 2), nn.ReLU(), nn.Conv2d(4, 1, 3)),
    "twice the size": nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PixelShuffle(2)),
    "reflected border": nn.Conv2d(3, 3, 7, padding=3, padding_mode="reflect"),
    "sizes of others": Resize(),
    "transposed": nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.ConvTranspose2d(4, 2, 8, 4, 2)),
}


@pytest.mark.parametrize("model", OTHERS.values(), ids=OTHERS)
def test_other_networks_of_any_scale(model):
    x = torch.rand(1, 3, 120, 86 if model is not OTHERS["sizes of others"] else 88).double()
    assert differences(strong(model), x, 36) < 1e-12


@pytest.mark.parametrize(
    ("model", "shape", "words"),
    [
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.InstanceNorm2d(1)), None, "'1' sees the whole image"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), None, "depends on the place"),
        (Resize(), (1, 3, 301, 300), "depends on the place in the image or on its size"),
        (
            nn.Conv2d(1, 1, 3, padding=1100, dilation=1100),
            None,
            "see more than an image of 2048 × 2048",
        ),
    ],
    ids=["instance norm", "circular", "odd size", "field too large"],
)
def test_what_cannot_be_cut_into_tiles_is_said(model, shape, words):
    with pytest.raises(ValueError, match=words):
        tile_overlap(model, shape)


def test_tiles_that_are_too_small_and_images_of_another_rank_are_refused():
    model = models.SimpleUNet(base_ch=2)
    with pytest.raises(
        ValueError, match="tile is 100 pixels.*overlap by 96; expected at least 104"
    ):
        apply_in_tiles(model, torch.zeros(1, 1, 256, 256), 100)
    with pytest.raises(ValueError, match=r"x has shape \(1, 256, 256\), expected images"):
        apply_in_tiles(model, torch.zeros(1, 256, 256), 128)


def test_many_tiles_have_a_progress_bar_and_few_have_none(capsys):
    model = models.SimpleCNN(1, 1, 2)
    apply_in_tiles(model, torch.zeros(1, 1, 40, 20), 32)
    assert capsys.readouterr().err == ""
    apply_in_tiles(model, torch.zeros(1, 1, 100, 100), 32)
    assert "tiles: " in capsys.readouterr().err


def test_reconstruct_takes_tiles_of_images_larger_than_them(monkeypatch):
    model, x = models.ResCNN(1, 1, 4), torch.rand(2, 1, 90, 61)
    calls = []
    real = evaluation.apply_in_tiles
    monkeypatch.setattr(evaluation, "apply_in_tiles", lambda *a: calls.append(a[2]) or real(*a))
    whole = evaluation.reconstruct(model, x)
    assert not calls
    parts = evaluation.reconstruct(model, x, tile=64)
    assert calls == [64]
    assert (parts - whole).abs().max() < 1e-5 and not parts.requires_grad
    evaluation.reconstruct(model, x, tile=90)
    assert calls == [64]


def test_reconstruct_says_how_to_go_on_where_tiles_are_impossible():
    class Flipped(nn.Module):
        def forward(self, x):
            return x.flip(3)

    x = torch.rand(1, 1, 90, 61)
    with pytest.raises(ValueError, match="no rule for aten.flip.*tile=None"):
        evaluation.reconstruct(Flipped(), x, tile=64)
    assert torch.equal(evaluation.reconstruct(Flipped(), x, tile=None), x.flip(3))


#: The kernel's own peak of this process. That of `resource.getrusage` begins with what the parent
#: had when it forked, which hides whatever a child of a large test run needs.
MEMORY = """
import re, torch
from ippy import evaluation, models

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

torch.set_num_threads(1)
torch.manual_seed(0)
model, x = models.SimpleUNet(base_ch=4), torch.rand(1, 1, 2048, 2048)
evaluation.reconstruct(model, x[..., :300, :300], tile=256)
peaks, found = [peak()], []
for tile in (512, None):  # in this order: a peak stays
    found.append(evaluation.reconstruct(model, x, tile=tile))
    peaks.append(peak())
print(*peaks, (found[0] - found[1]).abs().max().item())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is in /proc")
def test_a_large_image_needs_the_memory_of_its_tiles():
    command = [sys.executable, "-c", MEMORY]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    before, with_tiles, with_the_whole, difference = map(float, done.stdout.split())
    parts, whole = ((peak - before) / 1024 for peak in (with_tiles, with_the_whole))
    assert difference < 1e-5
    assert whole > 200  # MiB: a dozen maps of 16 MB and more at the finest level
    assert parts < whole / 3
