"""Code written for the first edition: its modules and names are found where they stand today."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest
import torch

import ippy
from ippy import first_edition

#: ``__all__`` of all modules of the first edition; of ``residual``, without one, what pages used.
MOVED = {
    "ippy.data": "KINDS SAMPLE_IMAGES SPLIT_SEEDS MayoDataset SyntheticDataset cache_dir "
    "materialise read_grey sample_image",
    "ippy.live": "LiveView",
    "ippy.phantoms": "GENERATOR_VERSION dead_leaves thorax",
    "ippy.reach": "Axis Node label operation pair",
    "ippy.recipes": "KERNEL NOISE_LEVEL RECIPES SHAPE Recipe identity_init task_operator",
    "ippy.studies.family": "ANGLES H_EDGES CONTRASTS LENGTHS NOISE_LEVELS SEEDS WORLDS "
    "error_by_frequency insert_vessels inside live_channels method with_mean_attention "
    "without_level",
    "ippy.studies.networks": "BUILDERS RATES STEPS UpBlockWithoutSkip build ranges trained",
    "ippy.studies.residual": "Chain DeepChain gradient_norms LAMBDAS",
    "ippy.studies.width": "DILATIONS TASKS Corrector best_linear linear_psnr pairs runs",
}
STAYED = {
    "ippy.utilities": "atomic_write gaussian_noise generator_for get_device load_image "
    "plot_history set_seed show_images",
    "ippy.evaluation": "baselines classical_method evaluate held_out_images held_out_metrics "
    "measure reconstruct",
    "ippy.weights": "WEIGHTS_DIR load machine read_card readme save verify",
    "ippy.training": "fast_path load_or_train train train_and_save train_recipe",
    "ippy.receptive_field": "Box ReceptiveField effective measured receptive_field recursion",
    "ippy.studies": "KINDS STUDIES Chain DeepChain gradient_norms result run",
    "ippy.metrics": "mse psnr relative_error ssim",
    "ippy.classical": "tikhonov total_variation",
    "ippy.operators": "Blurring CTProjector DownScaling Gradient Operator gaussian_kernel "
    "motion_kernel operator_norm",
    "ippy.models": "AttentionGate AttentionUNet AttentionUpBlock DoubleConv DoubleConv3d "
    "DownBlock DownBlock3d ResCNN ResidualDoubleConv ResidualUNet SimpleCNN SimpleUNet UNet3D "
    "UNetPP UpBlock UpBlock3d",
}
NAMES = [(old, name) for old, names in (MOVED | STAYED).items() for name in names.split()]
MODULES = [m.name for m in pkgutil.walk_packages(ippy.__path__, "ippy.")]
MODULES.remove("ippy.__main__")


def python(code: str) -> str:
    """What a Python of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_these_are_the_modules_that_moved():
    assert set(first_edition.MOVED) == set(MOVED)
    assert set(STAYED) <= set(MODULES) and not set(MOVED) & set(MODULES)


@pytest.mark.parametrize("old", MOVED)
def test_an_old_module_is_imported_in_either_way(old):
    package, _, name = old.rpartition(".")
    space: dict = {}
    exec(f"import {old}\nfrom {package} import {name} as found\nsame = {old} is found", space)
    assert space["same"] and space["found"] is sys.modules[old]
    assert space["found"].__name__ == old
    assert all(new in space["found"].__doc__ for new in first_edition.MOVED[old])


@pytest.mark.parametrize(("old", "name"), NAMES)
def test_an_old_name_is_the_object_of_today(old, name):
    found = getattr(importlib.import_module(old), name)
    space: dict = {}
    exec(f"from {old} import {name}", space)
    assert not inspect.ismodule(found)
    assert space[name] is found or (old, name) in first_edition.RENAMED
    if hasattr(found, "__qualname__"):  # a class or function: of a module that there is
        home = importlib.import_module(found.__module__)
        assert found.__module__ in MODULES and getattr(home, found.__qualname__) is found
    if old in MOVED and (old, name) not in first_edition.RENAMED:
        places = [importlib.import_module(new) for new in first_edition.MOVED[old]]
        assert any(getattr(place, name, None) is found for place in places)


@pytest.mark.parametrize("old", [*MOVED, "ippy.weights"])
def test_a_name_that_never_was_is_an_attribute_error(old):
    module = importlib.import_module(old)
    with pytest.raises(AttributeError, match=f"module '{old}' has no attribute 'nonsense'"):
        module.nonsense  # noqa: B018
    assert not hasattr(module, "__nonsense__")
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec(f"from {old} import nonsense")


def test_a_module_that_never_was_is_not_found():
    for name in ("ippy.nonsense", "ippy.data.nonsense", "data"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_sample_images_are_a_tuple_of_names():
    from ippy import data

    assert data.SAMPLE_IMAGES == ("thorax", "camera", "cat", "abdomen_mr")


def test_networks_of_studies_are_built_and_found_as_before():
    from ippy.studies import family, networks

    assert {"UNet", "UNet, two poolings", "UNet, ranges"} <= set(networks.BUILDERS)
    assert type(networks.BUILDERS["ResCNN"]()).__name__ == "ResCNN"
    assert networks.RATES == (3e-4, 1e-3, 3e-3) and networks.STEPS > 0
    y = torch.rand(1, 1, 16, 16)
    assert torch.equal(family.method("measurement", 0)(y), y)
    assert type(family.method("ResCNN", "shipped")).__name__ == "ResCNN"


def test_the_study_of_width_is_found_in_that_of_fields(monkeypatch):
    from ippy.studies import fields, width

    assert width.DILATIONS[15] == (1,) * 7 and width.TASKS is fields.TASKS
    body = torch.nn.Conv2d(1, 1, 3, padding=1)
    assert torch.equal(width.Corrector(body)(x := torch.rand(1, 1, 8, 8)), x)
    monkeypatch.setattr(fields, "filtered", lambda task, w: [w, w + 2.0])
    assert width.linear_psnr("noise", (3, 5)) == {3: 4, 5: 6}


def test_the_table_of_weights_has_its_old_name():
    from ippy import report, weights

    assert weights.readme is report.weights_table
    assert "| `UNet` |" in weights.readme()


def test_old_modules_cost_nothing_before_they_are_used():
    code = "import sys; import {}; print(*(m for m in sys.modules if m in {}))"
    heavy = ("torch", "numpy", "ippy.datasets", "ippy.training", "ippy.networks", "ippy.studies")
    assert python(code.format("ippy", heavy)) == ""
    for old in [name for name in MOVED if "studies" not in name]:
        assert python(code.format(old, heavy)) == "", old
    assert "ippy.datasets" in python(code.format("ippy; from ippy.data import KINDS", heavy))


def test_inspect_sees_old_modules_and_what_they_hold():
    from ippy import data, recipes

    assert inspect.ismodule(data) and inspect.getdoc(data).startswith("Now in ippy.datasets")
    assert inspect.getsource(data.SyntheticDataset).startswith("class SyntheticDataset(Dataset)")
    assert inspect.signature(recipes.Recipe).parameters["model"]
    assert inspect.getmodule(data.read_grey).__name__ == "ippy.images"
    assert inspect.getmodule(inspect.currentframe()) is sys.modules[__name__]  # asks all modules


def test_code_of_the_first_edition_runs():
    from ippy.data import SyntheticDataset, materialise
    from ippy.recipes import RECIPES, task_operator

    from ippy import evaluation, operators, utilities

    images = materialise(SyntheticDataset(2, 64, split="test"), cache=False)
    K = task_operator((64, 64))
    assert isinstance(K, operators.Blurring)
    table = evaluation.evaluate({"UNet": RECIPES["UNet"].build()}, images, K)
    y = K(images / 255)
    assert len(table["UNet"]["psnr"]) == 2 and utilities.gaussian_noise(y, 0.01).shape == y.shape
    assert torch.is_tensor(evaluation.measure(images / 255, K))
