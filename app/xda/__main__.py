"""``python -m xda`` is ``xda``."""

from xda.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
