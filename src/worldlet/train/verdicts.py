"""How good a judge is: accuracy overall, per action, and with actions of the same outcome taken as one class.

Letters: T actions of a play, M moments, A actions of the game.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.data.outcomes import Game, NotTheSameGameError, ask
from worldlet.dynamics.inverse import InverseDynamics
from worldlet.train.moments import Play

SPAN = 9
"""Actions over which sureness is averaged: one doubtful frame is no reason to cut a video."""


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What a judge said of moments whose action is known.

    ``sureness_M`` is that of the span around each moment; ``classes_MA`` the classes of same outcome that the real game
    gave at the moments ``asked_M``, or None where it could not be asked, and then ``why_no_classes`` says why.
    """

    probabilities_MA: NDArray[np.float32]
    actions_M: NDArray[np.int64]
    sureness_M: NDArray[np.float64]
    classes_MA: NDArray[np.int64] | None = None
    asked_M: NDArray[np.bool_] | None = None
    why_no_classes: str = ""

    @property
    def known_M(self) -> NDArray[np.bool_]:
        """The moments whose right answers are known as well as can be: those asked about, or all where none was."""
        return np.ones(len(self.actions_M), bool) if self.asked_M is None else self.asked_M

    @property
    def right_M(self) -> NDArray[np.bool_]:
        """Whether the likeliest action is the one that was done."""
        return self.probabilities_MA.argmax(1) == self.actions_M

    @property
    def same_outcome_M(self) -> NDArray[np.bool_]:
        """Whether the likeliest action comes to the same as the one done; where nobody was asked, whether it is it."""
        if self.classes_MA is None:
            return self.right_M
        rows = np.arange(len(self.actions_M))
        same: NDArray[np.bool_] = (
            self.classes_MA[rows, self.probabilities_MA.argmax(1)] == self.classes_MA[rows, self.actions_M]
        )
        return same


@dataclass(frozen=True, eq=False)
class Tally:
    """How sure a judge was of moments whose action is known, and whether it was right: enough to set its threshold.

    ``same_outcome_M`` counts what comes to the same as right, at the moments ``known_M`` that were asked about; it is
    ``right_M`` at all of them where the game was not ``asked``.
    """

    sureness_M: NDArray[np.float64]
    right_M: NDArray[np.bool_]
    same_outcome_M: NDArray[np.bool_]
    known_M: NDArray[np.bool_]
    asked: bool

    @classmethod
    def of(cls, heard: Verdicts) -> Tally:
        """Return what of verdicts decides."""
        return cls(heard.sureness_M, heard.right_M, heard.same_outcome_M, heard.known_M, heard.classes_MA is not None)

    def to_json(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        flags = {name: getattr(self, name).astype(int).tolist() for name in ("right_M", "same_outcome_M", "known_M")}
        return {"sureness_M": self.sureness_M.tolist(), **flags, "asked": self.asked}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Tally:
        """Return what `to_json` was made of."""
        flags = {name: np.array(values[name], bool) for name in ("right_M", "same_outcome_M", "known_M")}
        return cls(np.array(values["sureness_M"], np.float64), **flags, asked=bool(values["asked"]))


def sureness(probabilities_TA: NDArray[np.float32], span: int = SPAN) -> NDArray[np.float64]:
    """Return how sure a judge is around each action of a play: the mean over ``span`` of the largest probability."""
    most_T = probabilities_TA.max(1).astype(np.float64)
    total = np.concatenate([[0.0], np.cumsum(most_T)])
    at = np.arange(len(most_T))
    first, end = np.maximum(at - span // 2, 0), np.minimum(at + span // 2 + 1, len(most_T))
    means: NDArray[np.float64] = (total[end] - total[first]) / (end - first)
    return means


def hear(
    judge: InverseDynamics,
    plays: Sequence[Play],
    moments: int,
    make: Callable[[], Game] | str,
    horizon: int,
    steps: int = 200_000,
) -> Verdicts:
    """Let a judge judge up to ``moments`` moments, evenly spread over all plays, and ask the game about each.

    ``make`` makes the game, or is the reason why there is none to ask. Where its state cannot be copied, it is asked
    about the early moments that ``steps`` steps of it suffice for (`worldlet.data.outcomes.ask`).
    """
    total = sum(len(play) for play in plays)
    stride = max(1, -(-total // moments))
    ats = [np.arange(0, len(play), stride) for play in plays]
    said, actions, sure = [], [], []
    for play, at in zip(plays, ats, strict=True):
        probabilities_TA = judge.predict_episode(play.frames_THWC)
        said.append(probabilities_TA[at])
        actions.append(play.actions_T[at])
        sure.append(sureness(probabilities_TA)[at])
    heard = Verdicts(np.concatenate(said), np.concatenate(actions), np.concatenate(sure))
    if isinstance(make, str):
        return replace(heard, why_no_classes=make)
    try:
        classes, asked = ask(make, plays, ats, horizon, steps)
    except NotTheSameGameError as error:
        return replace(heard, why_no_classes=str(error))
    if not any(asked_M.any() for asked_M in asked):
        return replace(heard, why_no_classes=f"its state cannot be copied, and {steps} steps of it reach no moment")
    return replace(heard, classes_MA=np.concatenate(classes), asked_M=np.concatenate(asked))


def confusion(verdicts: Verdicts) -> NDArray[np.int64]:
    """Return how often action a (row) was taken for action b (column), int64 (A, A)."""
    count = verdicts.probabilities_MA.shape[1]
    pairs = verdicts.actions_M * count + verdicts.probabilities_MA.argmax(1)
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def confused_classes(confusion_AA: NDArray[np.int64], least: float = 0.25) -> NDArray[np.int64]:
    """Return classes of actions that a judge cannot tell apart, without a game to ask: int64 (A,), smallest member.

    Two classes become one while at least ``least`` of their moments are taken for each other's, the most confused
    pair first. To be found on other moments than those it is then scored on.
    """
    class_A = np.arange(len(confusion_AA))
    while True:
        best, pair = 0.0, (0, 0)
        names = np.unique(class_A)
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                in_a, in_b = class_A == a, class_A == b
                crossed = confusion_AA[np.ix_(in_a, in_b)].sum() + confusion_AA[np.ix_(in_b, in_a)].sum()
                share = crossed / max(1, confusion_AA[in_a | in_b].sum())
                if share > best:
                    best, pair = share, (int(a), int(b))
        if best < least:
            return class_A
        class_A[class_A == pair[1]] = pair[0]


def figures(verdicts: Verdicts, confused_A: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """Return a judge's figures: each a share of ``n`` moments.

    ``most_common`` is what always naming the commonest action would score, and ``shuffled`` what the judge's own
    answers score in another order; ``confused_as_one`` counts actions of one class of ``confused_A`` as the same.
    """
    answers = verdicts.probabilities_MA.argmax(1)
    actions = verdicts.actions_M
    shares = [np.bincount(side, minlength=len(names)) / len(actions) for side in (answers, actions)]
    same, known = verdicts.same_outcome_M, verdicts.known_M
    by_action = {}
    for a, name in enumerate(names):
        here = actions == a
        if here.any():
            by_action[name] = {"n": int(here.sum()), "accuracy": _share(verdicts.right_M[here])}
            if verdicts.classes_MA is not None and (here & known).any():
                by_action[name]["same_outcome"] = _share(same[here & known])
    found: dict[str, Any] = {
        "n": len(actions),
        "accuracy": _share(verdicts.right_M),
        "same_outcome": None if verdicts.classes_MA is None else _share(same[known]),
        "confused_as_one": _share(confused_A[answers] == confused_A[actions]),
        "confused": [
            [names[b] for b in np.flatnonzero(confused_A == a).tolist()] for a in np.unique(confused_A).tolist()
        ],
        "most_common": round(float(shares[1].max()), 4),
        "shuffled": round(float((shares[0] * shares[1]).sum()), 4),
        "by_action": by_action,
        "confusion": confusion(verdicts).tolist(),
    }
    if verdicts.classes_MA is None:
        found["no_game"] = verdicts.why_no_classes
    else:
        outcomes = [len(set(row)) for row in verdicts.classes_MA[known].tolist()]
        found |= {"asked": len(outcomes), "outcomes_a_moment": round(float(np.mean(outcomes)), 3)}
    return found


@dataclass(frozen=True)
class Threshold:
    """From which sureness on labels are kept, and what it does to held-out moments: share kept, accuracy there."""

    sureness: float
    kept: float
    accuracy: float
    reached: bool


def choose_threshold(tally: Tally, wanted: float, least_kept: float = 0.1) -> Threshold:
    """Return the lowest sureness whose kept moments are right to the share ``wanted``.

    Where no threshold that keeps at least ``least_kept`` of the moments does, the most accurate one that does keep
    as much, with ``reached`` false. Right is what comes to the same, where the game could be asked, and then only
    moments count about which it was.
    """
    order = np.argsort(-tally.sureness_M, kind="stable")
    order = order[tally.known_M[order]]
    sure, right = tally.sureness_M[order], tally.same_outcome_M[order]
    accuracy = np.cumsum(right) / np.arange(1, len(right) + 1)
    ends = np.flatnonzero(np.append(sure[1:] < sure[:-1], True))  # moments equally sure stay together
    ends = ends[(ends + 1) >= least_kept * len(right)]
    good = ends[accuracy[ends] >= wanted]
    end = int(good[-1]) if len(good) else int(ends[np.argmax(accuracy[ends])])
    return Threshold(float(sure[end]), (end + 1) / len(right), float(accuracy[end]), bool(len(good)))


def beyond(tally: Tally, least: float) -> dict[str, Any]:
    """Return what a threshold does to moments that did not choose it: share kept and the accuracy of what stayed."""
    kept = tally.sureness_M >= least
    stayed = None
    if kept.any():
        stayed = {"accuracy": _share(tally.right_M[kept])}
        if tally.asked and (kept & tally.known_M).any():
            stayed["same_outcome"] = _share(tally.same_outcome_M[kept & tally.known_M])
    return {"n": len(kept), "kept": _share(kept), "dropped": round(1 - float(kept.mean()), 4), "stayed": stayed}


def _share(hits: NDArray[np.bool_]) -> float:
    return round(float(hits.mean()), 4)
