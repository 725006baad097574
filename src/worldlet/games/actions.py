"""A game's actions as numbers 0 to n-1 with names and keys, whatever its own action space is.

`Discrete` of any start, `MultiDiscrete` and `MultiBinary` are flattened, the last part changing fastest; `native` and
`index` are each other's inverse. Names and keys come from the environment where it tells them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np

MOST_ACTIONS = 512
"""More than a player could hold apart, or a model learn."""


class Actions:
    """The flattened actions of one game: how many, their names (its own unless given), and how each looks to the game.

    Raises ValueError for a space that cannot be flattened, or one with too many actions.
    """

    def __init__(self, env: Any, names: Sequence[str] = ()) -> None:
        space = env.action_space
        self._sizes: tuple[int, ...]
        kind = type(space).__name__  # old packages have their own classes of the same names
        if kind == "Discrete":
            start = int(getattr(space, "start", 0))
            self._sizes, self._start = (int(space.n),), np.array([start])
            self.native: Callable[[int], Any] = lambda index: start + self._parts(index)[0]
        elif kind == "MultiDiscrete":
            self._sizes = tuple(int(size) for size in np.ravel(space.nvec))
            self._start = np.ravel(getattr(space, "start", np.zeros(len(self._sizes), np.int64)))
            shape, dtype = space.nvec.shape, space.dtype
            self.native = lambda index: (self._start + self._parts(index)).astype(dtype).reshape(shape)
        elif kind == "MultiBinary":
            self._sizes = (2,) * int(np.prod(space.shape))
            self._start = np.zeros(len(self._sizes), np.int64)
            self.native = lambda index: np.array(self._parts(index), np.int8).reshape(space.shape)
        else:
            raise ValueError(
                f"the game's actions are {space}: only Discrete, MultiDiscrete and MultiBinary can be recorded"
            )
        self.count = int(np.prod(self._sizes, dtype=object))
        if self.count > MOST_ACTIONS:
            raise ValueError(f"the game has {self.count} actions: at most {MOST_ACTIONS} can be recorded, so wrap it")
        assert len(names) in (0, self.count), f"{len(names)} names for {self.count} actions"
        self.names = tuple(names) or self._names(env, kind)

    def index(self, action: Any) -> int:
        """Return the number of a game's own action; ValueError where it is none."""
        parts = np.ravel(action).astype(np.int64) - self._start
        if len(parts) != len(self._sizes) or (parts < 0).any() or (parts >= self._sizes).any():
            raise ValueError(f"{action} is no action of this game")
        return int(np.ravel_multi_index(tuple(parts), self._sizes))

    def _parts(self, index: int) -> tuple[int, ...]:
        if not 0 <= index < self.count:
            raise ValueError(f"action {index} is out of range: use 0 to {self.count - 1}")
        if len(self._sizes) == 1:  # no need to ask numpy, which takes longer than some games' whole step
            return (int(index),)
        return tuple(int(part) for part in np.unravel_index(index, self._sizes))

    def _names(self, env: Any, kind: str) -> tuple[str, ...]:
        given = _given_names(env, self.count)
        if given:
            return _told_apart(given)
        if kind == "MultiBinary":
            buttons = [_plain(name) for name in _button_names(env, len(self._sizes))]
            held = ([b for b, on in zip(buttons, self._parts(i), strict=True) if on] for i in range(self.count))
            return _told_apart(["+".join(names) or "noop" for names in held])
        if kind == "MultiDiscrete":
            return tuple("_".join(map(str, self._parts(i) + self._start)) for i in range(self.count))
        return tuple(str(index) for index in range(self.count))


def key_bindings(env: Any, actions: Actions) -> dict[str, list[list[str]]]:
    """Return the combinations of DOM key codes for each action name, no combination twice.

    They are the environment's own (`metadata["key_bindings"]`, or `get_keys_to_action()` as Gymnasium's), and beside
    them arrows for WASD; guessed from the names where it has none; digits and letters where the names say nothing.
    """
    told = _metadata(env).get("key_bindings")
    if told:
        return {name: [list(keys) for keys in told.get(name, [])] for name in actions.names}
    found = _own_keys(env, actions) or {name: _guess(name) for name in actions.names}
    bindings: dict[str, list[list[str]]] = {}
    taken = set[frozenset[str]]()
    for name in actions.names:
        wanted = [keys for combo in found.get(name, []) for keys in _with_arrows(combo)]
        free = [keys for keys in wanted if frozenset(keys) not in taken]
        bindings[name] = list({frozenset(keys): keys for keys in free}.values())
        taken |= {frozenset(keys) for keys in free}
    free_keys = [code for code in ("KeyQ", "KeyE", *_SPARE) if frozenset([code]) not in taken]
    for name in actions.names:
        if not bindings[name]:
            # A second way to the left or right, such as turning beside stepping, lies beside the first.
            side = {"left": "KeyQ", "right": "KeyE"}.get(name.rpartition("_")[2])
            code = side if side in free_keys else next((key for key in free_keys if key[:3] != "Key"), None)
            code = code or (free_keys[0] if free_keys else None)
            bindings[name] = [[code]] if code else []
            free_keys = [key for key in free_keys if key != code]
    return bindings


_ARROWS = {"KeyW": "ArrowUp", "KeyA": "ArrowLeft", "KeyS": "ArrowDown", "KeyD": "ArrowRight"}
_WORDS = {
    "left": "KeyA", "right": "KeyD", "up": "KeyW", "forward": "KeyW", "north": "KeyW", "gas": "KeyW",
    "accelerate": "KeyW", "down": "KeyS", "back": "KeyS", "backward": "KeyS", "south": "KeyS", "brake": "KeyS",
    "west": "KeyA", "east": "KeyD", "crouch": "KeyS", "jump": "Space", "flap": "Space", "fire": "Space",
    "attack": "Space", "shoot": "Space", "do": "Space", "interact": "Space", "toggle": "Space", "action": "KeyJ",
    "use": "KeyE", "pickup": "KeyE", "drop": "KeyQ", "sleep": "KeyZ", "done": "Enter", "start": "Enter",
    "select": "ShiftLeft", "a": "KeyJ", "b": "KeyK", "x": "KeyU", "y": "KeyI",
}  # fmt: skip
_IDLE = {"noop", "nop", "nothing", "none", "idle", "still", "stay", "wait"}
_FILLERS = {"move", "turn", "go", "run", "walk", "and", "the", "engine", "main", "do"}
_SPARE = [f"Digit{digit}" for digit in (1, 2, 3, 4, 5, 6, 7, 8, 9, 0)] + [f"Key{letter}" for letter in "RTYFGHVBNMCPLO"]


def _given_names(env: Any, count: int) -> list[str] | None:
    """Return the names an environment gives its actions, wherever packages are used to keep them."""
    inner = getattr(env, "unwrapped", env)
    candidates: list[Any] = [_metadata(env).get("action_names"), getattr(inner, "action_names", None)]
    if hasattr(inner, "get_action_meanings"):
        candidates.append(inner.get_action_meanings())
    enum = getattr(inner, "actions", None)
    if isinstance(enum, type) and issubclass(enum, IntEnum):
        candidates.append([member.name for member in sorted(enum)])
    candidates.append(_doom_names(inner))
    for names in candidates:
        if isinstance(names, Sequence) and not isinstance(names, str) and len(names) == count:
            return [_plain(str(name)) for name in names]
    return None


def _doom_names(inner: Any) -> list[str] | None:
    """ViZDoom keeps the buttons of its game and, for each action, which of them it holds."""
    combinations, game = getattr(inner, "button_map", None), getattr(inner, "game", None)
    if combinations is None or game is None or not hasattr(game, "get_available_buttons"):
        return None
    buttons = [_plain(str(button).rpartition(".")[2]) for button in game.get_available_buttons()]
    held = ([b for b, on in zip(buttons, combo, strict=False) if on] for combo in combinations)
    return ["+".join(names) or "noop" for names in held]


def _button_names(env: Any, count: int) -> list[str]:
    names = _metadata(env).get("button_names") or getattr(getattr(env, "unwrapped", env), "buttons", None)
    if isinstance(names, Sequence) and len(names) == count:
        return [str(name) for name in names]
    return [f"button{index}" for index in range(count)]


def _own_keys(env: Any, actions: Actions) -> dict[str, list[list[str]]] | None:
    """Return what `get_keys_to_action()` says: keys, as characters or their codes, to the game's own action."""
    inner = getattr(env, "unwrapped", env)
    if not hasattr(inner, "get_keys_to_action"):
        return None
    found: dict[str, list[list[str]]] = {}
    for keys, action in inner.get_keys_to_action().items():
        characters = [chr(key) if isinstance(key, int) else str(key) for key in _listed(keys)]
        codes = [_code(character) for character in characters]
        if all(codes):
            found.setdefault(actions.names[actions.index(action)], []).append([code for code in codes if code])
    for name in actions.names:
        if name in _IDLE:
            found[name] = [[], *found.get(name, [])]
    return found


def _listed(keys: Any) -> list[Any]:
    return list(keys) if isinstance(keys, str | tuple | list) else [keys]


def _code(character: str) -> str | None:
    named = {" ": "Space", "\r": "Enter", "\n": "Enter", ".": "Period", ",": "Comma"}
    if re.fullmatch("[a-zA-Z]", character):
        return f"Key{character.upper()}"
    return f"Digit{character}" if character.isdigit() else named.get(character)


def _guess(name: str) -> list[list[str]]:
    """Return the keys that a name suggests, every word of it one key: ``right_fire`` is D and space."""
    if name in _IDLE:
        return [[]]
    words = [word for word in re.split(r"[^a-z0-9]+|(?<=[a-z])(?=[0-9])", name.lower()) if word]
    words = [word for word in words if word not in _FILLERS] or words
    # Atari joins its words: UPRIGHTFIRE.
    parts = [part for word in words for part in ([word] if word in _WORDS else _split(word))]
    codes = [_WORDS.get(part) for part in parts]
    return [list(dict.fromkeys(code for code in codes if code))] if codes and all(codes) else []


def _split(word: str) -> list[str]:
    """Cut a word without gaps into known ones, or leave it whole."""
    rest, parts = word, list[str]()
    while rest:
        part = next((known for known in ("left", "right", "up", "down", "fire", "jump") if rest.startswith(known)), "")
        if not part:
            return [word]
        parts.append(part)
        rest = rest[len(part) :]
    return parts


def _with_arrows(keys: Sequence[str]) -> list[list[str]]:
    arrows = [_ARROWS.get(key, key) for key in keys]
    return [list(keys)] if arrows == list(keys) else [list(keys), arrows]


def _metadata(env: Any) -> Mapping[str, Any]:
    metadata = getattr(env, "metadata", None)
    return metadata if isinstance(metadata, Mapping) else {}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]+", "_", name.strip().lower()).strip("_") or "noop"


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Number the names that occur more than once."""
    seen: dict[str, itertools.count[int]] = {}
    counts = {name: names.count(name) for name in names}
    return tuple(
        f"{name}_{next(seen.setdefault(name, itertools.count(1)))}" if counts[name] > 1 else name for name in names
    )
