"""The command line: one verb per stage of the pipeline, each importing its own part only when it runs.

The options of record, train, export and eval are the fields of that part's config dataclass, so the command line and
a YAML file given with ``--config`` use the same names.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
import traceback
from argparse import SUPPRESS
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from worldlet.options import Parser, Presets, UsageError, parse_config
from worldlet.zoo import shipped_worlds

if TYPE_CHECKING:
    from worldlet.train.run import TrainConfig

DEFAULT_WORLD = "platformer"
# What the extra [train] brings, by import name.
TRAINING_MODULES = (
    *("av", "einops", "lightning", "onnx", "onnxscript", "tensorboard"),
    *("torch", "torchmetrics", "vector_quantize_pytorch", "webdataset"),
)


class Verb(NamedTuple):
    """One line of the table of contents, and what runs it."""

    grammar: str
    summary: str
    example: str
    run: Callable[[list[str]], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 2 a mistake explained in one sentence, 130 interrupted."""
    # Spinning threads stall a busy machine; libraries read this once, when they are first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("WORLDLET_DEBUG") == "1"
    arguments = [a for a in arguments if a != "--debug"]
    try:
        _dispatch(arguments)
    except KeyboardInterrupt:
        print("\nworldlet: stopped by Ctrl-C.", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        sentence = _explain(error, arguments)
        if sentence is None:
            raise
        if debug:
            traceback.print_exc()
        print(f"worldlet: {sentence}", file=sys.stderr)
        return 2
    return 0


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(contents())
    elif arguments[0] in ("-V", "--version"):
        from worldlet import __version__

        print(f"worldlet {__version__}")
    else:
        _run_verb(arguments[0], arguments[1:])


def _run_verb(name: str, arguments: list[str]) -> None:
    """Run a verb; where its part is not installed, ``--help`` still tells what it does."""
    verb = find_verb(name)
    try:
        verb.run(arguments)
    except ImportError as error:
        if not {"-h", "--help"} & set(arguments):
            raise
        print(f"usage: worldlet {name} {verb.grammar}\n\n{verb.summary}\n\nFor example: worldlet {name} {verb.example}")
        print(f"\nIts options are listed once its part is installed. {_explain(error, [name, *arguments]) or error}")


def contents() -> str:
    """Return the text of ``worldlet --help``: the pipeline in order, one line and one example a verb."""
    width = max(len(f"{name} {verb.grammar}") for name, verb in VERBS.items())
    lines = ["Worldlet turns a game into a small neural network that you can play.", ""]
    for name, verb in VERBS.items():
        lines.append(f"  {f'{name} {verb.grammar}':{width}}   {verb.summary}")
    lines += ["", "For example:"]
    lines += [f"  worldlet {name} {verb.example}" for name, verb in VERBS.items()]
    lines += [
        "",
        "WORLD is a shipped name, a world folder, or a RUN (its exported world). `worldlet VERB --help` lists a verb's",
        "options; --debug (or WORLDLET_DEBUG=1) shows the traceback behind an error; --version prints the version.",
    ]
    return "\n".join(lines)


def find_verb(name: str) -> Verb:
    """Return the verb called ``name``; the error for an unknown one suggests the nearest."""
    if name in VERBS:
        return VERBS[name]
    near = difflib.get_close_matches(name, VERBS, n=1, cutoff=0.5)
    hint = f"did you mean `worldlet {near[0]}`?" if near else "`worldlet --help` lists them."
    raise UsageError(f"there is no verb {name!r}; {hint}")


# --- the verbs, in pipeline order --------------------------------------------------------------------------------


def _setup(arguments: list[str]) -> None:
    from worldlet.eval.perceptual import set_up_lpips
    from worldlet.games.remote.setup import SETUPS, set_up

    def say(words: str) -> None:
        print(words, flush=True)

    parser = _parser("setup")
    parser.add_argument("name", help=f"a family of games, {' or '.join(SETUPS)}; or lpips, the weights of that measure")
    name = parser.parse_args(arguments).name
    if name == "lpips":
        print(f"{set_up_lpips(say)} is ready: `worldlet eval` judges by LPIPS from now on")
    else:
        print(f"{set_up(name, say)} is ready: {SETUPS[name].next}")


def _record(arguments: list[str]) -> None:
    from worldlet.data.record import RecordConfig, record

    done = record(parse_config(_parser("record"), RecordConfig, arguments))
    print(f"{done.folder}: {done.frames} frames in {done.episodes} episodes, {done.bytes / 1e6:.1f} MB")
    print(f"coverage.png there shows what was seen; now `worldlet train {done.folder} --minutes 60 --out RUN`")


def _capture(arguments: list[str]) -> None:
    from worldlet.data.capture.run import CaptureConfig, capture

    done = capture(parse_config(_parser("capture"), CaptureConfig, arguments, positional=False))
    steady = f"{done.frames_per_second:.1f} frames/s, {done.late} late, {done.lost} lost"
    print(f"{done.folder}: {done.frames} frames in {done.episodes} episodes, {done.bytes / 1e6:.1f} MB; {steady}")


def _prepare(arguments: list[str]) -> None:
    if arguments[:1] == ["vpt"]:
        from worldlet.data.vpt.prepare import VptConfig, prepare_vpt

        kept = prepare_vpt(parse_config(_parser("prepare"), VptConfig, arguments[1:]))
        print(f"{kept.folder}: {kept.frames} frames in {kept.episodes} episodes, {kept.bytes / 1e6:.1f} MB")
        return
    from worldlet.data.prepare import PrepareConfig, prepare

    done = prepare(parse_config(_parser("prepare"), PrepareConfig, arguments))
    for name, reason in done.skipped.items():
        print(f"skipped {name}: {reason}")
    print(f"{done.folder}: {done.frames} frames in {done.episodes} episodes{_dropped(done.dropped)}")


def _filter(arguments: list[str]) -> None:
    from worldlet.data.filter import CleanConfig, clean

    done = clean(parse_config(_parser("filter"), CleanConfig, arguments))
    print(f"{done.folder}: {done.frames} frames in {done.episodes} episodes{_dropped(done.dropped)}")


def _dropped(frames: dict[str, int]) -> str:
    counts = ", ".join(f"{count} {reason}" for reason, count in frames.items())
    return f"; frames dropped: {counts}" if counts else ""


def _label(arguments: list[str]) -> None:
    from worldlet.train.label import LabelConfig, label

    parser = _parser("label")
    parser.add_argument("--with", dest="labelled", default=SUPPRESS, help="the same as --labelled")
    done = label(parse_config(parser, LabelConfig, arguments))
    print(f"{done.folder}: {done.words}")
    if not done.finished:  # it stopped at the first Ctrl-C, after saving: the caller should know
        raise KeyboardInterrupt


def _train(arguments: list[str]) -> None:
    from worldlet.recipes import find_recipe, recipes
    from worldlet.recipes.complete import complete
    from worldlet.recipes.fitting import settings_without_recipe
    from worldlet.train.run import TrainConfig, train

    presets = Presets("recipe", recipes(), find_recipe, settings_without_recipe, "what fits DATA")
    config = parse_config(_parser("train"), TrainConfig, arguments, presets, either=("minutes", "steps"))
    if config.start_from:
        config = dataclasses.replace(config, start_from=_starting_world(config))
    results = train(config)
    if not results[-1].finished:  # it stopped at the first Ctrl-C, after saving: the caller should know
        raise KeyboardInterrupt
    if config.stage == "all":
        complete(config)


def _starting_world(config: TrainConfig) -> str:
    """Return the folder of the world to go on from; a run that keeps its weights may have lost it meanwhile."""
    from worldlet.engine.bundle import open_bundle
    from worldlet.manifest import WorldError
    from worldlet.train import start
    from worldlet.train.run import load_config

    try:
        return str(open_bundle(config.start_from).folder)
    except WorldError:
        if config.resume and start.is_kept(Path(config.out)):
            return load_config(config.out).start_from
        raise


def _export(arguments: list[str]) -> None:
    from worldlet.export import ExportConfig, export

    world = export(parse_config(_parser("export"), ExportConfig, arguments))
    print(f"{world}: play it with `worldlet play {world}`")


def _eval(arguments: list[str]) -> None:
    from worldlet.eval.suite import EvalConfig, evaluate

    evaluate(parse_config(_parser("eval"), EvalConfig, arguments))


def _compare(arguments: list[str]) -> None:
    parser = _parser("compare")
    parser.add_argument("first", help="shipped name, world folder, RUN, or where its card.json lies")
    parser.add_argument("second", help="what to set beside it")
    parser.add_argument("--out", type=Path, default=Path("compare"), help="folder for the page (default: compare)")
    options = parser.parse_args(arguments)
    from worldlet.eval.compare import CompareConfig, compare

    print(f"comparison: {compare(CompareConfig(options.first, options.second, options.out))}")


def _play(arguments: list[str]) -> None:
    parser = _parser("play")
    parser.add_argument(
        "world",
        nargs="?",
        help="shipped name, world folder or RUN (default: all shipped ones to choose from; one film: platformer)",
    )
    parser.add_argument("--port", type=int, default=8000, help="port of the page (default: 8000)")
    parser.add_argument("--beside", action="store_true", help="the real game and the dream side by side, same keys")
    parser.add_argument("--headless", action="store_true", help="no page: a player of our own, filmed into --out")
    films = parser.add_argument_group("with --headless", argument_default=SUPPRESS)
    films.add_argument("--steps", type=int, help="frames to dream after the first (default: 300)")
    films.add_argument(
        "--seed", type=int, help="the same seed gives the same film (default: 0; --beside: a held-out level)"
    )
    films.add_argument("--out", type=Path, help=".gif, .png, or .mp4 with [video] installed (default: dream.gif)")
    films.add_argument("--player", help="auto, scripted, random, or a JSON file of actions (default: auto)")
    films.add_argument("--prompt", help="words that pick the start")
    films.add_argument("--theme", help="theme of the start")
    films.add_argument("--scale", type=int, help="how many times to enlarge the pixels (default: 2)")
    options = vars(parser.parse_args(arguments))
    world, port, headless = options.pop("world"), options.pop("port"), options.pop("headless")
    if options.pop("beside"):
        _play_beside(parser, world or DEFAULT_WORLD, port, headless, options)
    elif headless:
        from worldlet.engine.play import play_headless

        print(play_headless(world or DEFAULT_WORLD, **options))
    elif options:
        parser.error(f"--{next(iter(options))} needs --headless")
    else:
        from worldlet import server

        server.run([world] if world else _shipped(), host="127.0.0.1", port=port, open_browser=True)


def _shipped() -> list[str]:
    """Return the names of the worlds that ship with the package, the one to begin with first."""
    return sorted(shipped_worlds(), key=lambda name: (name != DEFAULT_WORLD, name))


def _play_beside(parser: Parser, world: str, port: int, headless: bool, options: dict[str, Any]) -> None:
    if "prompt" in options:
        parser.error("--prompt picks a dream's start, and --beside starts where the real game does: use --seed")
    if headless:
        from worldlet.engine.beside_film import film_beside

        print(film_beside(world, **options))
    elif options:
        parser.error(f"--{next(iter(options))} needs --headless")
    else:
        from worldlet import server

        server.run([world], host="127.0.0.1", port=port, open_browser=True, beside=True)


def _serve(arguments: list[str]) -> None:
    parser = _parser("serve")
    parser.add_argument("worlds", nargs="*", help="shipped names, world folders or RUNs (default: all shipped ones)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on, 0.0.0.0 for all (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    options = parser.parse_args(arguments)
    from worldlet import server

    server.run(options.worlds or _shipped(), host=options.host, port=options.port, open_browser=False)


VERBS = {
    "setup": Verb(
        "NAME",
        "install games that need an environment of their own; or LPIPS",
        "procgen",
        _setup,
    ),
    "record": Verb(
        "ENV --out DATA",
        "let scripted players play a game and record it",
        "worldlet/Platformer-v0 --frames 200000 --out data/platformer",
        _record,
    ),
    "capture": Verb(
        "--window TITLE --out DATA",
        "record a desktop game, or with --url a web game, while you play it",
        "--window SuperTux --out data/tux",
        _capture,
    ),
    "prepare": Verb(
        "VIDEOS | vpt INDEX --out DATA",
        "turn videos, pictures or OpenAI's VPT recordings into a data set",
        "~/videos/mygame --actions actions.csv --out data/mygame",
        _prepare,
    ),
    "filter": Verb(
        "DATA --out CLEAN",
        "drop black, glitched, menu, frozen and stuck spans, and show them",
        "data/mygame --out data/clean",
        _filter,
    ),
    "label": Verb(
        "DATA --with LABELLED --out OUT",
        "give video its actions, learned from a little labelled data, or from none",
        "data/video --with data/little --out data/labelled",
        _label,
    ),
    "train": Verb(
        "DATA --out RUN",
        "train a tokenizer and a dynamics model on the record",
        "data/platformer --out runs/platformer --recipe platformer",
        _train,
    ),
    "export": Verb(
        "RUN --out WORLD",
        "turn a training run into a world folder that needs no torch",
        "runs/platformer --out worlds/platformer",
        _export,
    ),
    "eval": Verb(
        "WORLD --out DIR",
        "measure a world against the real game: card.json and pictures",
        "platformer --quick --out card",
        _eval,
    ),
    "compare": Verb(
        "A B",
        "set the cards of two worlds side by side: one page",
        "platformer worlds/platformer --out compare",
        _compare,
    ),
    "play": Verb(
        "[WORLD]",
        "play a world in the browser, or --headless into a GIF",
        "--headless --steps 300 --seed 7 --out dream.gif",
        _play,
    ),
    "serve": Verb(
        "[WORLD ...]",
        "serve worlds to other programs over REST and WebSocket",
        "platformer --host 0.0.0.0 --port 8000",
        _serve,
    ),
}


def _parser(name: str) -> Parser:
    verb = VERBS[name]
    return Parser(
        prog=f"worldlet {name}",
        usage=f"worldlet {name} {verb.grammar} [options]",
        description=f"{verb.summary[0].upper()}{verb.summary[1:]}.",
        epilog=f"Example: worldlet {name} {verb.example}",
        allow_abbrev=False,
    )


# --- errors ------------------------------------------------------------------------------------------------------


def _explain(error: Exception, arguments: list[str]) -> str | None:
    """Return one sentence for a mistake of the user's or of the machine's; ``None`` for a bug of ours."""
    if isinstance(error, ImportError):
        if "pip install" in str(error):  # a part that names its own extra
            return str(error)
        if (error.name or "").partition(".")[0] in TRAINING_MODULES:
            verb = arguments[0] if arguments else "this"
            return f"`worldlet {verb}` needs the training extra: pip install 'worldlet[train]'"
        return None
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error) or type(error).__name__
