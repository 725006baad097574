"""Mutation testing of the metric code: small changes, one at a time, and whether a test notices; prints a table.

    python benchmarks/mutants.py --sample 20 --out /tmp/mutants.json [--modules metrics odometer ...]

A mutant is one change in one module: an operator turned round, a number off by one, a condition negated, the least
for the greatest. Each is judged in a child process, in which the module is loaded with the change and the tests that
belong to it run until one fails. *Killed* mutants are noticed; those that *survive* either show a test that is
missing or change nothing (an equivalent mutant), which people must tell apart. Mutants are drawn by a seed, the same
for the same code. Results are kept in OUT as they come: an interrupted run goes on where it stopped.

Left alone: names, texts, types, and functions that only draw pictures.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import importlib.abc
import importlib.util
import io
import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CPU_LIMIT_S = 120
"""A mutant that computes for longer than this hangs, and counts as killed."""
UNCHANGED = -1
"""The place of a mutant that changes nothing: its tests must pass, or they would kill everything."""
DRAWING = {"_draw", "_curves", "save_strip"}

ALONG = "tests/eval/test_reading_along.py"
PLANTED = "tests/eval/test_planted_faults.py"
FAULTS = "tests/eval/test_faults.py"
FROZEN = "tests/eval/test_frozen_figures.py"
PERFECT = "tests/eval/test_real_game_is_perfect.py"
PHYSICS = "tests/eval/test_physics.py"
BY_HAND = "tests/eval/test_laws_by_hand.py"
CONSTANTS = "tests/eval/test_frozen_constants.py"
TESTS: dict[str, tuple[str, ...]] = {
    "metrics": ("tests/eval/test_metrics.py",),
    "eval.ssim": ("tests/eval/test_metrics.py",),
    "eval.intervals": ("tests/eval/test_intervals.py",),
    "eval.odometer": ("tests/eval/test_odometer.py", ALONG),
    "eval.terrain": ("tests/eval/test_odometer.py", ALONG),
    "eval.looks": ("tests/eval/test_horizon.py",),
    "eval.horizon": ("tests/eval/test_horizon.py",),
    "eval.alarms": ("tests/eval/test_alarms.py",),
    "eval.baselines": ("tests/eval/test_card_page.py", FROZEN),
    "eval.milestones": ("tests/eval/test_milestones.py", FROZEN),
    "eval.leaks": ("tests/eval/test_leaks_and_recorded.py",),
    "eval.visual": ("tests/eval/test_visual.py",),
    "eval.perceptual": ("tests/eval/test_visual.py",),
    "eval.control": ("tests/eval/test_odometer.py", FROZEN, PERFECT, FAULTS, PLANTED),
    "eval.drift": (ALONG, FROZEN, PERFECT, PLANTED),
    "eval.rollout": (ALONG, FROZEN, PERFECT, "tests/eval/test_leaks_and_recorded.py", FAULTS, PLANTED),
    "eval.reconstruction": (ALONG, FROZEN, PERFECT, PLANTED),
    "eval.conserved": (BY_HAND, PHYSICS, FROZEN),
    "eval.detector": (BY_HAND, PHYSICS, FROZEN),
    "eval.flight": (BY_HAND, PHYSICS, FROZEN),
    "eval.laws": (BY_HAND, PHYSICS, FROZEN),
    "eval.physics": (BY_HAND, PHYSICS, FROZEN),
    "eval.memory": ("tests/eval/test_memory.py", FROZEN),
    "eval.judged": ("tests/eval/test_judged.py",),
    "eval.paddle": ("tests/eval/test_judged.py",),
    "eval.likeness": ("tests/eval/test_visual.py", FROZEN),
    "eval.long_drift": ("tests/eval/test_horizon.py",),
    "eval.recorded": ("tests/eval/test_leaks_and_recorded.py", "tests/eval/test_judged.py"),
    "eval.recorded_drift": ("tests/eval/test_recorded_drift.py",),
    "eval.scenery": ("tests/eval/test_scenery.py", BY_HAND, PHYSICS, "tests/eval/test_memory.py", FROZEN),
    "eval.others": ("tests/eval/test_others.py",),
    "eval.game": ("tests/eval/test_game_figures.py", "tests/eval/test_judged.py", FROZEN, PERFECT),
}
"""The tests that belong to each module, quick ones first; `CONSTANTS` belongs to all of `worldlet.eval`. One that
is not there is left out."""

COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
COMPUTED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
CALLED = {"min": "max", "max": "min", "any": "all", "all": "any", "argmin": "argmax", "argmax": "argmin", "mean": "sum"}


class Mutant(NamedTuple):
    """One change: the module, the place among all nodes of its tree, the line, and the change in words."""

    module: str
    place: int
    line: int
    change: str


def main() -> None:
    """Judge the mutants that are asked for and print the table and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", nargs="+", default=list(TESTS), help="as in TESTS, with or without 'eval.'")
    parser.add_argument("--sample", type=int, default=20, help="mutants of each module, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0, help="stop after so many; run again to go on")
    parser.add_argument("--out", type=Path, default=Path("mutants.json"))
    arguments = parser.parse_args()
    modules = [name if name in TESTS else f"eval.{name}" for name in arguments.modules]
    if unknown := [name for name in modules if name not in TESTS]:
        parser.error(f"unknown module {unknown[0]}: one of {', '.join(TESTS)}")
    mutants = [mutant for name in modules for mutant in sample(name, arguments.sample, arguments.seed)]
    results: dict[str, str] = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    import_heavy()
    began, sound = time.time(), set[str]()
    for number, mutant in enumerate(mutants):
        if key(mutant) in results:
            continue
        if time.time() - began > 60 * arguments.minutes:
            print(f"stopped after {arguments.minutes:g} minutes: run again to go on", file=sys.stderr)
            break
        if mutant.module not in sound:
            if judge(Mutant(mutant.module, UNCHANGED, 0, "")) != "survived":
                raise SystemExit(f"the tests of {mutant.module} fail without any change: mend them first")
            sound.add(mutant.module)
        results[key(mutant)] = judge(mutant)
        temporary = arguments.out.with_suffix(".part")
        temporary.write_text(json.dumps(results))
        temporary.replace(arguments.out)
        per_mutant = (time.time() - began) / (number + 1)
        print(f"{number + 1}/{len(mutants)} {per_mutant * (len(mutants) - number - 1):.0f} s left", file=sys.stderr)
    print_table(modules, mutants, results)


def import_heavy() -> None:
    """Import what every child needs and no mutant changes, so that a child begins at once."""
    for name in (
        "numpy",
        "torch",
        "torchmetrics.functional.image",
        "PIL.Image",
        "gymnasium",
        "pytest",
        "_pytest.config",
    ):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    sys.path[:0] = [str(ROOT / "src"), str(ROOT), str(ROOT / "tests")]


def sample(module: str, count: int, seed: int) -> list[Mutant]:
    """Return some of a module's mutants, in their order in the file."""
    every = list(find_mutants(module))
    ranked = sorted(every, key=lambda mutant: hashlib.sha256(f"{seed} {mutant}".encode()).digest())
    return sorted(ranked[:count], key=lambda mutant: mutant.place)


def find_mutants(module: str) -> Iterator[Mutant]:
    """Yield every change that `mutate` knows in a module."""
    tree = ast.parse(source_of(module).read_text())
    left_alone = set(_left_alone(tree))
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in left_alone and (change := mutate(node, apply=False)):
            yield Mutant(module, place, getattr(node, "lineno", 0), change)


def _left_alone(tree: ast.Module) -> Iterator[int]:
    """Yield the ids of the nodes of types, of functions that draw, and of strings' formats."""
    for node in ast.walk(tree):
        inside: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef):
            inside = [node] if node.name in DRAWING else [node.returns, *(arg.annotation for arg in node.args.args)]
        elif isinstance(node, ast.AnnAssign):
            inside = [node.annotation]
        elif isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert):
            inside = [node]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):  # names of types
            inside = [node.value] if all(isinstance(t, ast.Name) and t.id[:1].isupper() for t in node.targets) else []
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            inside = [node]
        yield from (id(deep) for top in inside if top is not None for deep in ast.walk(top))


def mutate(node: ast.AST, apply: bool) -> str:
    """Return the change that fits a node, in words, ``""`` where none does; make it where ``apply`` says so."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARED:
        return _swap(node.ops, 0, COMPARED[type(node.ops[0])](), apply)
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in COMPUTED:
        return _set(node, "op", COMPUTED[type(node.op)](), apply)
    if isinstance(node, ast.BoolOp):
        return _set(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And(), apply)
    if isinstance(node, ast.IfExp | ast.If | ast.While):
        return _set(node, "test", ast.UnaryOp(ast.Not(), node.test), apply)
    if isinstance(node, ast.comprehension) and node.ifs:
        return _swap(node.ifs, 0, ast.UnaryOp(ast.Not(), node.ifs[0]), apply)
    if isinstance(node, ast.Call):
        called = node.func
        name = getattr(called, "id", None) or getattr(called, "attr", "")
        if name in CALLED:
            return _set(called, "id" if isinstance(called, ast.Name) else "attr", CALLED[name], apply)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return _set(node, "value", not node.value, apply)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return _set(node, "value", node.value + 1 if isinstance(node.value, int) else 2 * node.value + 0.1, apply)
    return ""


def _set(node: Any, name: str, to: Any, apply: bool) -> str:
    change = f"{_words(getattr(node, name))} -> {_words(to)}"
    if apply:
        setattr(node, name, to)
    return change


def _swap(items: list[Any], place: int, to: Any, apply: bool) -> str:
    change = f"{_words(items[place])} -> {_words(to)}"
    if apply:
        items[place] = to
    return change


def _words(thing: Any) -> str:
    if isinstance(thing, ast.expr):
        return ast.unparse(thing)
    return type(thing).__name__ if isinstance(thing, ast.AST) else str(thing)


def judge(mutant: Mutant) -> str:
    """Return ``killed`` or ``survived``: what the tests of its module say, in a child process."""
    child = os.fork()
    if not child:
        os._exit(_run_tests(mutant))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code in (2, 4, 5):
        raise SystemExit(f"the tests of {mutant.module} could not be run: {', '.join(tests_of(mutant.module))}")
    return "survived" if code == 0 else "killed"


def _run_tests(mutant: Mutant) -> int:
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    os.chdir(ROOT)
    sys.meta_path.insert(0, MutantFinder(mutant))
    tests = [test for test in tests_of(mutant.module) if (ROOT / test).is_file()]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests]))
    return 1 if code == 2 else code  # a mutant that cannot be imported is noticed


class MutantFinder(importlib.abc.MetaPathFinder):
    """Loads one module with its change, and leaves all others to Python."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = f"worldlet.{mutant.module}"

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Claim the module that is changed."""
        if name != self._name:
            return None
        return importlib.util.spec_from_file_location(
            name, source_of(self._mutant.module), loader=_Loader(self._mutant)
        )


class _Loader(importlib.abc.SourceLoader):
    """Compiles a module's tree after the change."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def get_filename(self, name: str) -> str:
        """Return the file that the module comes from."""
        return str(source_of(self._mutant.module))

    def get_data(self, path: str) -> bytes:
        """Return the changed source."""
        tree = ast.parse(source_of(self._mutant.module).read_text())
        if self._mutant.place == UNCHANGED:
            return ast.unparse(tree).encode()
        node = next(node for place, node in enumerate(ast.walk(tree)) if place == self._mutant.place)
        assert mutate(node, apply=True) == self._mutant.change
        return ast.unparse(ast.fix_missing_locations(tree)).encode()


def source_of(module: str) -> Path:
    """Return the file of a module."""
    return ROOT / "src" / "worldlet" / f"{module.replace('.', '/')}.py"


def tests_of(module: str) -> tuple[str, ...]:
    """Return the tests that judge a module's mutants."""
    return (CONSTANTS, *TESTS[module]) if module.startswith("eval.") else TESTS[module]


def key(mutant: Mutant) -> str:
    """Return the name of a mutant among results: the module's code and its tests count in it."""
    files = [source_of(mutant.module), *(ROOT / test for test in tests_of(mutant.module))]
    content = b"".join(path.read_bytes() for path in files if path.is_file())
    return f"{mutant.module}:{mutant.line}:{mutant.place}:{hashlib.sha256(content).hexdigest()[:16]}"


def print_table(modules: Sequence[str], mutants: Sequence[Mutant], results: dict[str, str]) -> None:
    """Print killed and judged mutants of each module, and all survivors."""
    judged = [(mutant, results[key(mutant)]) for mutant in mutants if key(mutant) in results]
    print("| module | mutants | judged | killed | score |\n|---|---|---|---|---|")
    for name in [*modules, "all"]:
        verdicts = [verdict for mutant, verdict in judged if name in (mutant.module, "all")]
        every = sum(len(list(find_mutants(module))) for module in modules if name in (module, "all"))
        killed = verdicts.count("killed")
        share = f"{killed / len(verdicts):.2f}" if verdicts else "-"
        print(f"| `{name}` | {every} | {len(verdicts)} | {killed} | {share} |")
    for mutant, verdict in judged:
        if verdict == "survived":
            print(f"survived: {mutant.module} line {mutant.line}: {mutant.change}")


if __name__ == "__main__":
    main()
