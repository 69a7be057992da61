"""The version; the wheel, ``xda --version``, ``GET /version`` and each run's record read it here."""

__version__ = "0.1.0"
