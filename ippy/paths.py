"""Where samples, weights, results and the cache are: in a checkout, and in an installed package.

In a checkout the trained networks stand in ``weights`` beside the package. ``pip install`` puts
the same folder among the data files of the place it installs to, whichever that is.
"""

import os
from pathlib import Path

import platformdirs

__all__ = [
    "SAMPLES", "WEIGHTS", "cache_dir", "in_checkout", "output_dir", "restore", "result_file",
    "weight_file",
]  # fmt: skip

# Links are not followed: some installers link every file to a store that has no data files.
_PACKAGE = Path(__file__).absolute().parent
#: Place of the weights among the data files, as ``pyproject.toml`` says it.
_INSTALLED = Path("share") / "ippy" / "weights"


def in_checkout() -> bool:
    """Whether the package is used from its source folder, where its weights may be renewed."""
    return (_PACKAGE.parent / "pyproject.toml").is_file() and (_PACKAGE.parent / "book").is_dir()


def _find_weights() -> Path:
    """The folder of the weight files: the checkout's, or where installers put data files.

    Data files stand some folders above the package, how many depends on system and scheme (an
    environment, ``--user``, ``--target``, ``--prefix``). The nearest were installed with it; asking
    the interpreter could find those of another version.
    """
    if in_checkout():
        return _PACKAGE.parent / "weights"
    places = [folder / _INSTALLED for folder in _PACKAGE.parents]
    return next((place for place in places if place.is_dir()), places[0])


#: Folder of the sample images, which are part of the package.
SAMPLES = _PACKAGE / "samples"
#: Folder of the weight files that come with the book, ``results`` of the studies included. Nothing
#: is written there unless somebody names it, or this is a checkout.
WEIGHTS = _find_weights()


def output_dir() -> Path:
    """Where new weights and results go: the checkout's ``weights``, else one in this folder."""
    return WEIGHTS if in_checkout() else Path.cwd() / "weights"


def weight_file(key: str) -> Path:
    """The weight file of a network: that of the book, else one trained here, which may not exist.

    Args:
        key: Name of the file without its suffix, such as ``"UNet"``.
    """
    return _shipped_or_own(f"{key}.pth")


def result_file(study: str) -> Path:
    """The stored result of a study: that of the book, else one made here, which may not exist."""
    return _shipped_or_own(f"results/{study}.json")


def _shipped_or_own(name: str) -> Path:
    shipped = WEIGHTS / name
    return shipped if shipped.is_file() else output_dir() / name


def cache_dir() -> Path:
    """The user's cache folder: ``IPPY_CACHE``, else ``ippy`` in the system's own place.

    Returns:
        Path of the folder, which need not exist yet.
    """
    if os.environ.get("IPPY_CACHE"):
        return Path(os.environ["IPPY_CACHE"]).expanduser()
    return platformdirs.user_cache_path("ippy", appauthor=False, opinion=False)


def restore() -> str:
    """What this user can do to have the shipped files back, as the end of a sentence."""
    if not in_checkout():
        return (
            "install ippy again, with 'pip install --force-reinstall --no-deps' and the folder, "
            "address or file it came from"
        )
    if (_PACKAGE.parent / ".git").exists():
        return "restore it with 'git checkout weights'"
    return "copy the folder 'weights' of the book anew"
