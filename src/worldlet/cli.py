"""The command line: one verb per stage of the pipeline, each importing its own part only when it runs.

The options of record, train, export and eval are the fields of that part's config dataclass, so the command line and
a YAML file given with ``--config`` use the same names.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import os
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

Config = TypeVar("Config")

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


class UsageError(ValueError):
    """The command line itself is wrong: an unknown verb, a missing or unreadable option."""


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
        find_verb(arguments[0]).run(arguments[1:])


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


def _record(arguments: list[str]) -> None:
    from worldlet.data.record import RecordConfig, record

    record(parse_config("record", RecordConfig, arguments))


def _train(arguments: list[str]) -> None:
    from worldlet.train.run import TrainConfig, train

    train(parse_config("train", TrainConfig, arguments))


def _export(arguments: list[str]) -> None:
    from worldlet.train.export import ExportConfig, export

    export(parse_config("export", ExportConfig, arguments))


def _eval(arguments: list[str]) -> None:
    from worldlet.eval.suite import EvalConfig, evaluate

    evaluate(parse_config("eval", EvalConfig, arguments))


def _play(arguments: list[str]) -> None:
    parser = Parser("play")
    parser.add_argument("world", nargs="?", default=DEFAULT_WORLD, help="shipped name, world folder or RUN")
    parser.add_argument("--port", type=int, default=8000, help="port of the page")
    parser.add_argument("--headless", action="store_true", help="no page: a player of our own, written to --out")
    parser.add_argument("--steps", type=int, default=300, help="headless: how many frames to dream")
    parser.add_argument("--seed", type=int, default=0, help="headless: the same seed gives the same file")
    parser.add_argument("--out", type=Path, default=Path("dream.gif"), help="headless: a .gif, or .mp4 with [video]")
    options = parser.parse_args(arguments)
    if options.headless:
        from worldlet.engine.play import play_headless

        play_headless(options.world, steps=options.steps, seed=options.seed, out=options.out)
    else:
        from worldlet import server

        server.run([options.world], host="127.0.0.1", port=options.port, open_browser=True)


def _serve(arguments: list[str]) -> None:
    parser = Parser("serve")
    parser.add_argument("worlds", nargs="*", default=[DEFAULT_WORLD], help="shipped names, world folders or RUNs")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for every interface")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on")
    options = parser.parse_args(arguments)
    from worldlet import server

    server.run(options.worlds, host=options.host, port=options.port, open_browser=False)


VERBS = {
    "record": Verb(
        "ENV --out DATA",
        "let scripted players play a game and record it",
        "worldlet/Platformer-v0 --frames 200000 --out data/platformer",
        _record,
    ),
    "train": Verb(
        "DATA --out RUN",
        "train a tokenizer and a dynamics model on the record",
        "data/platformer --out runs/platformer --minutes 120",
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


# --- reading options ---------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """A verb's parser: a mistake is one ``UsageError`` that names the nearest option, never a page of usage."""

    def __init__(self, name: str) -> None:
        verb = VERBS[name]
        super().__init__(
            prog=f"worldlet {name}",
            description=f"{verb.summary[0].upper()}{verb.summary[1:]}.",
            epilog=f"Example: worldlet {name} {verb.example}",
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        if unknown := re.search(r"unrecognized arguments: (--[^\s=]+)", message):
            near = difflib.get_close_matches(unknown[1], self._option_string_actions, n=1, cutoff=0.5)
            message = f"there is no option {unknown[1]}" + (f" (did you mean {near[0]}?)" if near else "")
        raise UsageError(f"{message}; see `{self.prog} --help`.")


def parse_config(verb: str, config_class: type[Config], arguments: list[str]) -> Config:
    """Build ``config_class`` from the command line: its first field is positional, every other one an option.

    A field of a nested dataclass is written with a dot (``--tokenizer.codebook_size 512``), a bool is a pair of
    switches (``--resume``, ``--no-resume``), and ``--config FILE.yaml`` sets any field by the same name; the command
    line wins over the file. Raises ValueError, as `worldlet.config.from_dict` does, for what does not fit.
    """
    from worldlet.config import from_dict

    assert dataclasses.is_dataclass(config_class)
    parser = Parser(verb)
    parser.add_argument("--config", type=Path, metavar="FILE.yaml", help="any of these settings, by the same names")
    first = dataclasses.fields(config_class)[0].name
    for name, field, hint in _leaves(config_class):
        _add_option(parser, name if name == first else f"--{name}", field, hint)
    options = vars(parser.parse_args(arguments))
    settings = _read_settings(options.pop("config"))
    for name, value in options.items():
        *groups, leaf = name.split(".")
        inner = settings
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise UsageError(f"{group} must be a mapping of settings in the --config file.")
        inner[leaf] = value
    try:
        return from_dict(config_class, settings)
    except ValueError as error:
        raise UsageError(f"{error}; see `{parser.prog} --help`.") from error


def _leaves(config_class: type, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Yield dotted name, field and type of every setting, nested dataclasses opened."""
    hints = get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            yield from _leaves(hint, f"{prefix}{field.name}.")
        elif field.init:
            yield prefix + field.name, field, hint


def _add_option(parser: Parser, flag: str, field: dataclasses.Field[Any], hint: Any) -> None:
    """Add one setting; an option that is not given stays out of the result, so that the class's default holds."""
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    notes = [str(field.metadata["help"])] if "help" in field.metadata else []
    if default is not dataclasses.MISSING and default is not None and default is not False:
        notes.append(f"(default: {default})")
    text = " ".join(notes).replace("%", "%%")
    if hint is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        return
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    metavar = "{" + ",".join(map(str, choices)) + "}" if choices else field.name.upper()
    parser.add_argument(flag, metavar=metavar, type=_reader(hint), default=argparse.SUPPRESS, help=text)


def _reader(hint: Any) -> Callable[[str], Any]:
    """Return what turns an option's text into a plain value; `from_dict` then judges whether it fits ``hint``."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    choices = [choice for member in members if get_origin(member) is Literal for choice in get_args(member)]

    def read(text: str) -> Any:
        import yaml  # type: ignore[import-untyped]

        if text == "null" and type(None) in members:
            return None
        if text in choices or str in members or Path in members:
            return text
        for number in (int, float):
            with contextlib.suppress(ValueError):
                return number(text)
        return yaml.safe_load(text)

    return read


def _read_settings(path: Path | None) -> dict[str, Any]:
    """Return the mapping in a YAML file, nested as the file is; empty without a file."""
    import yaml

    from worldlet.config import _Loader  # reads 1e-3 as a number, as `load_yaml` does

    if path is None:
        return {}
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict | None):
        raise UsageError(f"{path} must hold settings, one `name: value` a line.")
    return settings or {}


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
