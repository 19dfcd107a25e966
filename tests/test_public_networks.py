"""Networks of torchvision: which are followed, and that differentiation finds the same fields."""

from collections.abc import Iterable

import pytest
import torch
from torch import nn

from ippy.receptive_field import measured, receptive_field

pytestmark = pytest.mark.slow
library = pytest.importorskip("torchvision.models")

#: What ends in a vector: looked at up to the last map.
TRUNKS = [
    "alexnet", "vgg11", "vgg13_bn", "vgg16", "resnet18", "resnet34", "resnet50", "resnext50_32x4d",
    "wide_resnet50_2", "squeezenet1_0", "squeezenet1_1", "densenet121", "mobilenet_v2",
    "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "mnasnet0_5", "mnasnet1_0",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "googlenet", "inception_v3", "regnet_x_400mf",
    "regnet_y_400mf", "convnext_tiny",
]  # fmt: skip
#: Looked at in every run; the others before a release, since they take minutes.
EVERYDAY = {"alexnet", "resnet18", "squeezenet1_0", "mobilenet_v2", "shufflenet_v2_x0_5"}
#: Of these no corner sees the whole image, so that the comparison is one of numbers.
LOCAL = {"alexnet", "vgg11", "vgg16", "resnet18", "resnet34", "resnet50", "squeezenet1_0"}
#: What gives a map; all have a branch that sees the whole image but the first.
SEGMENTATION = ["fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]
#: What looks at windows or at tokens, and the operation that is named.
REFUSED = {"swin_t": "view", "vit_b_16": "reshape", "maxvit_t": "reshape"}
#: Wide, so that fields at its corners end within it; and few pixels.
SHAPE = (1, 3, 96, 512)


def each(names: Iterable[str], everyday: set[str]) -> pytest.MarkDecorator:
    """Run a test for every name, for those that are not everyday's before a release only."""
    marked = [pytest.param(n, marks=() if n in everyday else pytest.mark.release) for n in names]
    return pytest.mark.parametrize("name", marked)


def trunk(name: str) -> nn.Module:
    """A network without its last pooling and what follows."""
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = getattr(library, name)(weights=None, **extra)
    if hasattr(model, "features"):
        return model.features.eval()
    if hasattr(model, "layers"):
        return model.layers.eval()
    parts = []
    for child_name, child in model.named_children():
        if child_name.startswith("avgpool") or child_name == "fc":
            break
        if not child_name.lower().startswith("aux"):
            parts.append(child)
    return nn.Sequential(*parts).eval()


class Map(nn.Module):
    """The map of a segmentation network, out of the dictionary that it returns."""

    def __init__(self, name: str) -> None:
        super().__init__()
        make = getattr(library.segmentation, name)
        self.model = make(weights=None, weights_backbone=None).eval()

    def forward(self, x):
        return self.model(x)["out"]


def agree(model: nn.Module, shape: tuple = SHAPE) -> int:
    """Compare at six outputs; return how many of the boxes are less than the image."""
    field = receptive_field(model, shape)
    rows, columns = (n - 1 for n in field.output_size)
    places = [(0, 0), (rows, columns), (rows // 2, columns // 2)]
    places += [(rows // 3, columns // 4), (0, columns), (rows // 2, 3 * columns // 4)]
    boxes = [field.box(place) for place in places]
    assert boxes == measured(model, shape, places)
    return sum(box != (0, shape[2] - 1, 0, shape[3] - 1) for box in boxes)


@each(TRUNKS, EVERYDAY)
def test_trunks_of_classifiers(name):
    torch.manual_seed(0)
    smaller = agree(trunk(name))
    assert smaller or name not in LOCAL


@each(TRUNKS, {"vgg11", "resnet18", "mobilenet_v2"})
def test_classifiers_see_the_whole_image(name):
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    field = receptive_field(getattr(library, name)(weights=None, **extra).eval(), (1, 3, 224, 224))
    # strides without padding, as SqueezeNet's first, leave out the last rows and columns
    last = {"squeezenet1_0": 222, "squeezenet1_1": 222, "inception_v3": 220}.get(name, 223)
    assert field.global_layers and field.box((0, 0)) == (0, last, 0, last)


@each(SEGMENTATION, {"lraspp_mobilenet_v3_large"})
def test_segmentation(name):
    agree(Map(name), (1, 3, 64, 256))


@each(REFUSED, {"swin_t", "vit_b_16"})
def test_attention_is_refused_by_name(name):
    model = getattr(library, name)(weights=None).eval()
    with pytest.raises(NotImplementedError, match=f"no rule for aten.{REFUSED[name]}"):
        receptive_field(model, (1, 3, 224, 224))


#: Other libraries, where they are installed: name -> module, function, its arguments.
PEERS = {
    "timm resnet18": ("timm", "create_model", ["resnet18"], {"features_only": True}),
    "timm convnext_atto": ("timm", "create_model", ["convnext_atto"], {"features_only": True}),
    "timm convnextv2_atto": ("timm", "create_model", ["convnextv2_atto"], {"features_only": True}),
    "timm repvgg_a0": ("timm", "create_model", ["repvgg_a0"], {"features_only": True}),
    "smp Unet": ("segmentation_models_pytorch", "Unet", ["resnet18"], {}),
    "smp FPN": ("segmentation_models_pytorch", "FPN", ["resnet18"], {}),
    "smp Linknet": ("segmentation_models_pytorch", "Linknet", ["resnet18"], {}),
    "smp UnetPlusPlus": ("segmentation_models_pytorch", "UnetPlusPlus", ["resnet18"], {}),
    "monai UNet": ("monai.networks.nets", "UNet", [2, 3, 1, (8, 16, 32), (2, 2)], {}),
    "monai BasicUNet": ("monai.networks.nets", "BasicUNet", [2, 3, 1], {}),
}


class LastMap(nn.Module):
    """The last of several maps."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        y = self.model(x)
        return y[-1] if isinstance(y, list | tuple) else y


@each(PEERS, set())
def test_networks_of_other_libraries(name):
    module, function, arguments, options = PEERS[name]
    make = getattr(pytest.importorskip(module), function)
    if module == "segmentation_models_pytorch":
        options = {**options, "encoder_weights": None}
    agree(LastMap(make(*arguments, **options)).eval(), (1, 3, 128, 256))
