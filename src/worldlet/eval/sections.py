"""The sections of a card, as tables that `card.md` and `card.html` share."""

from __future__ import annotations

import re
from typing import Any

from worldlet.eval.baselines import COPY, IGNORED, MEAN, SHUFFLED, VERDICTS
from worldlet.eval.goals import find, goal_text, verdict, wanted_of
from worldlet.eval.tables import Table, bounds, emphasis, number

WHOSE = {
    "": "the dream, on its own",
    "forced_": "the dream, shown every real frame but the next",
    "ceiling_": "the real frames through the tokenizer",
    "copy_": "the last real frame, repeated",
    "mean_": "the mean image of the data",
    "ignored_": "the real game, no action done",
    "shuffled_": "the real game, another play's actions",
}
MEASURES = {
    "psnr_db": "PSNR by dreamed frames (dB): whole frame",
    "known_psnr_db": "PSNR by dreamed frames (dB): what had been in view at the start",
    "new_psnr_db": "PSNR by dreamed frames (dB): what is new, where a dream may differ and be right",
    "hero_psnr_db": "PSNR by dreamed frames (dB): the hero, while the past determines him",
}
LIKENESS = {
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "lpips": "LPIPS (less is better)",
    "gmsd": "GMSD (less is better; no LPIPS weights here)",
}
CLIPS = {
    "temporal_lpips": "temporal LPIPS (less is better)",
    "temporal_gmsd": "temporal GMSD (less is better; no LPIPS weights here)",
    "fvd": "FVD (less is better)",
    "frechet_random_3d": "Fréchet distance of random 3D features (less is better; not FVD: no weights here)",
}


def tables(card: dict[str, Any]) -> list[Table]:
    """Return every table of a card in order; tables of parts that were not measured have no rows."""
    by_frames = [*horizons(card), likeness(card), clips(card)]
    return [
        goals(card),
        baselines(card),
        milestones(card),
        *by_frames,
        terrain(card),
        drift(card),
        physics(card),
        memory(card),
        judged(card),
        game(card),
        unjudged(card),
    ]


def goals(card: dict[str, Any]) -> Table:
    """Return what must and should be reached beside what is."""
    rows = []
    for wanted in wanted_of(card):
        figure = find(card, wanted.path)
        value = figure["value"] if figure else None
        rows.append(
            (
                wanted.what,
                goal_text(wanted, wanted.must),
                goal_text(wanted, wanted.aim),
                number(value, wanted.digits, wanted.unit),
                bounds(figure, wanted.digits),
                f"{figure['n']:,}" if figure else "-",
                emphasis(verdict(wanted, value)),
            )  # fmt: skip
        )
    head = ("what", "must", "aim", "reached", "95 % interval", "n", "verdict")
    return Table("Goals", head, tuple(rows), "Intervals are of a bootstrap over runs; `n` counts observations.")


def baselines(card: dict[str, Any]) -> Table:
    """Return the trivial answers beside the figures that have to beat them."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for pair in card.get("baselines", []):
        groups.setdefault(pair["what"], []).append(pair)
    rows = []
    for what, pairs in groups.items():
        rivals = {pair["baseline"]: _with_interval(find(card, pair["baseline_path"])) for pair in pairs}
        cells = [rivals.get(name, "-") for name in (COPY, IGNORED, SHUFFLED, MEAN)]
        worst = max((pair["verdict"] for pair in pairs), key=VERDICTS.index)
        path = pairs[0]["path"]
        rows.append((what, _with_interval(find(card, path)), *cells, _ceiling(card, path), emphasis(worst)))
    head = ("what", "dream", COPY, IGNORED, SHUFFLED, MEAN, "real game", "verdict")
    note = (
        "Who copies repeats the last real frame. Who ignores actions is the real game with none done, who shuffles "
        "them the real game under another play's (for control: the dream itself, so treated). The real game is scored "
        "by the same code, its pictures through the world's tokenizer. Unclear: better than all, but intervals meet."
    )
    return Table("Beside trivial answers", head, tuple(rows), note)


def milestones(card: dict[str, Any]) -> Table:
    """Return the project's named gates."""
    rows = tuple(
        (gate["gate"] if not n else "", item["what"], item["goal"], item["reached"], emphasis(item["verdict"]))
        for gate in card.get("milestones", {}).get("gates", [])
        for n, item in enumerate([*gate["criteria"], {**_GATE, "verdict": gate["verdict"]}])
    )
    head = ("gate", "what", "goal", "reached", "verdict")
    share = card.get("milestones", {}).get("capability")
    note = "" if share is None else f"Capabilities shown: {share['value']:.1f} % ({share['shown']} of {share['n']})."
    return Table("Milestones", head, rows, note)


_GATE = {"what": "**the gate**", "goal": "", "reached": ""}


def horizons(card: dict[str, Any]) -> list[Table]:
    """Return one table for each measure of the rollouts: who answers down, dreamed frames across."""
    rollout = card.get("rollout", {})
    found = []
    for measure, title in MEASURES.items():
        at = list(rollout.get(measure, {}))
        rows = []
        for prefix, whose in WHOSE.items():
            figures = rollout.get(prefix + measure)
            if figures and any(figure["n"] for figure in figures.values()):
                rows.append((whose, *(_with_interval(figures.get(horizon)) for horizon in at)))
        head = ("who answers", *at)
        found.append(Table(title, head, tuple(rows), "In brackets: the 95 % interval, and n."))
    return found


def likeness(card: dict[str, Any]) -> Table:
    """Return how alike dreamed and real frames look, by structure and by a perceptual distance."""
    rollout = card.get("rollout", {})
    at = list(rollout.get("ssim", {}))
    rows = tuple(
        (f"{title}: {WHOSE[prefix]}", *(_with_interval(figures.get(horizon), 3) for horizon in at))
        for name, title in LIKENESS.items()
        for prefix in WHOSE
        for figures in (rollout.get(prefix + name),)
        if figures
    )
    return Table("Likeness by dreamed frames", ("measure and who answers", *at), rows)


def clips(card: dict[str, Any]) -> Table:
    """Return how alike motion and clips look."""
    rollout = card.get("rollout", {})
    rows = []
    for name, title in CLIPS.items():
        figure = rollout.get(name)
        if figure:
            words = (f"{key.replace('_', ' ')} {_text(value)}" for key, value in figure.items() if key not in _SHAPE)
            rows.append((title, number(figure["value"], 3), bounds(figure, 3), f"{figure['n']:,}", ", ".join(words)))
    return Table("Motion and clips", ("what", "value", "95 % interval", "n", "of what"), tuple(rows))


_SHAPE = ("value", "n", "interval", "units")


def terrain(card: dict[str, Any]) -> Table:
    """Return what scrolls into the dream beside what scrolls into the real game."""
    rows = tuple(
        (
            name, number(figure["dreamed"]), number(figure["real"]), number(figure["value"]), bounds(figure),
            f"{figure['n']:,}",
        )
        for name, figure in card.get("drift", {}).get("terrain", {}).items()
    )  # fmt: skip
    head = ("per 100 new columns", "dream", "real game, by the same reader", "ratio", "95 % interval", "n")
    return Table("What scrolls into view", head, rows)


LAWS = {
    "score": "all laws: the mean of gravity, walls, contact and conservation",
    "gravity": "gravity: flights accelerate as real ones do, and begin when asked for",
    "walls": "walls: the hero is not inside what is solid",
    "contact": "contact: on foot, he has something solid under him",
    "conservation": "conservation: the worst of the next three",
    "hero": "frames with one hero",
    "coins": "coins that come and go as they may",
    "enemies": "enemies that come and go as they may",
}


def physics(card: dict[str, Any]) -> Table:
    """Return how well the rules of the game are kept, and how true what is read of real frames is."""
    figures = card.get("physics", {})
    rows = [
        (text, *(_with_interval(figures.get(prefix + name), 3) for prefix in ("", "copy_", "real_")))
        for name, text in LAWS.items()
        if name in figures
    ]
    detector = figures.get("detector", {})
    for name in ("hero", "enemies", "coins", "false_alarms"):
        if name in detector:
            text = f"the reader, in real frames: {name.replace('_', ' ')}"
            rows.append((text, "-", "-", _with_interval(detector[name], 4)))
    note = (
        "Read from pixels: 1 is as the game's rules have it. The reader is judged against the truth, within 2 pixels."
    )
    return Table("Physics", ("law", "dream", COPY, "real game"), tuple(rows), note)


def memory(card: dict[str, Any]) -> Table:
    """Return how much of a place is as it was left, by frames away."""
    figures = card.get("memory", {})
    at = list(figures.get("same", {}))
    rows = tuple(
        (f"{text}: {whose}", *(_with_interval(figures[prefix + name].get(time), 3) for time in at))
        for name, text in (("same", "tiles around him"), ("screen", "tiles of the screen"), ("returned", "he is back"))
        for prefix, whose in (("", "dream"), ("copy_", COPY), ("real_", "real game"))
        if prefix + name in figures
    )
    note = (
        "The hero walks off, waits and comes back: the share that reads as it was left. In a copied frame nobody "
        "leaves. The game's camera never goes back, so that places stay on the screen meanwhile."
    )
    return Table("Memory by frames away", ("what", *at), rows, note)


def drift(card: dict[str, Any]) -> Table:
    """Return how long runs stay the game, and in what they leave it."""
    rows = []
    for part, played in (("drift", "a run of the closed loop"), ("long_drift", "minutes of play")):
        for prefix, who in (("", "dream"), ("copy_", "copied frame"), ("real_", "real game")):
            figure = card.get(part, {}).get(f"{prefix}horizon_s")
            if figure and figure["value"] is not None:
                left = [f"{name.replace('_', ' ')} {of['value']:.0%}" for name, of in figure["departed"].items()]
                length = figure["frames"] / card["world"]["fps"]
                spans = (number(figure["value"]), bounds(figure), number(length, 0), f"{figure['n']:,}")
                rows.append((f"{who}, {played}", *spans, ", ".join(left) or "nothing"))
    head = ("seconds until a lasting departure", "mean", "95 % interval", "of at most", "n", "left for good, by runs")
    return Table("Drift over time", head, tuple(rows))


JUDGED = {
    "changed": "tokens that change and are right, one frame ahead",
    "wrongly_changed": "tokens that should not change and do",
    "accuracy": "the judge names the action done, from dreamed frames",
    "real_accuracy": "the same from real frames",
    "constant_accuracy": "the best answer that is always the same",
    "relative": "the first over the second",
    "shuffled_accuracy": "the same from dreams under other actions",
    "excluded": "moments left out: all actions come to the same",
    "paddle": "the paddle goes where the real one does",
    "paddle_shuffled": "the same under other actions",
    "ball_near": "the ball is within 4 pixels after 10 frames",
    "copy_ball_near": "the ball of the last real frame is",
}


def judged(card: dict[str, Any]) -> Table:
    """Return what recorded plays tell beyond pixels."""
    figures = card.get("judged", {})
    rows = tuple(
        (text, number(figures[name]["value"], 4), bounds(figures[name], 4), f"{figures[name]['n']:,}")
        for name, text in JUDGED.items()
        if name in figures
    )
    note = f"Actions count as the same by {figures['classes']}." if "classes" in figures else ""
    if "asked" in figures and figures["asked"]["value"] < figures["asked"]["n"]:
        asked = figures["asked"]
        note += f" Its state cannot be copied: it was asked about {asked['value']} of {asked['n']} moments."
    return Table("Recorded plays", ("what", "value", "95 % interval", "n"), rows, note)


def game(card: dict[str, Any]) -> Table:
    """Return how much the real game leaves to dream."""
    figures = {name: figure for name, figure in card.get("game", {}).items() if "value" in figure}
    figures |= {f"copy_psnr_db.{lag}": f for lag, f in card.get("game", {}).get("copy_psnr_db", {}).items()}
    rows = tuple((f"`{name}`", number(f["value"]), bounds(f), f"{f['n']:,}") for name, f in figures.items())
    return Table("The real game", ("what", "value", "95 % interval", "n"), rows)


def unjudged(card: dict[str, Any]) -> Table:
    """Return which parts could not be judged, and why."""
    return Table("Not judged", ("part", "why"), tuple((f"**{part}**", why) for part, why in card["not_judged"].items()))


def facts(card: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the card was measured with, as (name, text)."""
    run, world, suite = card["run"], card["world"], card["suite"]
    lines = [(name, _text(value)) for name, value in run.items() if name != "command"]
    if "leaks" in card:
        lines += [("leaks", f"{card['leaks']['value']} in {card['leaks']['n']:,} episodes of {card['leaks']['data']}")]
    lines += [("suite", f"{suite['size']['name']}, {suite['sha256'][:16] or 'none'}")]
    lines += [("world", world["identity"][:16])]
    lines += [(name, _text(world[name])) for name in ("parameters", "training", "licence") if world.get(name)]
    return lines


def _ceiling(card: dict[str, Any], path: str) -> str:
    """Return what the real game scores in the place of a dream."""
    part, _, rest = path.partition(".")
    prefix = "ceiling" if part == "rollout" else "real"
    return _with_interval(find(card, f"{part}.{prefix}_{rest}"))


def _with_interval(figure: dict[str, Any] | None, digits: int = 2) -> str:
    if not figure or figure["value"] is None:
        return "-"
    between = figure.get("interval")
    span = f"{bounds(figure, digits)}, " if between else ""
    return f"{figure['value']:.{digits}f} ({span}n {figure['n']:,})"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    return re.sub(r"\s+", " ", str(value))
