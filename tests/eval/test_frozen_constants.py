"""What decides a figure beside the code: sizes, distances and times, frozen with the suite.

A card measured with others cannot be compared with those that were measured before. Whoever means to change one writes
``frozen_constants.json`` anew (``python -m tests.eval.test_frozen_constants``) and measures every shipped world again.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
from pathlib import Path
from typing import Any

from worldlet import eval as parts
from worldlet.eval import bench

FROZEN = Path(__file__).with_name("frozen_constants.json")
LEFT_OUT = ("ahead", "pictures")
"""How many cores there are, and what only pictures look like."""


def constants() -> dict[str, Any]:
    """Return the numbers, and rows and tables of numbers, that the modules of `worldlet.eval` name in capitals."""
    found: dict[str, Any] = {size.name: vars(size) for size in (bench.QUICK, bench.FULL)}
    for module in pkgutil.iter_modules(parts.__path__, "worldlet.eval."):
        name = module.name.removeprefix("worldlet.eval.")
        if name in LEFT_OUT:
            continue
        content = importlib.import_module(module.name)
        for node in ast.parse(inspect.getsource(content)).body:
            for target in node.targets if isinstance(node, ast.Assign) else ():
                for part in ast.walk(target):
                    if isinstance(part, ast.Name) and part.id.isupper() and numeric(value := vars(content)[part.id]):
                        found[f"{name}.{part.id}"] = value
    return dict(json.loads(json.dumps(found)))


def numeric(value: Any) -> bool:
    """Tell whether a value is a number, or a row or a table of numbers."""
    rows = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else None
    return isinstance(value, int | float) if rows is None else all(map(numeric, rows))


def test_no_number_of_the_suite_changes_unnoticed() -> None:
    assert constants() == json.loads(FROZEN.read_text())


if __name__ == "__main__":
    FROZEN.write_text(json.dumps(constants(), indent=0, sort_keys=True) + "\n")
