"""``python -m worldlet`` is the same as the command ``worldlet``."""

from worldlet.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
