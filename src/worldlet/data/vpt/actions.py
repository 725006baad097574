"""The 4356 actions of SmolWorld's code: 11 x 11 camera bins, attack, jump, and nine ways to move.

``index = mx + my * 11 + attack * 121 + jump * 242 + move * 484``. The camera bins are those of the published VPT agent:
mouse counts become degrees, degrees are mu-law companded (mu 10, at most 10 degrees a frame) and rounded to bins of
width 2 (openai/Video-Pre-Training, ``agent.py`` and ``lib/actions.py``). Shape letter: ``T`` frames' worth of input.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CAMERA_BINS = 11
CENTRE = CAMERA_BINS // 2
"""The bin of a mouse that rests."""
DEGREES_PER_COUNT = 360 / 2400
"""How far one count of the mouse turns the camera."""
CAMERA_LIMIT = 10.0
"""Degrees a frame beyond which every turn falls into the outermost bin."""
BIN_WIDTH = 2.0
MU = 10.0
MOVES = ("stop", "w", "a", "s", "d", "wa", "wd", "sa", "sd")
"""The nine states of W, A, S and D, where opposite keys cancel; the first five are numbered as SmolWorld's player has
them."""
ACTIONS = CAMERA_BINS * CAMERA_BINS * 2 * 2 * len(MOVES)
"""4356."""
LOOK_BINS = (2, CENTRE, 8)
"""The bins that arrow keys turn the camera by: 3.2 degrees a frame."""


@dataclass(frozen=True)
class VptAction:
    """One action in its parts: camera bins 0 to 10 of yaw (``mx``) and pitch (``my``), two buttons, one of MOVES."""

    mx: int = CENTRE
    my: int = CENTRE
    attack: bool = False
    jump: bool = False
    move: int = 0

    def __post_init__(self) -> None:
        for name, end in {"mx": CAMERA_BINS, "my": CAMERA_BINS, "move": len(MOVES)}.items():
            if not 0 <= getattr(self, name) < end:
                raise ValueError(f"{name} must be 0 to {end - 1}, not {getattr(self, name)}")

    @property
    def index(self) -> int:
        """The action's number, 0 to 4355."""
        return self.mx + self.my * 11 + self.attack * 121 + self.jump * 242 + self.move * 484

    @classmethod
    def from_index(cls, index: int) -> VptAction:
        """Undo ``index``; ValueError for a number that is no action."""
        if not 0 <= index < ACTIONS:
            raise ValueError(f"a VPT action is a number from 0 to {ACTIONS - 1}, not {index}")
        rest, mx = divmod(index, 11)
        rest, my = divmod(rest, 11)
        rest, attack = divmod(rest, 2)
        move, jump = divmod(rest, 2)
        return cls(mx, my, bool(attack), bool(jump), move)

    @property
    def name(self) -> str:
        """Return a name such as ``wd jump attack yaw+3 pitch-1``, bins counted from the centre."""
        words = [MOVES[self.move], *(["jump"] if self.jump else []), *(["attack"] if self.attack else [])]
        turns = {"yaw": self.mx - CENTRE, "pitch": self.my - CENTRE}
        return " ".join(words + [f"{axis}{turn:+d}" for axis, turn in turns.items() if turn])


def camera_bins(degrees: ArrayLike) -> NDArray[np.int64]:
    """Return the bins 0 to 10 of camera turns in degrees a frame, of any shape."""
    clipped = np.clip(np.asarray(degrees, np.float64), -CAMERA_LIMIT, CAMERA_LIMIT) / CAMERA_LIMIT
    companded = np.sign(clipped) * np.log1p(MU * np.abs(clipped)) / np.log1p(MU)
    return np.round((companded + 1) * CAMERA_LIMIT / BIN_WIDTH).astype(np.int64)


def camera_degrees(bins: ArrayLike) -> NDArray[np.float64]:
    """Return the degrees a frame in the middle of camera bins: what ``camera_bins`` undoes exactly."""
    companded = np.asarray(bins, np.float64) * BIN_WIDTH / CAMERA_LIMIT - 1
    return np.sign(companded) * (np.power(1 + MU, np.abs(companded)) - 1) / MU * CAMERA_LIMIT


def encode_actions(
    dx_T: NDArray[Any], dy_T: NDArray[Any], attack_T: NDArray[Any], jump_T: NDArray[Any], wasd_T4: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return action numbers int64 (T,) of mouse counts, two buttons, and which of W, A, S and D were held."""
    forward_T = wasd_T4[:, 0].astype(np.int64) - wasd_T4[:, 2]
    right_T = wasd_T4[:, 3].astype(np.int64) - wasd_T4[:, 1]
    mx_T, my_T = camera_bins(dx_T * DEGREES_PER_COUNT), camera_bins(dy_T * DEGREES_PER_COUNT)
    buttons_T = np.asarray(attack_T, np.int64) * 121 + np.asarray(jump_T, np.int64) * 242
    return mx_T + my_T * 11 + buttons_T + _MOVE_OF[forward_T + 1, right_T + 1] * 484


def action_names() -> tuple[str, ...]:
    """Return the names of all 4356 actions in order."""
    return tuple(VptAction.from_index(index).name for index in range(ACTIONS))


def key_bindings() -> dict[str, list[list[str]]]:
    """Return keys for the 324 actions that a keyboard reaches: WASD, space, J to attack, arrows to look around."""
    yaw = {LOOK_BINS[0]: ["ArrowLeft"], CENTRE: [], LOOK_BINS[2]: ["ArrowRight"]}
    pitch = {LOOK_BINS[0]: ["ArrowUp"], CENTRE: [], LOOK_BINS[2]: ["ArrowDown"]}
    bindings = {}
    for move, jump, attack, mx, my in itertools.product(range(len(MOVES)), (False, True), (False, True), yaw, pitch):
        walk = [] if move == 0 else [f"Key{letter.upper()}" for letter in MOVES[move]]
        keys = [*walk, *(["Space"] if jump else []), *(["KeyJ"] if attack else []), *yaw[mx], *pitch[my]]
        if keys:
            bindings[VptAction(mx, my, attack, jump, move).name] = [keys]
    return bindings


_MOVE_OF = np.array(
    [
        [MOVES.index("sa"), MOVES.index("s"), MOVES.index("sd")],
        [MOVES.index("a"), MOVES.index("stop"), MOVES.index("d")],
        [MOVES.index("wa"), MOVES.index("w"), MOVES.index("wd")],
    ]
)
"""By forward + 1 and right + 1, each -1, 0 or 1."""
