"""Networks: sizes, parameter counts, state-dict keys, twins in plain PyTorch, gradients, errors."""

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ippy import models
from ippy.models import cnn, initialisation, unet, unet_3d
from ippy.networks import NETWORKS

#: The classes of all networks of the book, by their group.
GROUPS = {network.recipe.model: network.group for network in NETWORKS.values()}
UNETS = {name: getattr(models, name) for name, group in GROUPS.items() if group == "unet"}
UNETS["SimpleUNet-2"] = lambda *args, **kw: models.SimpleUNet(*args, levels=2, **kw)
CNNS = {name: getattr(models, name) for name, group in GROUPS.items() if group == "cnn"}
NAMES = [*CNNS, *UNETS]


def small(name: str, in_ch: int = 1, out_ch: int = 1) -> nn.Module:
    """A reproducible narrow network."""
    torch.manual_seed(0)
    return (CNNS | UNETS)[name](in_ch, out_ch, 4)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def input_gradient(f, x: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(f(x).square().sum(), x)[0]


def test_every_network_and_block_is_exported_and_every_export_exists():
    modules = (cnn, initialisation, unet, unet_3d)
    assert set(models.__all__) == {name for module in modules for name in module.__all__}
    for module in modules:
        classes = [thing for thing in vars(module).values() if isinstance(thing, type)]
        own = {thing.__name__ for thing in classes if thing.__module__ == module.__name__}
        assert own <= set(module.__all__)
    assert all(hasattr(models, name) for name in models.__all__)


# ---------------------------------------------------------------- parameters and their names


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: models.ResCNN(1, 1, 32), 9_857),
        (lambda: models.SimpleCNN(1, 1, 32), 9_857),
        (models.SimpleUNet, 1_925_025),
        (models.ResidualUNet, 2_011_777),
        (models.AttentionUNet, 1_968_708),
        (models.UNetPP, 517_121),
        (lambda: models.SimpleUNet(base_ch=16), 481_745),
        (lambda: models.SimpleUNet(levels=2), 465_953),
    ],
)
def test_parameter_counts(make, expected):
    assert count(make()) == expected


def level_layers(down: list[str], up: list[str], block: list[str], extra: list[str]) -> set[str]:
    """Layer names of a UNet whose levels and block layers are given."""
    names = {f"enc1.{layer}" for layer in block} | {"out_conv"}
    names |= {f"{level}.block.{layer}" for level in [*down, *up] for layer in block}
    return names | {f"{level}.{layer}" for level in up for layer in ["up", *extra]}


DOWN, UP, DOUBLE = ["enc2", "enc3", "bottleneck"], ["dec3", "dec2", "dec1"], ["block.0", "block.2"]
GATE = ["attn.gate_proj", "attn.skip_proj", "attn.psi"]
NODES = ["x0_0", "x1_0", "x2_0", "x0_1", "x1_1", "x0_2"]
LAYERS = {
    "SimpleCNN": {"conv1", "conv2", "conv3"},
    "ResCNN": {"conv1", "conv2", "conv3"},
    "SimpleUNet": level_layers(DOWN, UP, DOUBLE, []),
    "SimpleUNet-2": level_layers(["enc2", "bottleneck"], ["dec2", "dec1"], DOUBLE, []),
    "ResidualUNet": level_layers(DOWN, UP, ["conv1", "conv2", "shortcut"], []),
    "AttentionUNet": level_layers(DOWN, UP, DOUBLE, GATE),
    "CorrectionUNet": level_layers(DOWN, UP, DOUBLE, []),
    "UNetPP": {f"{node}.block.{i}" for node in NODES for i in (0, 2)} | {"out_conv"},
}


@pytest.mark.parametrize("name", LAYERS)
def test_state_dict_keys(name):
    expected = {f"{layer}.{p}" for layer in LAYERS[name] for p in ("weight", "bias")}
    assert set(small(name).state_dict()) == expected


# ---------------------------------------------------------------- twins in plain PyTorch


class PlainResCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding="same")
        self.conv2 = nn.Conv2d(6, 6, 3, padding="same")
        self.conv3 = nn.Conv2d(6, 1, 3, padding="same")

    def forward(self, x):
        return torch.tanh(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))) + x


def plain_block(a: int, b: int) -> nn.Module:
    convs = [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU()]
    return nn.Sequential(OrderedDict(block=nn.Sequential(*convs)))


class PlainUNet(nn.Module):
    def __init__(self, c=4):
        super().__init__()
        self.enc1 = plain_block(1, c)
        for k, name in enumerate(["enc2", "enc3", "bottleneck"]):
            layers = OrderedDict(pool=nn.MaxPool2d(2), block=plain_block(c << k, c << (k + 1)))
            self.add_module(name, nn.Sequential(layers))
        for k, name in [(2, "dec3"), (1, "dec2"), (0, "dec1")]:
            up = nn.ConvTranspose2d(c << (k + 1), c << k, 2, stride=2)
            self.add_module(
                name, nn.ModuleDict({"up": up, "block": plain_block(c << k + 1, c << k)})
            )
        self.out_conv = nn.Conv2d(c, 1, 1)

    def forward(self, x):
        e1 = self.enc1(x)
        e2 = self.enc2(e1)
        e3 = self.enc3(e2)
        h = self.bottleneck(e3)
        for dec, skip in [(self.dec3, e3), (self.dec2, e2), (self.dec1, e1)]:
            h = dec["block"](torch.cat([skip, dec["up"](h)], 1))
        return self.out_conv(h)


@pytest.mark.parametrize(
    ("plain", "ours"),
    [
        (PlainResCNN, lambda: models.ResCNN(1, 1, 6)),
        (PlainUNet, lambda: models.SimpleUNet(1, 1, 4)),
    ],
)
def test_twin_in_plain_pytorch_loads_and_agrees_exactly(plain, ours):
    torch.manual_seed(3)
    twin, model, x = plain(), ours(), images(2, 1, 32, 48)
    assert not torch.equal(twin(x), model(x))
    model.load_state_dict(twin.state_dict(), strict=True)
    assert torch.equal(twin(x), model(x))
    assert torch.equal(input_gradient(twin, x), input_gradient(model, x))
    twin.load_state_dict(model.state_dict(), strict=True)


def test_unetpp_follows_its_graph():
    model, x = small("UNetPP").requires_grad_(False), images(2, 1, 20, 24)
    weights = model.state_dict()

    def node(name, *inputs):
        h = torch.cat(inputs, 1)
        for i in (0, 2):
            w, b = (weights[f"{name}.block.{i}.{p}"] for p in ("weight", "bias"))
            h = F.relu(F.conv2d(h, w, b, padding=1))
        return h

    def up(h):
        return F.interpolate(h, scale_factor=2, mode="bilinear")

    def reference(x):
        x00 = node("x0_0", x)
        x10 = node("x1_0", F.max_pool2d(x00, 2))
        x20 = node("x2_0", F.max_pool2d(x10, 2))
        x01 = node("x0_1", x00, up(x10))
        x11 = node("x1_1", x10, up(x20))
        x02 = node("x0_2", x00, x01, up(x11))
        return F.conv2d(x02, weights["out_conv.weight"], weights["out_conv.bias"])

    torch.testing.assert_close(model(x), reference(x), rtol=1e-6, atol=1e-6)
    ours, theirs = input_gradient(model, x), input_gradient(reference, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * theirs.abs().max().item())


@pytest.mark.parametrize("out_ch", [3, 5])
def test_residual_block_adds_its_shortcut_before_the_last_relu(out_ch):
    block, x = models.ResidualDoubleConv(3, out_ch), images(2, 3, 9, 10) - 0.5
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.conv2.bias)
    assert isinstance(block.shortcut, nn.Identity if out_ch == 3 else nn.Conv2d)
    expected = F.relu(block.shortcut(x))
    assert expected.max() > 0
    assert torch.equal(block(x), expected)


def test_open_gates_make_an_attention_unet_a_simple_unet():
    plain, gated, x = small("SimpleUNet"), small("AttentionUNet"), images(1, 1, 21, 32)
    shared = {k: v for k, v in gated.state_dict().items() if ".attn." not in k}
    plain.load_state_dict(shared, strict=True)
    assert (plain(x) - gated(x)).abs().max() > 1e-4
    for level in (gated.dec3, gated.dec2, gated.dec1):
        nn.init.zeros_(level.attn.psi.weight)
        nn.init.constant_(level.attn.psi.bias, 50.0)
    assert torch.equal(plain(x), gated(x))


def test_attention_gate_weights_every_pixel_once():
    gate = models.AttentionGate(gate_ch=3, skip_ch=5, inter_ch=2)
    g, s = images(2, 3, 7, 8), images(2, 5, 7, 8)
    alpha = gate.alpha(g, s)
    assert alpha.shape == (2, 1, 7, 8)
    assert 0 < alpha.min() < alpha.max() < 1
    assert torch.equal(gate(g, s), s * alpha)
    assert not torch.equal(gate(0 * g, s), gate(g, s))


def test_rescnn_starts_from_its_input_and_corrects_by_at_most_one():
    model, x = small("ResCNN"), images(1, 1, 9, 11)
    for p in model.conv3.parameters():
        nn.init.constant_(p, 10.0)
    assert 0.9 < (model(x) - x).abs().max() <= 1.0001
    for p in model.conv3.parameters():
        nn.init.zeros_(p)
    assert torch.equal(model(x), x)


@pytest.mark.parametrize(("kernel_size", "expected"), [(1, 1), (3, 7), (5, 13)])
def test_cnn_receptive_field(kernel_size, expected):
    torch.manual_seed(0)
    x = images(1, 1, 21, 21).requires_grad_()
    models.SimpleCNN(1, 1, 16, kernel_size)(x)[0, 0, 10, 10].backward()
    rows, cols = x.grad[0, 0].nonzero(as_tuple=True)
    assert rows.max() - rows.min() + 1 == cols.max() - cols.min() + 1 == expected


# ---------------------------------------------------------------- shapes


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_output_has_the_input_size(name):
    model = small(name)
    for h in range(16, 41):
        for w in (h, 56 - h, 31):
            assert model(torch.zeros(1, 1, h, w)).shape == (1, 1, h, w)


@pytest.mark.parametrize("name", NAMES)
def test_three_channels(name):
    model = small(name, 3, 3)
    assert model(images(2, 3, 17, 20)).shape == (2, 3, 17, 20)
    try:
        other = small(name, 3, 2)
    except ValueError as error:  # of a network that adds its input
        assert "in_ch must equal out_ch" in str(error)
    else:
        assert other(images(2, 3, 17, 20)).shape == (2, 2, 17, 20)


def test_block_shapes():
    x, skip = images(2, 8, 5, 6), images(2, 3, 11, 12)
    assert models.DownBlock(8, 4)(x).shape == (2, 4, 2, 3)
    assert models.UpBlock(8, 3, 7)(x, skip).shape == (2, 7, 11, 12)
    assert models.UpBlock(8, 3, 7, models.ResidualDoubleConv)(x, skip).shape == (2, 7, 11, 12)
    assert models.AttentionUpBlock(8, 3, 7)(x, skip).shape == (2, 7, 11, 12)


def test_pad_to_repeats_the_last_row_and_column_only():
    x = images(1, 2, 4, 6)
    assert unet.pad_to(x, torch.zeros(1, 9, 4, 6)) is x
    padded = unet.pad_to(x, torch.zeros(1, 9, 5, 7))
    assert torch.equal(padded[..., :4, :6], x)
    assert torch.equal(padded[..., 4, :6], x[..., 3, :])
    assert torch.equal(padded[..., :4, 6], x[..., :, 5])
    assert unet.pad_to(x, torch.zeros(1, 9, 4, 7)).shape == (1, 2, 4, 7)


# ---------------------------------------------------------------- behaviour


@pytest.mark.parametrize("size", [(32, 32), (19, 33)])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_parameter(name, size):
    model = small(name)
    model(images(2, 1, *size)).square().mean().backward()
    dead = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert dead == []


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_batch_do_not_meet_and_evaluation_is_deterministic(name):
    model, x = small(name).eval(), images(3, 1, 18, 21)
    y, other = model(x), x.clone()
    other[1:] = 5 * other[1:] + 1
    z = model(other)
    assert (z[1:] - y[1:]).abs().max() > 1e-4
    torch.testing.assert_close(z[:1], y[:1], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(model(x[:1]), y[:1], rtol=1e-6, atol=1e-6)
    assert torch.equal(model(x), y)
    torch.testing.assert_close(model.train()(x), y, rtol=0, atol=0)


@pytest.mark.parametrize("name", GROUPS)
def test_torch_export(name):
    model, x = small(name).eval(), images(1, 1, 64, 64)
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("name", NAMES)
def test_wrong_number_of_channels(name):
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\).*\(2, 4, 32, 32\).*build.*in_ch=4"):
        small(name)(images(2, 4, 32, 32))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(32, 32), (1, 32, 32), (1, 1, 1, 32, 32)])
def test_not_a_batch_of_images(name, shape):
    with pytest.raises(ValueError, match=rf"\(N, 1, H, W\).*{len(shape)} dimensions.*x\[None\] or"):
        small(name)(images(*shape))


@pytest.mark.parametrize("name", UNETS)
@pytest.mark.parametrize("shape", [(15, 32), (32, 15), (1, 1)])
def test_too_small_for_a_unet(name, shape):
    with pytest.raises(ValueError, match=rf"{shape[0]}, {shape[1]}\).*at least 16 pixels; pad"):
        small(name)(images(1, 1, *shape))


@pytest.mark.parametrize("model", CNNS.values())
@pytest.mark.parametrize(("kernel_size", "better"), [(4, 5), (0, 3), (-1, 3)])
def test_even_or_absurd_kernel_size(model, kernel_size, better):
    with pytest.raises(ValueError, match=rf"odd and positive.*got {kernel_size}; use.*{better}"):
        model(1, 1, 8, kernel_size)


def test_rescnn_needs_equal_channels():
    with pytest.raises(ValueError, match="in_ch=3 and out_ch=1; make them equal or use SimpleCNN"):
        models.ResCNN(3, 1, 8)


def test_unknown_number_of_levels():
    with pytest.raises(ValueError, match="must be 2 or 3, got 4"):
        models.SimpleUNet(levels=4)


@pytest.mark.parametrize("size", [(9, 12), (12, 12), (14, 12), (10, 14)])
def test_skip_of_another_level(size):
    skip = images(1, 3, *size)
    with pytest.raises(ValueError, match=rf"skip \(1, 3, {size[0]}, {size[1]}\).*check the level"):
        models.UpBlock(8, 3, 3)(images(1, 8, 5, 6), skip)


# ---------------------------------------------------------------- volumes


def small_3d(in_ch: int = 1, out_ch: int = 1) -> models.UNet3D:
    torch.manual_seed(0)
    return models.UNet3D(in_ch, out_ch, 4)


def kernels_from_2d(weights: dict) -> dict:
    """3-D weights that treat every slice as the 2-D weights do: only the middle slice is filled.

    A transposed convolution of stride 2 writes both new slices from one, so it gets the kernel
    twice; max-pooling over two equal slices changes nothing.
    """
    lifted = {}
    for name, w in weights.items():
        lifted[name] = w
        if w.ndim == 4 and ".up." in name:
            lifted[name] = w[:, :, None].repeat(1, 1, 2, 1, 1)
        elif w.ndim == 4:
            lifted[name] = w.new_zeros(*w.shape[:2], w.shape[-1], *w.shape[2:])
            lifted[name][:, :, w.shape[-1] // 2] = w
    return lifted


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8, 8), (9, 15, 17), (16, 11, 8), (23, 8, 31), (20, 16, 12)])
def test_volume_keeps_its_size(size):
    assert small_3d()(images(1, 1, *size)).shape == (1, 1, *size)
    assert small_3d(2, 3)(images(2, 2, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize(("base_ch", "in_ch", "out_ch"), [(32, 1, 1), (5, 3, 2)])
def test_parameter_count_of_the_3d_unet(base_ch, in_ch, out_ch):
    def double(a, b):  # two convolutions with 27 taps
        return 27 * (a * b + b * b) + 2 * b

    expected, c = double(in_ch, base_ch) + base_ch * out_ch + out_ch, base_ch
    for fine, coarse in ((c, 2 * c), (2 * c, 4 * c), (4 * c, 8 * c)):
        expected += double(fine, coarse) + (8 * coarse * fine + fine) + double(2 * fine, fine)
    assert count(models.UNet3D(in_ch, out_ch, base_ch)) == expected
    if base_ch == 32:
        assert expected == 5_599_713


def test_3d_unet_has_the_layer_names_of_the_2d_unet():
    assert list(small_3d().state_dict()) == list(small("SimpleUNet").state_dict())


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 24, 32), (19, 21, 30)])
def test_3d_unet_whose_kernels_are_flat_is_the_2d_unet_slice_by_slice(size):
    flat, volume = small("SimpleUNet"), small_3d()
    volume.load_state_dict(kernels_from_2d(flat.state_dict()), strict=True)
    x = images(2, 1, 1, *size[1:]).expand(-1, -1, size[0], -1, -1)  # every slice the same
    torch.testing.assert_close(volume(x)[:, :, 0], flat(x[:, :, 0]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(volume(x)[:, :, -1], flat(x[:, :, 0]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 19, 24)])
def test_gradient_reaches_every_parameter_of_the_3d_unet(size):
    model = small_3d()
    model(images(2, 1, *size)).square().mean().backward()
    dead = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert dead == []


@pytest.mark.parametrize(("depth", "used"), [(8, False), (15, False), (16, True)])
def test_thin_volumes_leave_the_outer_kernel_slices_of_the_bottleneck_unused(depth, used):
    model = small_3d()
    model(images(1, 1, depth, 16, 16)).square().mean().backward()
    grad = model.bottleneck.block.block[0].weight.grad
    assert grad[:, :, 1].abs().max() > 0
    assert bool(grad[:, :, 0].abs().max() > 0) == used


@torch.no_grad()
@pytest.mark.parametrize("axis", [2, 3, 4])
def test_one_voxel_reaches_its_neighbours_along_every_axis(axis):
    model, x = small_3d(), images(1, 1, 16, 16, 16)
    changed = x.clone()
    changed[0, 0, 8, 8, 8] += 1
    moved = (model(changed) - model(x))[0, 0].abs()
    others = [a - 2 for a in (2, 3, 4) if a != axis]
    assert (moved.amax(dim=others) > 1e-7).sum() > 8


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 16), (1, 1, 16, 16), (1, 1, 1, 16, 16, 16)])
def test_not_a_batch_of_volumes(shape):
    with pytest.raises(ValueError, match=rf"\(N, 1, D, H, W\).*{len(shape)} dimensions, not 5"):
        small_3d()(images(*shape))


def test_volume_with_wrong_number_of_channels():
    with pytest.raises(ValueError, match=r"\(2, 16, 1, 16, 16\): 16 input.*swap the axes C and D"):
        small_3d()(images(2, 16, 1, 16, 16))


@pytest.mark.parametrize("size", [(7, 16, 16), (16, 7, 16), (16, 16, 1)])
def test_volume_too_small(size):
    with pytest.raises(ValueError, match="D, H and W must be at least 8 voxels; pad the volume or"):
        small_3d()(images(1, 1, *size))


def test_skip_of_another_level_in_3d():
    with pytest.raises(ValueError, match=r"skip \(1, 3, 12, 10, 10\).*check the level"):
        models.UpBlock3d(8, 3, 3)(images(1, 8, 5, 5, 5), images(1, 3, 12, 10, 10))
