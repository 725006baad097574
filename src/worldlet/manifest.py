"""The world folder's schema (``world.json`` and ``starts/starts.json``), file hashes, and atomic writing.

Both files are strict: an unknown key is an error that names the nearest known one, and so is a missing one.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import typing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

FORMAT = 1
MANIFEST_NAME = "world.json"
CARD_NAMES = ("card.json", "card.md")
STARTS_NAME = "starts/starts.json"
GRAPH_NAMES = ("step.onnx", "encode.onnx", "decode.onnx")
WEIGHTS_NAME = "weights.safetensors"
STATE_DTYPES = ("float16", "float32")

Record = TypeVar("Record")


class WorldError(ValueError):
    """A world that cannot be found, read or trusted; the message says what to do."""


@dataclass(frozen=True)
class StateSpec:
    """One tensor of the recurrent state: its name, its shape without the batch axis, float16 or float32."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in STATE_DTYPES:
            raise WorldError(f"the state {self.name!r} has dtype {self.dtype!r}, not one of {', '.join(STATE_DTYPES)}")
        if any(size < 1 for size in self.shape):
            raise WorldError(f"the state {self.name!r} has an empty shape {self.shape}")


@dataclass(frozen=True)
class ParameterCounts:
    """How many parameters each network has."""

    tokenizer: int
    dynamics: int


@dataclass(frozen=True)
class FileEntry:
    """What a file of the folder must be: its SHA-256 in hex and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class WorldManifest:
    """``world.json``: what a world is and which files it consists of.

    ``frame_size`` is (H, W) in pixels, ``grid`` (h, w) in tokens, ``fps`` frames a second, ``key_bindings`` maps an
    action name to combinations of DOM ``KeyboardEvent.code``, ``config`` holds the training configs, ``files`` every
    file but ``world.json`` and the cards. Raises WorldError where the values contradict each other.
    """

    name: str
    title: str
    env_id: str
    frame_size: tuple[int, int]
    grid: tuple[int, int]
    fps: int
    action_names: tuple[str, ...]
    key_bindings: dict[str, tuple[tuple[str, ...], ...]]
    codebook_size: int
    prompt_width: int
    state: tuple[StateSpec, ...]
    parameters: ParameterCounts
    config: dict[str, Any]
    licence: str
    files: dict[str, FileEntry] = dataclasses.field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise WorldError(_format_message(self.format))
        if min(*self.frame_size, *self.grid, self.fps, self.codebook_size, self.prompt_width) < 1:
            raise WorldError("frame_size, grid, fps, codebook_size and prompt_width must all be at least 1")
        if not self.action_names or len(set(self.action_names)) != len(self.action_names):
            raise WorldError("action_names must name at least one action, each once")
        if len({spec.name for spec in self.state}) != len(self.state):
            raise WorldError("every tensor of the state needs a name of its own")
        for name in self.key_bindings:
            if name not in self.action_names:
                raise WorldError(f"key_bindings: no action is named {name!r}{suggestion(name, self.action_names)}")
        for path in self.files:
            check_relative(path)

    @property
    def tokens(self) -> int:
        """The number N of tokens of one frame."""
        return self.grid[0] * self.grid[1]

    @property
    def identity(self) -> str:
        """A hash over the format and the table of files: two worlds are the same when these are."""
        table = {path: [entry.sha256, entry.bytes] for path, entry in self.files.items()}
        return hashlib.sha256(json.dumps([self.format, table], sort_keys=True).encode()).hexdigest()

    def action_index(self, action: int | str) -> int:
        """Turn an action's name or number into its number; ValueError names what there is."""
        if isinstance(action, str):
            if action not in self.action_names:
                near = suggestion(action, self.action_names)
                raise ValueError(f"no action is named {action!r}{near}: this world has {', '.join(self.action_names)}")
            return self.action_names.index(action)
        if isinstance(action, bool) or not hasattr(action, "__index__"):
            raise ValueError(f"an action is a number or a name, not {action!r}")
        number = action.__index__()
        if not 0 <= number < len(self.action_names):
            last = len(self.action_names) - 1
            raise ValueError(f"action {number} is out of range: this world has actions 0 to {last}")
        return number

    def to_json(self) -> str:
        """Return the text of ``world.json``."""
        names = ["format", *(f.name for f in dataclasses.fields(self) if f.name not in ("format", "files")), "files"]
        fields = dataclasses.asdict(self)
        return json.dumps({name: fields[name] for name in names}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> WorldManifest:
        """Read the text of ``world.json``; WorldError says which key is wrong and how."""
        values = _load_json(text, MANIFEST_NAME)
        found = values.get("format") if isinstance(values, dict) else None
        if found != FORMAT or isinstance(found, bool):
            raise WorldError(_format_message(found))
        return _decode(cls, values, MANIFEST_NAME, complete=True)


@dataclass(frozen=True)
class Start:
    """One way to begin: ``frames`` frames, stacked vertically in a PNG, and the ``frames - 1`` actions between.

    Frames are real, or dreamed by the world itself where a game's pictures are not to be passed on.

    ``file`` is relative to ``starts/``, as in ``000.png``.
    """

    file: str
    frames: int
    actions: tuple[int, ...]
    caption: str
    theme: str
    level_seed: int

    def __post_init__(self) -> None:
        check_relative(self.file)
        if self.frames < 1 or len(self.actions) != self.frames - 1:
            raise WorldError(f"the start {self.file} has {self.frames} frames and {len(self.actions)} actions between")


@dataclass(frozen=True)
class StartList:
    """``starts/starts.json``: the starts that a world carries, at least one."""

    starts: tuple[Start, ...]

    def __post_init__(self) -> None:
        if not self.starts:
            raise WorldError(f"{STARTS_NAME} lists no start")

    def to_json(self) -> str:
        """Return the text of ``starts.json``."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> StartList:
        """Read the text of ``starts.json``; WorldError says which key is wrong and how."""
        return _decode(cls, _load_json(text, STARTS_NAME), STARTS_NAME, complete=True)


def read_world_json(folder: str | Path) -> WorldManifest:
    """Read and check ``world.json`` of a world folder (the other files are not looked at)."""
    path = Path(folder) / MANIFEST_NAME
    try:
        text = path.read_bytes()
    except OSError as error:
        raise WorldError(f"{path} cannot be read ({error.strerror}): export the world again") from error
    try:
        return WorldManifest.from_json(text)
    except WorldError as error:
        raise WorldError(f"{path}: {error}") from error


def write_world_json(folder: str | Path, manifest: WorldManifest) -> WorldManifest:
    """Hash every file of the folder, write ``world.json`` beside them and return the manifest as written."""
    manifest = dataclasses.replace(manifest, files=file_table(folder))
    write_atomic(Path(folder) / MANIFEST_NAME, manifest.to_json().encode())
    return manifest


def file_table(folder: str | Path) -> dict[str, FileEntry]:
    """Hash every file below ``folder`` but ``world.json`` and the cards; keys are sorted POSIX paths."""
    root = Path(folder)
    paths = (path for path in root.rglob("*") if path.is_file())
    names = sorted(path.relative_to(root).as_posix() for path in paths)
    return {name: hash_file(root / name) for name in names if name not in (MANIFEST_NAME, *CARD_NAMES)}


def hash_file(path: str | Path) -> FileEntry:
    """Read a file once and return its SHA-256 and size."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(digest, file.tell())


def check_relative(path: str) -> None:
    """Raise WorldError unless ``path`` is a POSIX path that stays inside the world folder."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path:
        raise WorldError(f"the path {path!r} does not stay inside the world folder")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder, with the same suffix, that replaces ``path`` at a clean exit.

    After an exception the temporary file is removed and whatever was at ``path`` stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write a whole file under a temporary name, flush it to the disk, then rename it."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest known name, or nothing where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _format_message(found: object) -> str:
    return f"the world has format {found!r} and this version of Worldlet reads format {FORMAT}: export the world again"


def _load_json(text: str | bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise WorldError(f"{where} is not valid JSON ({error}): export the world again") from error


def _decode(kind: type[Record], values: Any, where: str, complete: bool) -> Record:
    """Build a dataclass from parsed JSON by its annotations; with ``complete``, defaults do not stand in for keys."""
    if not isinstance(values, dict):
        raise WorldError(f"{where} must be an object, not {type(values).__name__}")
    fields = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise WorldError(f"{where}: unknown key {key!r}{suggestion(key, fields)}")
    missing = sorted(fields - values.keys())
    if complete and missing:
        raise WorldError(f"{where}: missing key {missing[0]!r}")
    hints = typing.get_type_hints(kind)
    return kind(**{key: _value(hints[key], value, f"{where}: {key}") for key, value in values.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check one JSON value against an annotation, turning lists into tuples and objects into dataclasses."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _decode(typing.cast(type, hint), value, where, complete=True)
    if origin is tuple:
        many = len(arguments) == 2 and arguments[1] is Ellipsis
        if not isinstance(value, list) or not (many or len(value) == len(arguments)):
            raise WorldError(f"{where} must be a list" + ("" if many else f" of {len(arguments)}"))
        hints = [arguments[0]] * len(value) if many else arguments
        pairs = enumerate(zip(hints, value, strict=True))
        return tuple(_value(hint, item, f"{where}[{index}]") for index, (hint, item) in pairs)
    if origin is dict:
        if not isinstance(value, dict):
            raise WorldError(f"{where} must be an object")
        return {key: _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if not isinstance(value, hint) or isinstance(value, bool) is not (hint is bool):
        raise WorldError(f"{where} must be of type {hint.__name__}, not {value!r}")
    return value
