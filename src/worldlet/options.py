"""Options from config dataclasses: the command line and a YAML file set the same fields by the same names."""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import difflib
import inspect
import itertools
import re
import textwrap
import types
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml  # type: ignore[import-untyped]

from worldlet.config import from_dict, read_yaml, to_dict

Config = TypeVar("Config")


class UsageError(ValueError):
    """The command line itself is wrong: an unknown verb, a missing or unreadable option."""


class Parser(argparse.ArgumentParser):
    """A verb's parser: a mistake is one ``UsageError`` that names the nearest option, never a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        if unknown := re.search(r"unrecognized arguments: (--[^\s=]+)", message):
            near = difflib.get_close_matches(unknown[1], self._option_string_actions, n=1, cutoff=0.5)
            message = f"there is no option {unknown[1]}" + (f" (did you mean {near[0]}?)" if near else "")
        raise UsageError(f"{message}; see `{self.prog} --help`.")


class Presets(NamedTuple):
    """Settings files that a verb knows by name: the word for one of them, their names, and what finds a file.

    Where neither a file nor a name is given, ``otherwise`` makes settings from the options by their dotted names, and
    ``without`` says to the reader of ``--help`` which.
    """

    word: str
    names: Collection[str]
    find: Callable[[str], Path]
    otherwise: Callable[[dict[str, Any]], dict[str, Any]] = lambda options: {}
    without: str = "the defaults"


def parse_config(
    parser: Parser,
    config_class: type[Config],
    arguments: list[str],
    presets: Presets | None = None,
    either: Collection[str] = (),
    positional: bool = True,
) -> Config:
    """Build ``config_class`` from the arguments of a verb: its first field is positional, every other one an option.

    Without ``positional``, the first field is an option too.

    A field of a nested dataclass is written with a dot (``--tokenizer.codebook_size 512``), a bool is a pair of
    switches (``--resume``, ``--no-resume``), and ``--config FILE.yaml``, or the name of one of the ``presets``, sets
    any field by the same name; the command line wins over the file. Of the fields in ``either``, one given on the
    command line takes the place of another in the file. Raises ValueError, as `worldlet.config.from_dict` does, for
    what does not fit.
    """
    assert dataclasses.is_dataclass(config_class)
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--config", type=Path, metavar="FILE.yaml", help="any of these settings, by the same names")
    if presets:
        names = f"settings that come with worldlet: {', '.join(presets.names)}; without one, {presets.without}"
        files.add_argument(f"--{presets.word}", dest="preset", metavar="NAME", help=names)
    first = dataclasses.fields(config_class)[0].name if positional else None
    titles: dict[str, argparse._ArgumentGroup] = {}
    for setting in _settings(config_class):
        title = setting.name.rpartition(".")[0]
        if title and title not in titles:
            titles[title] = parser.add_argument_group(title)
        _add_option(titles.get(title, parser), setting, positional=setting.name == first)
    options = vars(parser.parse_args(arguments))
    path, preset = options.pop("config"), options.pop("preset", None)
    if presets and preset is not None:
        path = presets.find(preset)
    settings = {} if path is None else _read_settings(path)
    if path is None and presets:
        settings = presets.otherwise(options)
    if not options.keys().isdisjoint(either):
        settings = {name: value for name, value in settings.items() if name not in either}
    for name, value in options.items():
        *groups, leaf = name.split(".")
        inner = settings
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise UsageError(f"{group} must be a mapping of settings in the --config file.")
        inner[leaf] = value
    try:
        return from_dict(config_class, _complete(config_class, settings))
    except ValueError as error:
        raise UsageError(f"{error}; see `{parser.prog} --help`.") from error


class Setting(NamedTuple):
    """One field of a config class as an option: its dotted name, its type, its default if any, what it means."""

    name: str
    hint: Any
    default: Any
    meaning: str


def _settings(config_class: type, prefix: str = "", whole: Any = None) -> Iterator[Setting]:
    """Yield every setting of a config class, nested dataclasses opened; defaults are those of ``whole`` if given."""
    hints, meanings = get_type_hints(config_class), _meanings(config_class)
    for field in dataclasses.fields(config_class):
        name, hint = prefix + field.name, hints[field.name]
        default = _default(field) if whole is None else getattr(whole, field.name)
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            yield from _settings(hint, f"{name}.", default if isinstance(default, hint) else None)
        elif field.init:
            yield Setting(name, hint, default, meanings.get(field.name, ""))


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _complete(config_class: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Fill a partly given group from its parent's default for it, which may differ from the group's own defaults."""
    complete = dict(settings)
    for field in dataclasses.fields(config_class):
        group, default = settings.get(field.name), _default(field)
        if isinstance(group, dict) and dataclasses.is_dataclass(default) and not isinstance(default, type):
            complete[field.name] = to_dict(default) | _complete(type(default), group)
    return complete


def _meanings(config_class: type) -> dict[str, str]:
    """Return the docstring under each field of a dataclass, which Python itself does not keep."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(config_class))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(tree.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _add_option(parser: argparse._ActionsContainer, setting: Setting, positional: bool) -> None:
    """Add one setting; an option that is not given stays out of the result, so that the class's default holds."""
    shown = setting.default is not dataclasses.MISSING and str(setting.default) not in ("None", "False", "", "()", "{}")
    text = setting.meaning + (f" (default: {setting.default})" if shown else "")
    about: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text.strip().replace("%", "%%")}
    flag = setting.name if positional else f"--{setting.name}"
    if setting.hint is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **about)
        return
    choices = get_args(setting.hint) if get_origin(setting.hint) is Literal else ()
    metavar = "{" + ",".join(map(str, choices)) + "}" if choices else setting.name.rpartition(".")[2].upper()
    if positional:
        about["nargs"] = "?"  # it may have a default, or stand in the YAML file
    parser.add_argument(flag, metavar=metavar, type=_reader(setting.hint), **about)


def _reader(hint: Any) -> Callable[[str], Any]:
    """Return what turns an option's text into a plain value; `from_dict` then judges whether it fits ``hint``."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    choices = [choice for member in members if get_origin(member) is Literal for choice in get_args(member)]

    def read(text: str) -> Any:
        if text == "null" and type(None) in members:
            return None
        if text in choices or str in members or Path in members:
            return text
        for number in (int, float):
            with contextlib.suppress(ValueError):
                return number(text)
        return yaml.safe_load(text)

    return read


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
