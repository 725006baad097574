"""Strict configuration: frozen dataclasses to and from plain mappings and YAML.

A config class stands beside what it configures; this module only converts. It is strict on purpose: a misspelt key or
a value of the wrong type is an error that names the key and the nearest known one, never a silent default.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml  # type: ignore[import-untyped]

from worldlet.manifest import write_atomic

Config = TypeVar("Config")


def from_dict(cls: type[Config], mapping: Mapping[str, Any]) -> Config:
    """Build the dataclass `cls` from a mapping of its field names, nested dataclasses from nested mappings.

    Lists become tuples where a tuple is declared, and whole numbers become floats where a float is declared.
    Raises ValueError for an unknown key, a missing one, or a value of the wrong type.
    """
    assert dataclasses.is_dataclass(cls), f"{cls!r} is not a dataclass"
    return _dataclass(cls, mapping, at="")


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a dataclass into plain dicts, lists and scalars, fit for JSON and YAML; `from_dict` gives it back."""
    assert dataclasses.is_dataclass(config) and not isinstance(config, type), f"{config!r} is not a dataclass instance"
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config) if field.init}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the settings in a YAML file, nested as the file is; an empty file holds none.

    Raises ValueError where the file cannot be read, is not YAML, or holds something else than settings.
    """
    try:
        settings = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ValueError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict | None):
        raise ValueError(f"{path} must be a mapping of settings, one `name: value` a line")
    return settings or {}


def load_yaml(cls: type[Config], path: str | Path) -> Config:
    """Read a YAML file into the dataclass `cls`; an empty file gives the defaults. Raises ValueError as `from_dict`."""
    mapping = read_yaml(path)
    try:
        return from_dict(cls, mapping)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def dump_yaml(config: Any, path: str | Path) -> None:
    """Write a dataclass as YAML, fields in their declared order; an existing file is replaced in one step."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, yaml.safe_dump(to_dict(config), sort_keys=False).encode())


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads `1e-3` as a string because it has no dot; people mean the number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _dataclass(cls: Any, mapping: Any, at: str) -> Any:
    if isinstance(mapping, cls):
        return mapping
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{at or cls.__name__} must be a mapping of settings, got {_shown(mapping)}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in mapping:
        if key not in fields:
            raise ValueError(_unknown_key(str(key), list(fields), at))
    hints = get_type_hints(cls)
    values = {key: _value(hints[key], value, _join(at, key)) for key, value in mapping.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ValueError(f"the setting {_join(at, name)} is missing, and it has no default")
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{at}: {error}" if at else str(error)) from error


def _unknown_key(key: str, known: list[str], at: str) -> str:
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    hint = f"; did you mean {_join(at, nearest[0])!r}?" if nearest else ""
    return f"unknown setting {_join(at, key)!r}{hint} (known here: {', '.join(known) or 'none'})"


def _value(hint: Any, value: Any, at: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, at)
    if origin in (Union, types.UnionType):
        return _union(get_args(hint), value, at)
    if origin is Literal:
        choices = get_args(hint)
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise ValueError(f"{at} must be one of {', '.join(map(repr, choices))}, got {_shown(value)}")
        return value
    if origin in (tuple, list) or hint in (tuple, list):
        return _sequence(hint, value, at)
    if origin is dict or hint is dict:
        return _mapping(hint, value, at)
    return _scalar(hint, value, at)


def _union(members: tuple[Any, ...], value: Any, at: str) -> Any:
    others = [member for member in members if member is not type(None)]
    if value is None and len(others) < len(members):
        return None
    if len(others) == 1:  # Optional: the one member's own message is the clearest
        return _value(others[0], value, at)
    if type(value) in others:  # 1 stays an int in `float | int`
        return value
    for member in others:
        try:
            return _value(member, value, at)
        except ValueError:
            continue
    raise ValueError(f"{at} must be {' or '.join(_name(member) for member in members)}, got {_shown(value)}")


def _sequence(hint: Any, value: Any, at: str) -> Any:
    kind = get_origin(hint) or hint
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{at} must be a list, got {_shown(value)}")
    members = get_args(hint)
    if kind is list or not members or members[-1] is Ellipsis:
        member = members[0] if members else Any
        return kind(_value(member, item, f"{at}[{index}]") for index, item in enumerate(value))
    if len(value) != len(members):
        raise ValueError(f"{at} must have {len(members)} values, got {len(value)}")
    return tuple(
        _value(member, item, f"{at}[{i}]") for i, (member, item) in enumerate(zip(members, value, strict=True))
    )


def _mapping(hint: Any, value: Any, at: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{at} must be a mapping, got {_shown(value)}")
    key_hint, item_hint = get_args(hint) or (Any, Any)
    return {_value(key_hint, key, at): _value(item_hint, item, _join(at, str(key))) for key, item in value.items()}


def _scalar(hint: Any, value: Any, at: str) -> Any:
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:  # exact, because bool is a kind of int and `steps: true` is a mistake
        return value
    raise ValueError(f"{at} must be {_name(hint)}, got {_shown(value)}")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(hint) or str(getattr(hint, "__name__", hint))


def _shown(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"
