"""The whole suite: every part in turn, kept as it is done, and the card at the end."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

from worldlet.eval import (
    baselines,
    control,
    drift,
    game,
    intervals,
    judged,
    long_drift,
    memory,
    milestones,
    others,
    physics,
    reconstruction,
    recorded_drift,
    rollout,
    snapshot,
    speed,
)
from worldlet.eval.alarms import alarms
from worldlet.eval.bench import FULL, QUICK, Bench, Dreamer, Size
from worldlet.eval.card import FORMAT, PAGE_NAME, write_card
from worldlet.eval.gold import CONTEXT, FIRST_SEED, Gold, load_gold
from worldlet.eval.leaks import leaks_figure
from worldlet.eval.parts import Part, measure_part, progress
from worldlet.eval.reading import GameReader, reader_for
from worldlet.eval.real import RealSession
from worldlet.eval.recorded import RecordedSuite, load_recorded
from worldlet.eval.surroundings import surroundings
from worldlet.eval.visual import Networks, find_networks
from worldlet.manifest import CARD_NAMES, WorldManifest, write_atomic

if TYPE_CHECKING:
    from worldlet.dynamics.inverse import InverseDynamics


JUDGE_FRAMES = 36_000
"""Real frames that the judge of a recorded suite learns from at most."""


@dataclass(frozen=True)
class EvalConfig:
    """What ``worldlet eval`` is told."""

    world: str = "platformer"
    """shipped name, world folder or RUN"""
    out: Path = Path("card")
    """folder for card.json, card.md and pictures"""
    quick: bool = False
    """a few minutes instead of all of the suite"""
    backend: Literal["onnx", "torch"] = "onnx"
    """what runs the networks"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where they run"""
    attach: bool = False
    """put card.json and card.md into the world's own folder as well"""
    fvd_network: Path | None = None
    """TorchScript file of the I3D network that FVD is defined by, for those who have it"""
    data: Path | None = None
    """data set of the training: nothing in it may meet the suite; where no suite is frozen, its test split is one"""
    judge_steps: int = 4500
    """steps to train the inverse-dynamics judge of a game without a frozen suite, about two minutes on two cores"""
    judge_minutes: float | None = None
    """time to train it for, whatever judge_steps says: then two cards of a world differ in the judge's figures too"""
    rollouts: Path | None = None
    """folder of another system's frames: these are scored, by the same code, in place of a world (docs/card.md)"""


def _drift(bench: Bench) -> ModuleType:
    """Return what measures drift: a player who reads the game where there is one, recorded plays elsewhere."""
    return recorded_drift if isinstance(bench.gold, RecordedSuite) else drift


PARTS = {
    "reconstruction": Part(reconstruction.work, reconstruction.measure, True, False),
    "rollout": Part(rollout.work, rollout.measure, True, False),
    "control": Part(control.work, control.measure, True, True),
    "drift": Part(lambda b: _drift(b).work(b), lambda b: _drift(b).measure(b), True, True, spares_reader=True),
    "physics": Part(physics.work, physics.measure, True, True),
    "memory": Part(memory.work, memory.measure, True, True),
    "long_drift": Part(long_drift.work, long_drift.measure, True, True, full_only=True),
    "judged": Part(judged.work, judged.measure, True, False, needs_recorded=True),
    "game": Part(game.work, game.measure, True, False),
    "snapshot": Part(snapshot.work, snapshot.measure, False, False),
    "speed": Part(speed.work, speed.measure, False, False),
}


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Measure a world on the frozen suite, write the card (JSON, Markdown, HTML) and ``pictures/`` and return it.

    An interrupted run goes on where it stopped, unless world, suite or code have changed. Raises WorldError for a
    world that cannot be loaded and ImportError where the training extra is missing.
    """
    _require_extra()
    if config.rollouts is not None:
        return evaluate_rollouts(config, config.rollouts)
    from worldlet.engine.engine import load

    # One thread for each of the runs that go on side by side (`eval.ahead`): none waits for another's threads.
    engine = load(config.world, device=config.device, backend=config.backend, threads=1)
    size = QUICK if config.quick else FULL
    frozen, reader = load_gold(engine.manifest.env_id), reader_for(engine.manifest.env_id)
    gold: Gold | RecordedSuite | None = frozen
    leaks = None if config.data is None else leaks_figure(config.data, frozen)
    if gold is None and config.data is not None:
        gold = load_recorded(config.data, size.plays, size.rollouts)
    Path(config.out).mkdir(parents=True, exist_ok=True)
    options = " --quick" if config.quick else ""
    networks = find_networks(config.fvd_network, engine.manifest.frame_size)
    options += "" if config.fvd_network is None else f" --fvd_network {config.fvd_network}"
    options += "" if config.data is None else f" --data {config.data}"
    options += "" if config.backend == "onnx" else f" --backend {config.backend}"
    options += "" if config.device == "auto" else f" --device {config.device}"
    options += "" if config.judge_minutes is None else f" --judge_minutes {config.judge_minutes:g}"
    if config.judge_minutes is None and config.judge_steps != EvalConfig.judge_steps:
        options += f" --judge_steps {config.judge_steps}"
    command = f"worldlet eval {config.world} --out {config.out}{options}"
    judge = None if _misfit(engine.manifest, gold) else _judge(config, gold)
    card = measure_world(engine, gold, reader, size, Path(config.out), engine.folder, command, networks, leaks, judge)
    if config.attach:
        for name in CARD_NAMES:
            write_atomic(engine.folder / name, (Path(config.out) / name).read_bytes())
    for line in baselines.warnings(card):
        print(f"! {line}")
    print(f"card: {Path(config.out) / PAGE_NAME}")
    return card


def _judge(config: EvalConfig, gold: Gold | RecordedSuite | None) -> InverseDynamics | None:
    """Return the judge of the recorded data, trained once into the card's folder.

    None where there is one action, or where the only frames to learn from are those that the suite asks.
    """
    from worldlet.train.judge import JudgeConfig, train_judge

    if not isinstance(gold, RecordedSuite) or len(gold.action_names) < 2 or gold.mean_HWC is None:
        return None
    assert config.data is not None
    # The game is asked about the moments that are scored, not about others before.
    steps = config.judge_steps if config.judge_minutes is None else None
    how = JudgeConfig(minutes=config.judge_minutes, steps=steps, max_frames=JUDGE_FRAMES, game_steps=0)
    judge = train_judge(config.data, Path(config.out) / "judge", how)
    if judge is None:  # it stopped at the first Ctrl-C, after saving
        raise KeyboardInterrupt
    return judge


def evaluate_rollouts(config: EvalConfig, folder: Path) -> dict[str, Any]:
    """Score a folder of another system's frames and write its card; ValueError says what is wrong with the folder."""
    began, where = time.time(), surroundings()
    folders = others.rollout_folders(folder)
    sizes = [others.read_rollout(place)[0].shape[1:3] for place in folders]
    networks = find_networks(config.fvd_network, min(sizes, key=min))
    world = others.describe(folder)
    with progress(len(folders)) as report:
        figures = others.measure_rollouts(
            folder, networks, Path(config.out) / "pictures", lambda n: report("rollouts", 1)
        )
    size = {"name": "rollouts", "rollouts": len(folders)}
    extra = "" if config.fvd_network is None else f" --fvd_network {config.fvd_network}"
    command = f"worldlet eval --rollouts {folder} --out {config.out}{extra}"
    card = {
        "format": FORMAT,
        "world": world,
        "suite": {**_suite(None, QUICK), "size": size},
        "rollout": figures,
        "baselines": baselines.compare({"rollout": figures}),
        "not_judged": {name: "only dreamed frames were given" for name in PARTS if name != "rollout"},
        "run": {"command": command, "seconds": round(time.time() - began, 1), **where},
    }
    card["milestones"] = milestones.judge(card)
    write_card(card, Path(config.out))
    print(f"card: {Path(config.out) / PAGE_NAME}")
    return card


def measure_world(
    engine: Dreamer,
    gold: Gold | RecordedSuite | None,
    reader: GameReader | None,
    size: Size,
    out: Path,
    world: Path | None,
    command: str,
    networks: Networks | None = None,
    leaks: dict[str, Any] | None = None,
    judge: InverseDynamics | None = None,
) -> dict[str, Any]:
    """Measure whatever is given as an engine; `evaluate` and the tests both come here."""
    began, where = time.time(), surroundings()
    misfit = _misfit(engine.manifest, gold)
    gold = None if misfit else gold
    bench = Bench(engine, gold, reader, size, out / "pictures", world, lambda n: None, networks or Networks(), judge)
    judged, not_judged = _sort_parts(bench, misfit)
    parts = out / "parts"
    key = _key(bench)
    with progress(sum(PARTS[name].work(bench) for name in judged)) as report:
        figures = {name: measure_part(name, PARTS[name], bench, parts, key, report) for name in judged}
    card = {
        "format": FORMAT,
        "world": _world(engine),
        "suite": _suite(gold, size),
        **({} if leaks is None else {"leaks": leaks}),
        **figures,
        "baselines": baselines.compare(figures),
        "not_judged": not_judged,
        "run": {"command": command, "seconds": round(time.time() - began, 1), **where},
    }
    card["milestones"] = milestones.judge(card)
    card["alarms"] = [alarm._asdict() for alarm in alarms(card)]
    write_card(card, out)
    for path in parts.glob("*.json"):
        path.unlink()
    parts.rmdir()
    return card


def _misfit(manifest: WorldManifest, gold: Gold | RecordedSuite | None) -> str:
    """Return why a world cannot be asked the gold suite's questions, ``""`` where it can."""
    if gold is None:
        return f"nobody has frozen a gold suite for {manifest.env_id}: give the recorded data set with --data"
    if isinstance(gold, RecordedSuite):
        height, width = gold.replay(gold.plays[0]).frames_THWC.shape[1:3]
        if (height, width) != manifest.frame_size:
            theirs = f"{manifest.frame_size[1]}x{manifest.frame_size[0]}"
            return f"the recorded frames are {width}x{height} pixels and the world's {theirs}"
        if gold.action_names != tuple(manifest.action_names):
            ours, theirs = ", ".join(gold.action_names), ", ".join(manifest.action_names)
            return f"the recorded actions are {ours} and the world's {theirs}: give the data set that it was trained on"
        return ""
    real = RealSession(gold.env_id, FIRST_SEED)
    if real.frame.shape[:2] != manifest.frame_size:
        (height, width), (real_height, real_width) = manifest.frame_size, real.frame.shape[:2]
        return f"the world's frames are {width}x{height} pixels and the gold suite's {real_width}x{real_height}"
    if tuple(real.env.metadata["action_names"]) != tuple(manifest.action_names):
        return f"the world's actions are not those of {gold.env_id}"
    return ""


def _sort_parts(bench: Bench, misfit: str) -> tuple[list[str], dict[str, str]]:
    """Return the parts that can be judged, and for the others why not."""
    not_judged = {}
    for name, part in PARTS.items():
        if part.needs_gold and misfit:
            not_judged[name] = misfit
        elif part.needs_reader and bench.reader is None and not _spares_reader(part, bench):
            not_judged[name] = f"nothing reads frames of {bench.engine.manifest.env_id}"
        elif _spares_reader(part, bench) and (why := recorded_drift.why_not(cast(RecordedSuite, bench.gold))):
            not_judged[name] = why
    asked = [name for name in PARTS if name not in not_judged and _is_asked(PARTS[name], bench)]
    not_judged = {name: why for name, why in not_judged.items() if _is_asked(PARTS[name], bench)}
    if isinstance(bench.gold, RecordedSuite) and bench.gold.mean_HWC is None:
        why = (
            "the training split is still empty, and who learned from the held-out episodes could not be scored on them"
        )
        not_judged |= {"rollout: mean image": why, "judged: action outcomes": why}
    return asked, not_judged


def _spares_reader(part: Part, bench: Bench) -> bool:
    return part.spares_reader and isinstance(bench.gold, RecordedSuite)


def _is_asked(part: Part, bench: Bench) -> bool:
    """Tell whether a part has a question here: some stand in where there is no frozen suite to ask the game itself."""
    if part.full_only and not bench.size.horizon:
        return False
    return isinstance(bench.gold, RecordedSuite) or not part.needs_recorded


def _key(bench: Bench) -> str:
    """Return a hash over all that a part's figures depend on: world, suite, size, and the measuring code."""
    code = hashlib.sha256()
    # All of the package: what measures reaches far, and measuring anew costs less than a wrong figure.
    for path in sorted(Path(str(resources.files("worldlet"))).rglob("*.py")):
        code.update(path.read_bytes())
    suite = bench.gold.sha256 if bench.gold else ""
    networks = " ".join(bench.networks.names)
    judge = bench.judge.identity if bench.judge else ""
    parts = [bench.engine.manifest.identity, suite, networks, judge, json.dumps(asdict(bench.size)), code.hexdigest()]
    if isinstance(bench.gold, RecordedSuite):
        mean = b"" if bench.gold.mean_HWC is None else bench.gold.mean_HWC.tobytes()
        parts += [json.dumps(bench.gold.options, sort_keys=True), hashlib.sha256(mean).hexdigest()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _suite(gold: Gold | RecordedSuite | None, size: Size) -> dict[str, Any]:
    """Return which suite was asked, and how its intervals were made."""
    bootstrap = {"level": intervals.LEVEL, "resamples": intervals.RESAMPLES, "seed": intervals.SEED}
    named = {"sha256": gold.sha256 if gold else "", "version": gold.version if gold else 0}
    lists = gold.lists if gold else {}
    return {**named, "lists": lists, "context": CONTEXT, "size": asdict(size), "bootstrap": bootstrap}


def _world(engine: Dreamer) -> dict[str, Any]:
    manifest = engine.manifest
    return {
        "name": manifest.name,
        "title": manifest.title,
        "env_id": manifest.env_id,
        "identity": manifest.identity,
        "parameters": asdict(manifest.parameters),
        "training": manifest.config.get("training", {}),
        "licence": manifest.licence,
        "fps": manifest.fps,
        "frame_size": list(manifest.frame_size),
        "compression_ratio": milestones.compression_ratio(manifest.frame_size, manifest.grid, manifest.codebook_size),
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
    }


def _require_extra() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("torch", "av") if find_spec(name) is None]
    if missing:
        raise ImportError("worldlet eval needs the training extra: pip install 'worldlet[train]'", name=missing[0])
