"""ippy: operators, networks and training for a course on learned image reconstruction."""

__version__ = "0.1.0"
