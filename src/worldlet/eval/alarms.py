"""What is wrong with a world, by name, from the figures of its card.

Every rule holds a figure against the card's own ceiling (the real game, scored by the same code) or its own trivial
answers, so that an alarm says what it rests on. The real game in the place of a dream raises none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from worldlet.eval.goals import find, value_at

Card = dict[str, Any]

WRONG_GAIN = 0.02
"""Pixels that are on average so much brighter or darker than the real ones are on a wrong scale."""
SHARP = 0.75
"""So much of the edges inside the hero must be left in the first dreamed frame."""
LATE = 0.5
"""Frames by which actions may show later than in the real game, on average."""
HEARD = 0.5
"""Of what lies between ignoring actions and obeying them as the real game does, so much must be reached."""
DEPARTED = 0.2
"""Share of runs that may leave the real game's range for good in one measure."""
BROKEN = 0.1
"""By how much less often than in the real game a law may hold."""

DEPARTURES = {
    "theme": "the theme is lost",
    "hero": "the hero dissolves",
    "sharpness": "the picture blurs or grows noisy",
    "hero_sharpness": "the hero is blurred",
    "moving": "the picture freezes or flickers",
    "colours": "the colours drift",
    "token_entropy": "the tokens grow poorer or noisier",
    "ground": "too much or too little ground",
    "coin": "too many or too few coins",
    "spike": "too many or too few spikes",
    "enemy": "too many or too few enemies",
}
LAWS = {
    "gravity": "gravity is another",
    "walls": "walls let through",
    "contact": "the hero walks on air",
    "hero": "there is not one hero",
    "coins": "coins come or go by themselves",
    "enemies": "enemies come or go by themselves",
}


class Alarm(NamedTuple):
    """What is wrong, the path of the figure that says so, and that figure beside what it should be, in words."""

    name: str
    path: str
    text: str


def alarms(card: Card) -> list[Alarm]:
    """Return everything that is wrong with the world of a card, as far as it was measured."""
    return [alarm for rule in RULES for alarm in rule(card)]


def _leaks(card: Card) -> Iterator[Alarm]:
    for leak in card.get("leaks", {}).get("found", []):
        yield Alarm("train/test leak", "leaks", leak)


def _pixel_scale(card: Card) -> Iterator[Alarm]:
    for path, whose in (("reconstruction.pixel_gain", "reconstructed"), ("rollout.pixel_gain", "dreamed")):
        gain = value_at(card, path)
        if gain is not None and abs(gain - 1) > WRONG_GAIN:
            yield Alarm("wrong pixel scale", path, f"{whose} pixels are {gain:.3f} times as bright as the real ones")


def _blurred(card: Card) -> Iterator[Alarm]:
    path = "rollout.hero_sharpness"
    sharpness = value_at(card, path)
    if sharpness is not None and sharpness < SHARP:
        yield Alarm(
            DEPARTURES["hero_sharpness"], path, f"the first dreamed frame has {sharpness:.0%} of his real edges"
        )


def _late(card: Card) -> Iterator[Alarm]:
    late = value_at(card, "control.delay_frames")
    if late is not None and abs(late) > LATE:
        yield Alarm(
            "actions are shifted", "control.delay_frames", f"they show {late:+.2f} frames later than they should"
        )


def _ignored(card: Card) -> Iterator[Alarm]:
    names = ("accuracy", "ignored_accuracy", "real_accuracy")
    ours, ignored, real = (value_at(card, f"control.{name}") for name in names)
    if ours is None or ignored is None or real is None or real <= ignored:
        return
    heard = (ours - ignored) / (real - ignored)
    if heard < HEARD:
        text = f"accuracy {ours:.2f}, with none done {ignored:.2f}, in the real game {real:.2f}"
        yield Alarm("actions are ignored", "control.accuracy", text)


def _departures(card: Card) -> Iterator[Alarm]:
    for part in ("drift", "long_drift"):
        dreamed, real = (find(card, f"{part}.{prefix}horizon_s") for prefix in ("", "real_"))
        if dreamed is None or real is None or not real["n"]:
            continue
        for measure, left in dreamed["departed"].items():
            ceiling = real["departed"].get(measure, {"value": 0.0})["value"]
            if left["value"] >= DEPARTED and left["value"] > ceiling:
                text = (
                    f"{left['value']:.0%} of {left['n']} runs leave the real game's range of "
                    f"{measure.replace('_', ' ')} for good, the first after {left['first_s']:.1f} s "
                    f"(the real game: {ceiling:.0%})"
                )
                yield Alarm(DEPARTURES[measure], f"{part}.horizon_s", text)


def _laws(card: Card) -> Iterator[Alarm]:
    for law, name in LAWS.items():
        ours, real = (value_at(card, f"physics.{prefix}{law}") for prefix in ("", "real_"))
        if ours is not None and real is not None and ours < real - BROKEN:
            yield Alarm(
                name, f"physics.{law}", f"the rule holds in {ours:.2f} of cases, in the real game in {real:.2f}"
            )


def _memory(card: Card) -> Iterator[Alarm]:
    """Name the shortest time away after which places are clearly not what they were: in nearly all resamples."""
    for time, same in card.get("memory", {}).get("same", {}).items():
        real = value_at(card, f"memory.real_same.{time}")
        if same["value"] is not None and real is not None and (same["interval"] or [same["value"]])[-1] < real:
            text = f"after {time} frames {same['value']:.3f} of a place is as it was left, in the real game {real:.3f}"
            yield Alarm("places come back changed", f"memory.same.{time}", text)
            return


Rule = Callable[[Card], Iterator[Alarm]]
RULES: tuple[Rule, ...] = (_leaks, _pixel_scale, _blurred, _late, _ignored, _departures, _laws, _memory)
