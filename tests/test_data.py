"""Images: the folder of slices, the procedural images, the cache, the samples."""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset

from ippy import datasets, paths
from ippy.datasets import MayoDataset, SyntheticDataset, cache, materialise
from ippy.datasets.phantoms import GENERATORS
from ippy.images import SAMPLES, read_grey, sample_image

IMGS = Path(__file__).resolve().parents[1] / "imgs"


@pytest.fixture
def mayo(tmp_path) -> Path:
    """Two patients with RGBA slices of 40x40 pixels, grey 10, 20, 30; alpha is noise."""
    rng = np.random.default_rng(0)
    for grey, name in ((30, "C009/0.png"), (10, "C002/0.png"), (20, "C002/1.png")):
        pixels = np.full((40, 40, 4), grey, np.uint8)
        pixels[..., 3] = rng.integers(0, 256, (40, 40))
        (tmp_path / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "train" / name)
    return tmp_path / "train"


# --- procedural images ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", datasets.KINDS)
@pytest.mark.parametrize("shape", [16, 64, (33, 50), (90, 31)])
def test_synthetic_shape_type_and_range(kind, shape):
    height, width = (shape, shape) if isinstance(shape, int) else shape
    for x in SyntheticDataset(3, shape, kind=kind):
        assert x.shape == (1, height, width) and x.dtype == torch.float32
        assert x.min() >= 0 and x.max() <= 1 and x.std() > 0.01


@pytest.mark.parametrize("kind", datasets.KINDS)
def test_synthetic_depends_on_seed_and_index_only(kind):
    dataset = SyntheticDataset(4, 48, kind=kind, seed=7)
    forward = [dataset[i] for i in range(4)]
    backward = [SyntheticDataset(9, 48, kind=kind, seed=7)[i] for i in (3, 2, 1, 0)][::-1]
    np.random.seed(1)  # noqa: NPY002  the global generators must not matter
    torch.manual_seed(1)
    in_workers = list(DataLoader(dataset, batch_size=None, num_workers=2))
    for a, b, c in zip(forward, backward, in_workers, strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)
    assert not torch.equal(forward[0], forward[1])
    assert torch.equal(dataset[-1], forward[3])


def test_synthetic_splits_and_seeds_share_no_image():
    assert len(set(datasets.SPLIT_SEEDS.values())) == 3
    images = [
        SyntheticDataset(3, 32, split=split, seed=seed)[i].numpy().tobytes()
        for split in datasets.SPLIT_SEEDS
        for seed in (0, 1, 2)
        for i in range(3)
    ]
    assert len(set(images)) == 27


@pytest.mark.parametrize("version", GENERATORS)
def test_mixed_holds_all_kinds(version):
    mixed = SyntheticDataset(60, 16, version=version)
    counts = []
    for kind in GENERATORS[version]:
        family = SyntheticDataset(60, 16, kind=kind, version=version)
        counts.append(sum(torch.equal(mixed[i], family[i]) for i in range(60)))
    assert sum(counts) == 60, "each image is of one kind"
    assert min(counts) >= 30 / len(counts)


def test_thorax_looks_like_a_slice():
    x = torch.stack(list(SyntheticDataset(12, 96, kind="thorax", version=2)))
    black = (x < 0.02).float()
    assert 0.15 < black.mean() < 0.6
    assert black[..., :6, :6].mean() > 0.5  # air in the corner
    assert x[..., 60:85, 40:56].amax((1, 2, 3)).min() > 0.4  # the spine is bright


def test_dead_leaves_are_scale_free_and_occlude():
    x = torch.stack(list(SyntheticDataset(6, 96, kind="dead_leaves", version=2)))
    step = (x[..., 1:] - x[..., :-1]).abs()
    assert (step < 0.02).float().mean() > 0.25  # flat inside the leaves ...
    assert (step > 0.2).float().mean() > 0.01  # ... with sharp edges between them


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "dogs"}, "unknown kind 'dogs'; choose one of mixed, dead_leaves, thorax"),
        ({"kind": "landscape", "version": 2}, "unknown kind 'landscape'; .* in version 2"),
        ({"version": 1}, "unknown version 1; choose one of 2, 3"),
        ({"noise": False, "version": 2}, "noise=False needs version=3"),
        ({"split": "all"}, "unknown split 'all'; choose one of train, val, test"),
        ({"n_images": 0}, "n_images is 0"),
        ({"seed": 2**32}, r"seed 4294967296; expected .* 0 to 2\*\*32 - 1"),
        ({"data_shape": 8}, "data_shape is 8; expected at least 16"),
        ({"data_shape": (64, 0)}, r"shape is \(64, 0\); expected a positive int or a pair"),
        ({"data_shape": 64.0}, "shape is 64.0; expected"),
    ],
)
def test_synthetic_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        SyntheticDataset(**{"n_images": 2, **arguments})


def test_synthetic_ends():
    with pytest.raises(IndexError, match="image 2 of a data set of 2"):
        SyntheticDataset(2, 16)[2]
    assert len(list(SyntheticDataset(2, 16))) == 2  # a loop ends at that error


# --- folders and files ----------------------------------------------------------------------


def test_mayo_reads_rgba_in_sorted_order(mayo):
    dataset = MayoDataset(mayo, (24, 17))
    assert len(dataset) == 3
    for x, grey in zip(dataset, (10, 20, 30), strict=True):
        assert x.shape == (1, 24, 17) and x.dtype == torch.float32
        torch.testing.assert_close(x, torch.full_like(x, grey / 255))  # alpha ignored


def test_mayo_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere' does not exist; .*SyntheticDataset"):
        MayoDataset(tmp_path / "nowhere", 32)


def test_mayo_folder_without_png(mayo):
    with pytest.raises(
        FileNotFoundError, match=r"C002' holds no file \*/\*\.png; .*one level above"
    ):
        MayoDataset(mayo / "C002", 32)


def test_truncated_and_foreign_files_are_named(mayo):
    rng = np.random.default_rng(0)
    file = mayo / "C002" / "0.png"
    Image.fromarray(rng.integers(0, 256, (200, 200), np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:20_000])
    (mayo / "C002" / "1.png").write_text("not an image")
    dataset = MayoDataset(mayo, 32)
    for index in (0, 1):
        with pytest.raises(
            OSError, match=rf"cannot read the image .*{index}\.png.* copy or download"
        ):
            dataset[index]
    with pytest.raises(OSError, match=r"^cannot read the image .*0\.png") as found:
        materialise(dataset, cache=False, workers=1)  # a worker's words, without its traceback
    assert "\n" not in str(found.value)
    with pytest.raises(FileNotFoundError, match=r"no image file .*gone\.png'; check the path"):
        read_grey(mayo / "gone.png")


def test_read_grey_modes(tmp_path):
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(8, 0)
    eight, sixteen = (ramp * 255).round().astype(np.uint8), (ramp * 65535).round().astype(np.uint16)
    images = {
        "L": Image.fromarray(eight),
        "LA": Image.merge("LA", [Image.fromarray(eight), Image.new("L", (64, 8), 3)]),
        "P": Image.fromarray(eight).convert("P"),
        "RGB": Image.fromarray(eight).convert("RGB"),
        "16": Image.fromarray(sixteen),
    }
    for name, image in images.items():
        image.save(tmp_path / f"{name}.png")
        x = read_grey(tmp_path / f"{name}.png")
        assert x.shape == (1, 8, 64) and x.dtype == torch.float32
        assert (x - torch.from_numpy(ramp)).abs().max() < (1e-5 if name == "16" else 0.003), name


def test_read_grey_resizes_without_aliasing(tmp_path):
    stripes = np.tile(np.array([[0, 255, 0, 0]], np.uint8), (64, 16))  # finer than the result
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    x = read_grey(tmp_path / "stripes.png", 16)
    assert x.shape == (1, 16, 16) and (x[..., 2:-2] - 0.25).abs().max() < 0.02


# --- in memory and on disk ------------------------------------------------------------------


def test_materialise_rounds_to_bytes(own_cache):
    dataset = SyntheticDataset(5, (20, 31))
    images = materialise(dataset)
    assert images.shape == (5, 1, 20, 31) and images.dtype == torch.uint8
    assert (images / 255 - torch.stack(list(dataset))).abs().max() <= 0.5 / 255 + 1e-6


def test_materialise_is_the_same_in_workers():
    dataset = SyntheticDataset(40, 16)
    here = materialise(dataset, cache=False, workers=0)
    assert torch.equal(here, materialise(dataset, cache=False, workers=2))


def test_failing_workers_fall_back(monkeypatch):
    render, used = cache._render, []

    def broken(dataset, workers):
        used.append(workers)
        if workers:
            raise RuntimeError("DataLoader worker exited unexpectedly")
        return render(dataset, workers)

    monkeypatch.setattr(cache, "_render", broken)
    with pytest.warns(UserWarning, match="worker processes failed .*continuing in one"):
        assert len(materialise(SyntheticDataset(3, 16), cache=False, workers=2)) == 3
    assert used == [2, 0]


@pytest.mark.parametrize("daemon", [False, True])
def test_without_processes_to_be_had_images_are_made_here(monkeypatch, daemon):
    render, used = cache._render, []

    def starved(dataset, workers):
        used.append(workers)
        if workers:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return render(dataset, workers)

    monkeypatch.setattr(cache, "_render", starved)
    if daemon:  # such as the processes of multiprocessing.Pool
        monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
        images = materialise(SyntheticDataset(2, 16), cache=False, workers=2)
    else:
        with pytest.warns(UserWarning, match="temporarily unavailable.*continuing in one"):
            images = materialise(SyntheticDataset(2, 16), cache=False, workers=2)
    assert used == ([0] if daemon else [2, 0]) and len(images) == 2


def test_an_image_that_cannot_be_read_is_no_fault_of_the_workers(monkeypatch):
    def unreadable(dataset, workers):
        raise OSError("cannot read the image 0.png")

    monkeypatch.setattr(cache, "_render", unreadable)
    with pytest.raises(OSError, match="0.png"):
        materialise(SyntheticDataset(2, 16), cache=False, workers=0)


def test_integers_of_numpy_are_integers(own_cache):
    plain = SyntheticDataset(2, 16, seed=3)
    numpy = SyntheticDataset(np.int64(2), 16, seed=np.int64(3))
    assert torch.equal(materialise(numpy), materialise(plain))
    assert len(list(own_cache.glob("images-*"))) == 1
    with pytest.raises(TypeError):
        SyntheticDataset(2.5, 16)


def test_second_call_reads_the_file(own_cache, monkeypatch):
    dataset = SyntheticDataset(4, 24)
    first = materialise(dataset)
    assert [f.suffix for f in own_cache.iterdir()] == [".npz"]  # no temporary file is left
    monkeypatch.setattr(cache, "_render", lambda *_: pytest.fail("made again"))
    assert torch.equal(first, materialise(SyntheticDataset(4, 24)))


@pytest.mark.parametrize("damage", ["truncated", "one byte", "empty", "other images"])
def test_damaged_cache_is_made_again(own_cache, damage):
    dataset = SyntheticDataset(4, 24)
    first = materialise(dataset)
    (file,) = own_cache.iterdir()
    good = file.read_bytes()
    if damage == "other images":
        np.savez(file, images=np.zeros((2, 1, 24, 24), np.uint8))
    else:
        flipped = good[:1000] + bytes([good[1000] ^ 255]) + good[1001:]
        file.write_bytes({"truncated": good[:900], "one byte": flipped, "empty": b""}[damage])
    assert file.read_bytes() != good
    assert torch.equal(first, materialise(dataset))
    assert cache._read_cache(file, 4) is not None  # and repaired


def test_cache_key_holds_what_the_images_depend_on(own_cache, mayo):
    variants = [
        {}, {"n_images": 3}, {"data_shape": 17}, {"data_shape": (16, 17)}, {"seed": 1},
        {"split": "val"}, {"kind": "thorax"}, {"version": 2}, {"noise": False},
    ]  # fmt: skip
    for arguments in variants:
        materialise(SyntheticDataset(**{"n_images": 2, "data_shape": 16, **arguments}))
    assert len(list(own_cache.iterdir())) == len(variants)
    before = materialise(MayoDataset(mayo, 16))
    Image.new("L", (40, 40), 200).save(mayo / "C002" / "0.png")
    after = materialise(MayoDataset(mayo, 16))
    assert before[0].max() == 10 and after[0].min() == 200


class Inverted(SyntheticDataset):
    """Other images than its parent's, of which the inherited key says nothing."""

    def __getitem__(self, index):
        return 1 - super().__getitem__(index)


def test_a_class_does_not_inherit_the_cached_images_of_its_parent(own_cache):
    plain, inverted = SyntheticDataset(2, 16), Inverted(2, 16)
    for wrap in (lambda images: images, datasets.FinePictures):
        first = materialise(wrap(inverted))  # made first, lest the parent take these for its own
        second = materialise(wrap(plain))
        if wrap is datasets.FinePictures:
            assert torch.equal(first, second)  # the fine pictures are the parent's
        else:
            assert torch.equal(first, 255 - second)
    assert cache.key_of(inverted) is cache.key_of(datasets.FinePictures(inverted)) is None
    assert len(list(own_cache.glob("images-*"))) == 2


def test_interrupted_write_leaves_the_old_file(own_cache, monkeypatch):
    dataset = SyntheticDataset(2, 16)
    first = materialise(dataset)
    (file,) = own_cache.iterdir()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="cannot cache the images: .*No space left"):
        cache._write_cache(file, first + 1)
    assert list(own_cache.iterdir()) == [file] and torch.equal(cache._read_cache(file, 2), first)


def test_without_a_key_nothing_is_cached(own_cache):
    assert len(materialise(Subset(SyntheticDataset(4, 16), [1, 3]))) == 2
    assert not own_cache.exists()


# --- sample images --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_images(name):
    x = sample_image(name)
    assert x.shape == (1, 1, 256, 256) and x.dtype == torch.float32
    assert x.min() >= 0 and x.max() <= 1 and x.std() > 0.1
    assert sample_image(name, (40, 63)).shape == (1, 1, 40, 63)


def test_unknown_sample_image():
    with pytest.raises(
        ValueError, match="unknown sample image 'dog'; choose one of thorax, camera"
    ):
        sample_image("dog")


@pytest.mark.parametrize("folder", [paths.SAMPLES, IMGS], ids=["samples", "imgs"])
def test_every_picture_has_its_origin_written_down(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    files = sorted(folder.glob("*.png"))
    assert files and [file.name for file in files if f"`{file.name}`" not in text] == []


def test_sample_images_are_small_grey_files_without_comments():
    files = sorted(paths.SAMPLES.glob("*.png"))
    assert {file.stem for file in files} == set(SAMPLES)
    for file in files:
        with Image.open(file) as image:
            assert image.mode == "L" and max(image.size) <= 512 and not image.info, file.name
