"""What a data set has seen: actions and events, how far the players came, how many frames differ; and a picture."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from worldlet.data import distinct
from worldlet.records import Episode

_COUNTS = ("actions", "events", "themes")
_LISTS = ("episode_lengths", "deaths", "coins", "distances")
_PICTURES = ("frames", "patches")

_PAPER, _INK, _BAR = (250, 249, 245), (40, 44, 52), (74, 122, 188)
_ROW, _BAR_WIDTH, _LABEL_WIDTH, _MARGIN = 18, 220, 110, 16


def episode_coverage(episode: Episode, last_info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of one episode; what the game's ``info`` does not tell stays empty."""
    names = episode.meta["action_names"]
    theme = episode.meta["theme"]
    return {
        "actions": {names[action]: int(count) for action, count in _count(episode.actions_T)},
        "events": {event: len(frames) for event, frames in episode.meta["events"].items()},
        "themes": {theme: len(episode.frames_THWC)} if theme else {},
        "episode_lengths": [len(episode)],
        **{name: _whole(last_info.get(key)) for name, key in _TOTALS.items()},
        "distinct": {
            "frames": _sketch(distinct.frame_hashes(episode.frames_THWC)),
            "patches": _sketch(distinct.patch_hashes(episode.frames_THWC[:: distinct.SAMPLED])),
        },
    }


def merge(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the counts of episodes or shards, in order."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTS}
    lists: dict[str, list[int]] = {name: [] for name in _LISTS}
    parts = list(parts)
    for part in parts:
        for name in _COUNTS:
            counts[name].update(part[name])
        for name in _LISTS:
            lists[name] += part[name]
    # A folder that was begun before pictures were counted, or counted so, goes on without the count of those parts.
    pictures = [part["distinct"] for part in parts if "distinct" in part]
    pictures = [part for part in pictures if part["frames"].get("hash") == distinct.HASH]
    return {
        **{name: dict(sorted(count.items())) for name, count in counts.items()},
        **lists,
        "distinct": {name: _merge_sketches([part[name] for part in pictures]) for name in _PICTURES},
    }


def summarise(coverage: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the per-episode lists by total, least, mean and greatest, and the sketches by counts."""
    summary = {name: _spread(values) if name in _LISTS else values for name, values in coverage.items()}
    return {**summary, "distinct": _distinct_counts(coverage)}


def draw_coverage(coverage: Mapping[str, Any], title: str) -> bytes:
    """Return a PNG with a bar chart for each count and a histogram over episodes for each list of ``merge``."""
    charts = [(name, coverage[name]) for name in _COUNTS]
    charts += [(f"{name.replace('_', ' ')} (episodes)", _histogram(coverage[name])) for name in _LISTS]
    charts += [(f"{name}, seen and distinct", counts) for name, counts in _distinct_counts(coverage).items()]
    charts = [(name, bars) for name, bars in charts if any(bars.values())]
    columns = [charts[0::2], charts[1::2]]
    column_width = _LABEL_WIDTH + _BAR_WIDTH + 90
    height = max(sum((len(bars) + 2) * _ROW for _, bars in column) for column in columns)
    image = Image.new("RGB", (2 * column_width + 3 * _MARGIN, height + 3 * _MARGIN + _ROW), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, _MARGIN), title, fill=_INK)
    for index, column in enumerate(columns):
        top = 2 * _MARGIN + _ROW
        for name, bars in column:
            top = _draw_bars(draw, name, bars, left=_MARGIN + index * (column_width + _MARGIN), top=top)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _sketch(hashes: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"seen": len(hashes), "hash": distinct.HASH, "sketch": distinct.write_sketch(distinct.sketch(hashes))}


def _merge_sketches(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged = distinct.merge_sketches([distinct.read_sketch(part["sketch"]) for part in parts])
    return {
        "seen": sum(part["seen"] for part in parts),
        "hash": distinct.HASH,
        "sketch": distinct.write_sketch(merged),
    }


def _distinct_counts(coverage: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    return {
        name: {"seen": part["seen"], "distinct": distinct.count_distinct(distinct.read_sketch(part["sketch"]))}
        for name, part in coverage.get("distinct", {}).items()
    }


_TOTALS = {"deaths": "deaths", "coins": "coins", "distances": "distance"}


def _count(actions_T: np.ndarray[Any, Any]) -> Iterable[tuple[int, int]]:
    values, counts = np.unique(actions_T, return_counts=True)
    return zip(values.tolist(), counts.tolist(), strict=True)


def _whole(value: Any) -> list[int]:
    number = np.asarray(value)
    return [int(number)] if number.ndim == 0 and number.dtype.kind in "iu" else []


def _spread(values: Sequence[int]) -> dict[str, float]:
    if not values:
        return {}
    mean = round(sum(values) / len(values), 3)
    return {"total": sum(values), "min": min(values), "mean": mean, "max": max(values)}


def _histogram(values: Sequence[int], bins: int = 10) -> dict[str, int]:
    if not values:
        return {}
    width = max(1, -(-(max(values) - min(values) + 1) // bins))
    counts = Counter((value - min(values)) // width for value in values)
    lows = range(min(values), max(values) + 1, width)
    return {f"{low} to {low + width - 1}" if width > 1 else f"{low}": counts[i] for i, low in enumerate(lows)}


def _draw_bars(draw: ImageDraw.ImageDraw, name: str, bars: Mapping[str, int], left: int, top: int) -> int:
    draw.text((left, top), name, fill=_INK)
    most = max(max(bars.values()), 1)
    for label, count in bars.items():
        top += _ROW
        begin = left + _LABEL_WIDTH
        draw.text((left, top), label[:17], fill=_INK)
        draw.rectangle((begin, top + 1, begin + _BAR_WIDTH * count // most, top + _ROW - 6), fill=_BAR)
        draw.text((begin + _BAR_WIDTH * count // most + 6, top), f"{count:,}", fill=_INK)
    return top + 2 * _ROW
