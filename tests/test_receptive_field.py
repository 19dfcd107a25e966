"""Receptive fields: the recursion, the exact tool against differentiation, the effective field."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet50, vgg16

from ippy import models
from ippy.networks import NETWORKS
from ippy.receptive_field import Box, effective, measured, receptive_field, recursion


def sizes(layers) -> list[int]:
    return [layer["receptive_field"] for layer in recursion(layers)]


def test_recursion_of_three_layers_and_the_place_of_the_stride():
    assert sizes([(3, 1), (3, 1), (3, 1)]) == [3, 5, 7]
    assert sizes([(3, 2), (3, 1), (3, 1)]) == [3, 7, 11]
    assert sizes([(3, 1), (3, 2), (3, 1)]) == [3, 5, 9]
    assert sizes([(3, 1), (3, 1), (3, 2)]) == [3, 5, 7]
    assert sizes([(3, 2)]) == [3]  # not 5: the layer's own stride does not widen its own field
    assert recursion([]) == []


def test_recursion_gives_jump_and_offset():
    assert recursion([(4, 2, 1, 1), (3, 2, 0, 3)]) == [
        {"receptive_field": 4, "jump": 2, "offset": 0.5},
        {"receptive_field": 16, "jump": 4, "offset": 6.5},
    ]


@pytest.mark.parametrize("layer", [(3,), (3, 1, 0), (0, 1), (3, 0), (3, 1, -1, 1), (3.5, 1)])
def test_recursion_names_the_layer_it_cannot_read(layer):
    with pytest.raises(ValueError, match=r"layer 2 is \(.*give integers \(kernel, stride\)"):
        recursion([(3, 1), layer])


def diagonal(field) -> list[tuple[int, int]]:
    rows, columns = field.output_size
    count = max(rows, columns)
    return [(i * rows // count, i * columns // count) for i in range(count)]


# --- random networks ---


class Lambda(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Fork(nn.Module):
    """Two branches of one input, cut to a common size, and joined."""

    def __init__(self, a: nn.Module, b: nn.Module, how: str) -> None:
        super().__init__()
        self.a, self.b, self.how = a, b, how
        self.mix = nn.Conv2d(2 * CHANNELS, CHANNELS, 1)

    def forward(self, x):
        a, b = self.a(x), self.b(x)
        h, w = min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
        if self.how == "pad":
            b = F.pad(b, (0, a.shape[3] - b.shape[3], a.shape[2] - b.shape[2], 0))
        else:
            a, b = a[:, :, :h, :w], b[..., b.shape[2] - h :, b.shape[3] - w :]
        if self.how == "cat":
            return self.mix(torch.cat([a, b], 1))
        if self.how == "gate":
            return a * torch.sigmoid(b)
        return a + b


class Written(nn.Module):
    def forward(self, x):
        x = 2 * x
        x += 1
        return F.relu(x, inplace=True)


CHANNELS = 2
ACTIVATIONS = [nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.Identity]


def layer(draw: random.Random) -> nn.Module:
    """One random layer from CHANNELS to CHANNELS maps."""
    c, k, s, d = CHANNELS, draw.randint(1, 4), draw.choice([1, 1, 1, 2, 3]), draw.randint(1, 3)
    kind = draw.randrange(13)
    if kind < 3:
        mode = draw.choice(["zeros", "zeros", "reflect", "replicate", "circular"])
        padding = (draw.randint(0, d * (k - 1) // 2 + 1), draw.randint(0, 1))
        groups = draw.choice([1, c])
        kernel = (k, draw.randint(1, 5))
        return nn.Conv2d(c, c, kernel, s, padding, d, groups, padding_mode=mode)
    if kind == 3:
        return nn.Conv2d(c, c, k, padding=draw.choice(["same", "valid"]), dilation=d)
    if kind == 4:
        k, d = draw.choice([(k, 1), (max(k, s), draw.choice([1, s + 1]))])  # may leave holes
        out = draw.randint(0, max(s, d) - 1)
        return nn.ConvTranspose2d(c, c, k, s, draw.randint(0, k // 2), out, dilation=d)
    if kind == 5:
        half = draw.randint(0, k // 2)
        if draw.random() < 0.5:
            return nn.AvgPool2d(k, s, half, ceil_mode=draw.random() < 0.5)
        return nn.MaxPool2d(k, s, half, dilation=d)
    if kind == 6:
        return nn.Upsample(scale_factor=draw.choice([2, (1, 2), 3]), mode="nearest")
    if kind == 7:
        align = draw.random() < 0.5
        return nn.Upsample(scale_factor=draw.choice([2, 4]), mode="bilinear", align_corners=align)
    if kind == 8:
        return draw.choice([nn.ZeroPad2d((1, 0, 2, 1)), nn.ReflectionPad2d(1)])
    if kind == 9:
        return Lambda(lambda x: x[:, :, 1:, : x.shape[3] - 1])
    if kind == 10:
        return nn.BatchNorm2d(c)
    if kind == 11:
        return nn.Sequential(nn.Conv2d(c, 4 * c, 1), nn.PixelShuffle(2))
    return draw.choice([nn.Dropout(0.3), Lambda(lambda x: x[..., ::2]), Written()])


def network(draw: random.Random, depth: int = 0) -> nn.Sequential:
    """Layers in a row, some of them forks or encoder-decoders of random networks."""
    parts = []
    for _ in range(draw.randint(1, 4)):
        kind = draw.random()
        if kind < 0.2 and depth < 2:
            a, b = network(draw, depth + 1), network(draw, depth + 1)
            parts.append(Fork(a, b, draw.choice(["cat", "add", "gate"])))
        elif kind < 0.35 and depth < 2:
            inner = [layer(draw) for _ in range(draw.randint(0, 2))]
            up = draw.choice(
                [
                    nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, 2),
                    nn.Upsample(scale_factor=2, mode="bilinear"),
                ]
            )
            down = nn.Sequential(draw.choice([nn.MaxPool2d, nn.AvgPool2d])(2), *inner, up)
            parts.append(Fork(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), down, "cat"))
        else:
            parts.append(layer(draw))
        parts.append(draw.choice(ACTIVATIONS)())
    return nn.Sequential(*parts)


def buildable(seed: int) -> tuple[nn.Module, tuple]:
    """The next random network from this seed on that has outputs with their field in the image."""
    draw = random.Random(seed)
    for _ in range(200):
        shape = (1, CHANNELS, draw.randint(17, 60), draw.randint(17, 60))
        model = network(draw).eval()
        try:
            size = model(torch.zeros(shape)).shape[2:]
            if min(size) < 1 or max(size) > 120:
                continue
            field = receptive_field(model, shape)
        except NotImplementedError as error:
            assert "leaves positions empty" in str(error)
            continue
        except RuntimeError:  # a map has become too small for its layer
            continue
        if any(field.is_interior(p) for p in diagonal(field)):
            return model, shape
    raise AssertionError("no network of 200 has an interior position")


#: Networks looked at before a release only.
LATER = [pytest.param(seed, marks=pytest.mark.release) for seed in range(50, 320)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("seed", [*range(50), *LATER])
def test_random_networks_see_what_differentiation_finds(seed):
    model, shape = buildable(seed)
    field = receptive_field(model, shape)
    positions = [p for p in diagonal(field) if field.is_interior(p)]
    boxes = measured(model, shape, positions)
    assert [field.box(p) for p in positions] == boxes
    heights = [box.bottom - box.top + 1 for box in boxes]
    assert field.height[0] <= min(heights) <= max(heights) <= field.height[1]


# --- known networks ---

#: Sizes that the chapters name; the others only have to agree with differentiation.
KNOWN = {"SimpleCNN": (7, 7), "ResCNN": (7, 7), "UNet": (92, 100)}
KNOWN |= dict.fromkeys(("ResidualUNet", "AttentionUNet"), (92, 100))


@pytest.mark.parametrize("key", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 1, 128, 136), (1, 1, 131, 127)], ids=str)
def test_networks_of_the_book(key, shape):
    model = getattr(models, NETWORKS[key].recipe.model)(1, 1, 2)
    field = receptive_field(model, shape)
    assert field.stride == (1, 1)
    assert field.output_size == shape[2:]
    assert not field.global_layers
    rows, columns = shape[2:]
    positions = [(i, i) for i in range(56, 72)] + [(0, 0), (rows - 1, columns - 1), (3, 100)]
    boxes = measured(model, shape, positions)
    assert [field.box(p) for p in positions] == boxes  # those at the border included
    assert field.height == KNOWN.get(key, field.height)
    if field.height[1] <= 100:  # around the middle such a field lies inside the image
        found = {box.bottom - box.top + 1 for box in boxes[:16]}
        assert (min(found), max(found)) == field.height == field.width
    assert measured(model, shape) == [field.box((p, p)) for p in middle(shape)]


def middle(shape) -> range:
    return range(min(shape[2:]) // 2 - 8, min(shape[2:]) // 2 + 8)


def test_networks_of_torchvision():
    vgg = receptive_field(vgg16(weights=None).features, (1, 3, 416, 416))
    assert (vgg.height, vgg.width, vgg.stride) == ((212, 212), (212, 212), (32, 32))
    resnet = resnet50(weights=None).eval()
    trunk = nn.Sequential(*list(resnet.children())[:-2])
    assert receptive_field(trunk, (1, 3, 640, 640)).height == (427, 427)
    for name, _ in trunk.named_modules():  # strides where He et al. put them
        if name.endswith(".0.conv1"):
            parent = trunk.get_submodule(name.removesuffix(".conv1"))
            parent.conv1.stride, parent.conv2.stride = parent.conv2.stride, (1, 1)
    moved = receptive_field(trunk, (1, 3, 704, 704))
    assert (moved.height, moved.stride) == ((483, 483), (32, 32))
    whole = receptive_field(resnet, (1, 3, 96, 96))
    assert (whole.height, whole.global_layers) == ((96, 96), ("avgpool",))


class TwoInputs(nn.Module):
    def forward(self, x, y):
        return x + y


class Values(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


GLOBAL = {
    "pooling": nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1)),
    "gate": Lambda(lambda x: x * x.mean((2, 3), keepdim=True)),
    "batch norm in training": nn.Sequential(nn.BatchNorm2d(1)).train(),
    "instance norm": nn.InstanceNorm2d(1),
    "group norm": nn.GroupNorm(1, 1),
    "layer norm": nn.LayerNorm((20, 24)),
    "linear": nn.Sequential(nn.Flatten(), nn.Linear(480, 3)),
}


@pytest.mark.parametrize("model", GLOBAL.values(), ids=GLOBAL)
def test_layers_that_see_the_whole_image_are_named(model):
    field = receptive_field(model, (1, 1, 20, 24))
    assert len(field.global_layers) == 1
    assert (field.height, field.width) == ((20, 20), (24, 24))
    assert field.box((0, 0)) == Box(0, 19, 0, 23)


def test_table_has_a_row_for_every_layer():
    chain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 1, 3, 2))
    rows = receptive_field(chain, (1, 1, 33, 30)).table()
    assert [row["operation"] for row in rows] == ["conv2d", "relu", "max_pool2d", "conv2d"]
    assert [row["height"] for row in rows] == [(3, 3), (3, 3), (4, 4), (8, 8)]
    assert [row["stride"] for row in rows] == [(1, 1), (1, 1), (2, 2), (4, 4)]
    assert (rows[0]["layer"], rows[3]["layer"], rows[3]["size"]) == ("0", "3", (7, 6))
    expected = recursion([(3, 1), (2, 2), (3, 2)])
    assert [layer["receptive_field"] for layer in expected] == [3, 4, 8]


def test_field_larger_than_the_image_is_an_error_where_its_size_is_asked_for():
    field = receptive_field(models.SimpleUNet(base_ch=2), (1, 1, 64, 64))
    assert field.box((32, 32)) == Box(0, 63, 0, 63)
    assert field.table()[-1]["height"] is None
    with pytest.raises(ValueError, match=r"touches the border of an input of \(64, 64\).*larger"):
        _ = field.height


@pytest.mark.parametrize(
    ("model", "shape", "error", "words"),
    [
        (nn.ReLU(), (1, 20, 20), ValueError, r"input_shape must be positive \(N, C, H, W\)"),
        (nn.ReLU(), (1, 1, 0, 20), ValueError, "input_shape must be positive"),
        (models.SimpleUNet(), (1, 1, 8, 8), ValueError, "cannot trace SimpleUNet.*16"),
        (nn.Conv2d(1, 1, 9), (1, 1, 8, 8), ValueError, "cannot trace Conv2d"),
        (Values(), (1, 1, 8, 8), ValueError, "cannot trace Values.*not depend on pixel values"),
        (TwoInputs(), (1, 1, 8, 8), ValueError, "cannot trace TwoInputs.*take one image batch"),
        (Lambda(torch.fft.fft2), (1, 1, 8, 8), NotImplementedError, "no rule for aten.fft_fft2"),
        (Lambda(lambda x: x.flip(3)), (1, 1, 8, 8), NotImplementedError, "no rule for aten.flip"),
        (Lambda(lambda x: x.transpose(2, 3)), (1, 1, 8, 8), NotImplementedError, "aten.transpose"),
        (Lambda(lambda x: x.cumsum(2)), (1, 1, 8, 8), NotImplementedError, "aten.cumsum"),
        (Lambda(lambda x: x.softmax(3)), (1, 1, 8, 8), NotImplementedError, "aten.softmax"),
        (Lambda(lambda x: x.mean(3)), (1, 1, 8, 8), NotImplementedError, "aten.mean"),
        (Lambda(lambda x: torch.cat([x, x], 2)), (1, 1, 8, 8), NotImplementedError, "aten.cat"),
        (Lambda(lambda x: x.view(1, 1, 4, 16)), (1, 1, 8, 8), NotImplementedError, "aten.view"),
        (nn.Linear(8, 8), (1, 1, 8, 8), NotImplementedError, "aten.linear.*add a rule"),
        (Lambda(lambda x: (x, x + 1)), (1, 1, 8, 8), ValueError, "Lambda returns 2 outputs"),
        (Lambda(lambda x: torch.ones(1, 1, 8, 8)), (1, 1, 8, 8), ValueError, "does not depend"),
    ],
)
def test_what_cannot_be_followed_is_named(model, shape, error, words):
    with pytest.raises(error, match=f"(?s){words}"):
        receptive_field(model, shape)


class Layout(nn.Module):
    """A 3 x 3 convolution, then a function that gives (N, 4, H, W) or the like again."""

    def __init__(self, function) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(1, 4, 3, padding=1), function
        self.dense, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)
        self.mix = nn.Conv2d(16, 16, 1)
        self.last = nn.Conv2d(4, 1, (3, 5), padding=(1, 2))

    def forward(self, x):
        return self.last(self.function(self, self.conv(x)))


def normalised_last(net, x):  # as ConvNeXt
    x = net.norm(x.permute(0, 2, 3, 1))
    return (x + net.dense(x)).permute(0, 3, 1, 2)


def shuffled(net, x):  # as ShuffleNet
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def squeezed(net, x):  # a gate whose weights are made in another layout
    gate = net.dense(x.mean((2, 3))).softmax(-1)
    return x * gate[:, :, None, None]


LAYOUTS = {
    "channels last": normalised_last,
    "shuffle": shuffled,
    "native shuffle": lambda net, x: F.channel_shuffle(x, 2),
    "stack": lambda net, x: torch.stack([x, F.avg_pool2d(x, 3, 1, 1)]).sum(0),
    "stack behind": lambda net, x: torch.stack([x, F.avg_pool2d(x, 3, 1, 1)], -1).mean(-1),
    "select": lambda net, x: torch.stack([x[:, 0], x[:, 2]], 1).repeat(1, 2, 1, 1),
    "unbind": lambda net, x: torch.stack(list(x.unbind(1))[::-1], 1),
    "unshuffle": lambda net, x: F.pixel_shuffle(net.mix(F.pixel_unshuffle(x, 2)), 2),
    "exact nearest": lambda net, x: F.interpolate(
        F.avg_pool2d(x, 2), scale_factor=2, mode="nearest-exact"
    ),
    "flattened channels": lambda net, x: x.unflatten(1, (2, 2)).flatten(1, 2),
    "channel means": lambda net, x: x * x.mean(1, keepdim=True) + x.sum(1)[:, None],
    "channels padded": lambda net, x: F.pad(x, (0, 0, 0, 0, 1, 0))[:, 1:],
    "softmax over channels": lambda net, x: x * F.softmax(x, 1),
    "group of channels": lambda net, x: F.glu(torch.cat([x, x], 1), 1),
}


@pytest.mark.parametrize("function", LAYOUTS.values(), ids=LAYOUTS)
def test_height_and_width_are_followed_through_other_layouts(function):
    model, shape = Layout(function).eval(), (1, 1, 24, 30)
    field = receptive_field(model, shape)
    assert field.output_size == shape[2:] and not field.global_layers
    positions = [(8, 9), (11, 14), (12, 15), (13, 20), (0, 0), (23, 29), (0, 17)]
    assert [field.box(p) for p in positions] == measured(model, shape, positions)


GLOBAL_BRANCHES = {
    "gate": squeezed,
    "upsampled": lambda net, x: (
        x + F.interpolate(F.adaptive_avg_pool2d(x, 1), size=x.shape[2:], mode="bilinear")
    ),
    "expanded": lambda net, x: x * F.adaptive_avg_pool2d(x, 1).expand(-1, -1, 24, 30),
    "group norm": lambda net, x: F.group_norm(x, 2),
    "layer norm over the map": lambda net, x: F.layer_norm(x, x.shape[1:]),
}


@pytest.mark.parametrize("function", GLOBAL_BRANCHES.values(), ids=GLOBAL_BRANCHES)
def test_a_branch_that_sees_the_whole_image_comes_from_inside_it(function):
    model, shape = Layout(function).eval(), (1, 1, 24, 30)
    field = receptive_field(model, shape)
    positions = [(8, 9), (11, 14), (12, 15), (13, 20), (1, 28)]
    assert len(field.global_layers) == 1 and field.stride == (1, 1)
    assert all(field.is_interior(p) for p in positions[:4])
    assert [field.box(p) for p in positions] == measured(model, shape, positions)
    assert (field.height, field.width) == ((24, 24), (30, 30))


POSITIONAL = {
    "aligned corners": lambda net, x: F.interpolate(
        F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=True
    ),
    "a fraction": lambda net, x: F.interpolate(x, size=(36, 45), mode="nearest"),
    "adaptive pooling": lambda net, x: F.adaptive_avg_pool2d(x, (7, 9)),
    "circular padding": lambda net, x: F.pad(x, (1, 1, 1, 1), mode="circular"),
    "coordinates": lambda net, x: x + torch.linspace(0, 1, x.shape[3]),
}


@pytest.mark.parametrize("function", POSITIONAL.values(), ids=POSITIONAL)
def test_layers_that_know_their_place_are_named(function):
    field = receptive_field(Layout(function).eval(), (1, 1, 24, 30))
    assert len(field.positional_layers) == 1 and not field.global_layers
    assert receptive_field(Layout(shuffled).eval(), (1, 1, 24, 30)).positional_layers == ()


def test_attention_over_windows_is_refused_by_name():
    def windows(net, x):  # as Swin: each axis falls apart into windows and places within
        n, c, h, w = x.shape
        return x.view(n, c, h // 6, 6, w // 6, 6).mean(3).mean(4)

    with pytest.raises(NotImplementedError, match="no rule for aten.view"):
        receptive_field(Layout(windows), (1, 1, 24, 30))


def test_a_part_written_in_place_is_not_guessed():
    def write(x):
        y = 2 * x
        y[:, :, 1:].add_(x[:, :, :-1])
        return y

    with pytest.raises(NotImplementedError, match="aten.add_"):
        receptive_field(Lambda(write), (1, 1, 8, 8))


def test_holes_of_a_transposed_convolution_are_not_guessed_where_maps_join():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(1, 1, 2, 3, output_padding=1)

        def forward(self, x):
            return x + self.up(x)[:, :, :8, :8]

    with pytest.raises(NotImplementedError, match="leaves positions empty"):
        receptive_field(Net(), (1, 1, 8, 8))
    alone = receptive_field(Net().up, (1, 1, 8, 8))
    assert (alone.height, alone.is_interior((3, 3)), alone.is_interior((2, 3))) == (
        (1, 1),
        True,
        False,
    )
    with pytest.raises(ValueError, match="output position 2 sees no input pixel"):
        alone.box((2, 3))


def test_positions_outside_the_output_are_refused():
    field = receptive_field(nn.Conv2d(1, 1, 3), (1, 1, 20, 30))
    assert field.box((17, 27)) == Box(17, 19, 27, 29)
    with pytest.raises(IndexError, match=r"output pixel \(18, 0\) is not in \(18, 28\)"):
        field.box((18, 0))


# --- the effective field ---


def test_effective_field_of_a_known_filter():
    body = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with torch.no_grad():
        body.weight.copy_(torch.tensor([[0.0, 3, 0], [0, 1, 0], [0, 0, 1]])[None, None])
    skip = Lambda(lambda x: x + body(x))
    seen, radii = effective(skip, torch.rand(3, 1, 9, 9), shares=(0.05, 0.5, 0.95, 1))
    expected = torch.zeros(9, 9)
    expected[3, 4], expected[4, 4], expected[5, 5] = 3, 1, 1
    torch.testing.assert_close(seen, expected)
    assert radii == pytest.approx({0.05: 0, 0.5: 1, 0.95: 2**0.5, 1: 2**0.5})
    seen, _ = effective(skip, torch.rand(3, 1, 9, 9), correction=False)
    expected[4, 4] = 2
    torch.testing.assert_close(seen, expected)


def test_effective_field_lies_in_the_exact_one():
    model = models.SimpleUNet(base_ch=2).eval()
    seen, radii = effective(model, torch.rand(2, 1, 128, 128))
    box = receptive_field(model, (1, 1, 128, 128)).box((64, 64))
    seen[box.top : box.bottom + 1, box.left : box.right + 1] = 0
    assert not seen.any()
    assert radii[0.5] <= radii[0.95] < 50


def test_effective_field_refuses_what_has_none():
    with pytest.raises(ValueError, match="same size needed"):
        effective(nn.Conv2d(1, 1, 3), torch.rand(1, 1, 8, 8))
    with pytest.raises(ValueError, match="the gradient is zero"):
        effective(nn.Identity(), torch.rand(1, 1, 8, 8))


def test_measured_leaves_the_model_alone_and_refuses_what_it_cannot_linearise():
    model = models.ResCNN(1, 1, 4)
    before = [p.clone() for p in model.parameters()]
    measured(model, (1, 1, 20, 20))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    with pytest.raises(NotImplementedError, match="no linear twin"):
        measured(nn.MaxPool2d(2, dilation=2, ceil_mode=True), (1, 1, 9, 9))
