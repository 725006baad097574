"""The worlds that ship with the package: one folder each, beside this file."""

from __future__ import annotations

from pathlib import Path

from worldlet.manifest import MANIFEST_NAME


def shipped_worlds() -> dict[str, Path]:
    """Return the folder of every shipped world by its name, sorted by name."""
    folders = sorted(path.parent for path in Path(__file__).parent.glob(f"*/{MANIFEST_NAME}"))
    return {folder.name: folder for folder in folders}
