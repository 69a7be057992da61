"""The one place of the version: the wheel, ``xda --version``, ``GET /version`` and each run's record read it."""

__version__ = "0.1.0"
