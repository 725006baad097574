"""The action file of a VPT segment: one JSON object a line, one line a video frame, twenty a second.

Fields as the README of openai/Video-Pre-Training publishes them for recorder 7.x: ``mouse`` (``x y dx dy scaledX
scaledY dwheel buttons newButtons``), ``keyboard`` (``keys newKeys chars``), ``isGuiOpen isGuiInventory hotbar yaw pitch
xpos ypos zpos tick milli inventory serverTick serverTickDurationMs stats``. Older recorders and the BASALT files lack
some; only what makes an action is required. The rules below are those of its ``data_loader.py`` and
``run_inverse_dynamics_model.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ATTACK, USE, PICK = 0, 1, 2  # numbers of the mouse buttons
MOUSE_BUTTONS = {ATTACK: "attack", USE: "use", PICK: "pickItem"}
ESCAPE, INVENTORY_KEY = "key.keyboard.escape", "key.keyboard.e"
KEYS = {
    "key.keyboard.w": "forward",
    "key.keyboard.a": "left",
    "key.keyboard.s": "back",
    "key.keyboard.d": "right",
    "key.keyboard.space": "jump",
    "key.keyboard.left.shift": "sneak",
    "key.keyboard.left.control": "sprint",
    INVENTORY_KEY: "inventory",
    "key.keyboard.q": "drop",
    "key.keyboard.f": "swapHands",
    **{f"key.keyboard.{number}": f"hotbar.{number}" for number in range(1, 10)},
}
"""The keys that act in the world, and MineRL's names for what they do; all others are ignored."""
BUTTONS = (*KEYS.values(), *MOUSE_BUTTONS.values())
GUI_MOUSE_SCALE = {"5.7": 0.5, "5.8": 0.5, "6.7": 2.0, "6.8": 2.0, "6.9": 2.0}
"""By recorder version: what mouse movement is multiplied by while a menu is open; 1 for all others."""


@dataclass(frozen=True)
class Tick:
    """One line: what was pressed while one frame was on the screen, and where the player stood.

    ``mouse`` is (x, y) in pixels of a 1280x720 window, ``dx`` and ``dy`` are mouse counts since the last line,
    ``buttons`` and ``keys`` are held, ``new_buttons`` were pressed just now. Angles are degrees, ``milli`` is wall
    clock. What the file does not hold is ``None``; ``hotbar`` counts from 0.
    """

    dx: float
    dy: float
    buttons: frozenset[int]
    new_buttons: tuple[int, ...]
    keys: frozenset[str]
    new_keys: frozenset[str] = frozenset()
    chars: str = ""
    mouse: tuple[float, float] | None = None
    scaled: tuple[float, float] | None = None
    wheel: float = 0.0
    gui: bool = False
    gui_inventory: bool = False
    hotbar: int | None = None
    yaw: float | None = None
    pitch: float | None = None
    position: tuple[float, float, float] | None = None
    tick: int | None = None
    milli: int | None = None
    inventory: tuple[tuple[str, int], ...] = ()
    server_tick: int | None = None
    server_tick_ms: float | None = None
    stats: Mapping[str, int] = field(default_factory=dict)

    @property
    def pressed(self) -> frozenset[str]:
        """The names of all MineRL buttons that are held."""
        keys = {KEYS[key] for key in self.keys if key in KEYS}
        return frozenset(keys | {MOUSE_BUTTONS[button] for button in self.buttons if button in MOUSE_BUTTONS})

    @property
    def null(self) -> bool:
        """Whether nothing is held and the mouse rests: the actions that the published loader leaves out."""
        return not self.pressed and not self.dx and not self.dy


def read_log(path: Path) -> list[Tick | None]:
    """Return one tick a line; ``None`` for a line that holds none, as recorders wrote when mouse or keys were null.

    Raises ValueError where the file is no log at all.
    """
    lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    ticks = [parse_tick(line) for line in lines]
    if not any(ticks):
        raise ValueError(f"{path} holds no line of a VPT action file")
    return ticks


def parse_tick(line: bytes | str) -> Tick | None:
    """Read one line; ``None`` where it is damaged or lacks what makes an action."""
    try:
        values = json.loads(line)
        mouse, keyboard = values["mouse"], values["keyboard"]
        stock = values.get("inventory") or ()
        return Tick(
            dx=float(mouse["dx"]),
            dy=float(mouse["dy"]),
            buttons=frozenset(int(button) for button in mouse["buttons"]),
            new_buttons=tuple(int(button) for button in mouse.get("newButtons", ())),
            keys=frozenset(keyboard["keys"]),
            new_keys=frozenset(keyboard.get("newKeys", ())),
            chars=str(keyboard.get("chars", "")),
            mouse=_floats(mouse, ("x", "y")),  # type: ignore[arg-type]
            scaled=_floats(mouse, ("scaledX", "scaledY")),  # type: ignore[arg-type]
            wheel=float(mouse.get("dwheel", 0)),
            gui=bool(values.get("isGuiOpen", False)),
            gui_inventory=bool(values.get("isGuiInventory", False)),
            hotbar=_number(values, "hotbar", int),
            yaw=_number(values, "yaw", float),
            pitch=_number(values, "pitch", float),
            position=_floats(values, ("xpos", "ypos", "zpos")),  # type: ignore[arg-type]
            tick=_number(values, "tick", int),
            milli=_number(values, "milli", int),
            inventory=tuple((str(item["type"]), int(item["quantity"])) for item in stock),
            server_tick=_number(values, "serverTick", int),
            server_tick_ms=_number(values, "serverTickDurationMs", float),
            stats=values.get("stats") or {},
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def mend(ticks: Sequence[Tick | None], version: str) -> list[Tick | None]:
    """Apply the published rules to the ticks of one segment, recorded by ``version`` such as ``6.9``.

    - A first line that has just pressed nothing but attack means that the button is stuck: it counts as released
      until it is pressed again.
    - Turning the wheel is not recorded: where the selected slot changes, that slot's key counts as pressed.
    - Escape closes a menu as the inventory key does, and counts as that; outside of menus it counts as nothing.
    - In menus some recorders scaled the mouse.
    """
    mended = list[Tick | None]()
    stuck, slot = False, None
    for index, tick in enumerate(ticks):
        if tick is None:
            mended.append(None)
            continue
        stuck = tick.new_buttons == (ATTACK,) if index == 0 else stuck and ATTACK not in tick.new_buttons
        buttons = tick.buttons - {ATTACK} if stuck else tick.buttons
        keys = set(tick.keys)
        if tick.gui and ESCAPE in tick.keys:
            keys.add(INVENTORY_KEY)
        if tick.hotbar is not None and slot is not None and tick.hotbar != slot:
            keys.add(f"key.keyboard.{tick.hotbar + 1}")
        slot = tick.hotbar if tick.hotbar is not None else slot
        scale = GUI_MOUSE_SCALE.get(version, 1.0) if tick.gui else 1.0
        mended.append(replace(tick, buttons=buttons, keys=frozenset(keys), dx=tick.dx * scale, dy=tick.dy * scale))
    return mended


def _number(values: Mapping[str, Any], name: str, kind: type) -> Any:
    return None if values.get(name) is None else kind(values[name])


def _floats(values: Mapping[str, Any], names: Sequence[str]) -> tuple[float, ...] | None:
    if any(values.get(name) is None for name in names):
        return None
    return tuple(float(values[name]) for name in names)
