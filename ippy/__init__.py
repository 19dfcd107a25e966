"""ippy: operators, networks and training for a course on learned image reconstruction."""

from ippy import first_edition

__version__ = "0.2.0"
__all__ = ["__version__"]

first_edition.install()
