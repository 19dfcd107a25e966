"""Where samples, weights, results and the cache are: in a checkout, and in an installed package.

In a checkout the trained networks stand in ``weights`` beside the package. ``pip install`` puts
the same folder among the data files of the environment.
"""

import os
import site
import sysconfig
from pathlib import Path

import platformdirs

__all__ = ["SAMPLES", "WEIGHTS", "cache_dir", "in_checkout", "output_dir", "restore"]

_PACKAGE = Path(__file__).resolve().parent
#: Place of the weights among the data files of an environment, as ``pyproject.toml`` says it.
_INSTALLED = Path("share") / "ippy" / "weights"


def in_checkout() -> bool:
    """Whether the package is used from its source folder, where its weights may be renewed."""
    return (_PACKAGE.parent / "pyproject.toml").is_file() and (_PACKAGE.parent / "book").is_dir()


def _find_weights() -> Path:
    """The folder of the weight files: the checkout's, or where installers put data files."""
    if in_checkout():
        return _PACKAGE.parent / "weights"
    schemes = [Path(sysconfig.get_path("data")), Path(site.getuserbase()), _PACKAGE.parent]
    places = [scheme / _INSTALLED for scheme in schemes]
    return next((place for place in places if place.is_dir()), places[0])


#: Folder of the sample images, which are part of the package.
SAMPLES = _PACKAGE / "samples"
#: Folder of the weight files that come with the book, ``results`` of the studies included.
WEIGHTS = _find_weights()


def output_dir() -> Path:
    """Where new weights are stored: the checkout's folder, else ``weights`` where one stands."""
    return WEIGHTS if in_checkout() else Path.cwd() / "weights"


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
        return "install the package again with 'pip install --force-reinstall --no-deps'"
    if (_PACKAGE.parent / ".git").exists():
        return "restore it with 'git checkout weights'"
    return "copy the folder 'weights' of the book anew"
