"""Complete training runs by name, one YAML file each: what `worldlet train DATA --out RUN --recipe NAME` reads."""

from __future__ import annotations

from pathlib import Path

from worldlet.manifest import suggestion


def recipes() -> dict[str, Path]:
    """Return the file of every recipe by its name, sorted by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """Return the file of a recipe. Raises ValueError for an unknown name, with the nearest one and the whole list."""
    known = recipes()
    if name not in known:
        raise ValueError(f"there is no recipe {name!r}{suggestion(name, known)}: the recipes are {', '.join(known)}")
    return known[name]
