from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the training extra")

from worldlet.train.verdicts import (  # noqa: E402
    Tally,
    Verdicts,
    beyond,
    choose_threshold,
    confused_classes,
    confusion,
    figures,
    sureness,
)

NAMES = ("a", "b", "c")


def verdicts(said, done, sure=None, classes=None) -> Verdicts:
    probabilities = np.eye(3, dtype=np.float32)[said] * 0.8 + np.float32(0.2 / 3)
    sure = np.ones(len(said)) if sure is None else np.array(sure)
    return Verdicts(probabilities, np.array(done), sure, None if classes is None else np.array(classes))


def test_sureness_is_the_mean_of_a_span() -> None:
    most = np.array([0.9, 0.5, 0.7, 1.0, 0.6])
    probabilities = np.stack([most, 1 - most], 1).astype(np.float32)
    wanted = [(0.9 + 0.5) / 2, (0.9 + 0.5 + 0.7) / 3, (0.5 + 0.7 + 1.0) / 3, (0.7 + 1.0 + 0.6) / 3, (1.0 + 0.6) / 2]
    assert np.allclose(sureness(probabilities, span=3), wanted, atol=1e-6)


def test_figures_count_each_way() -> None:
    same = [[0, 0, 2], [0, 1, 2], [0, 1, 2], [0, 1, 1]]  # at the first moment b comes to the same as a
    found = figures(verdicts([1, 1, 2, 1], [0, 0, 2, 2], classes=same), np.array([0, 1, 2]), NAMES)
    assert (found["n"], found["accuracy"], found["same_outcome"]) == (4, 0.25, 0.75)
    assert found["by_action"] == {
        "a": {"n": 2, "accuracy": 0.0, "same_outcome": 0.5},
        "c": {"n": 2, "accuracy": 0.5, "same_outcome": 1.0},
    }
    assert found["confusion"] == [[0, 2, 0], [0, 0, 0], [0, 1, 1]]
    assert found["most_common"] == 0.5
    assert found["shuffled"] == 0.125  # c is said once in four and done twice in four, b never done
    merged = figures(verdicts([1, 1, 2, 1], [0, 0, 2, 2]), np.array([0, 0, 2]), NAMES)
    assert merged["confused_as_one"] == 0.75 and merged["same_outcome"] is None
    assert merged["confused"] == [["a", "b"], ["c"]]


def test_confusion_tells_which_actions_look_alike() -> None:
    counts = np.array([[60, 40, 0, 0], [45, 55, 0, 0], [0, 3, 97, 0], [0, 0, 0, 100]])
    assert confused_classes(counts).tolist() == [0, 0, 2, 3]
    assert confused_classes(counts, least=0.01).tolist() == [0, 0, 0, 3]
    assert confusion(verdicts([0, 1, 1], [0, 1, 2])).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_the_threshold_keeps_as_much_as_it_may() -> None:
    right = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]  # said a: the last two are wrong, and of the least sure
    held = verdicts([0] * 10, right, sure=[0.9, 0.9, 0.8, 0.8, 0.7, 0.7, 0.6, 0.5, 0.4, 0.3])
    threshold = choose_threshold(Tally.of(held), 0.85)
    assert (threshold.sureness, threshold.kept, threshold.reached) == (0.4, 0.9, True)
    assert threshold.accuracy == pytest.approx(8 / 9)
    assert choose_threshold(Tally.of(held), 1.0).sureness == 0.5
    assert choose_threshold(Tally.of(held), 0.5).kept == 1.0


def test_a_threshold_out_of_reach_says_so() -> None:
    held = verdicts([0, 0, 0, 0], [1, 0, 1, 0], sure=[0.9, 0.8, 0.7, 0.6])
    threshold = choose_threshold(Tally.of(held), 0.99)
    assert not threshold.reached and threshold.accuracy == 0.5


def test_moments_equally_sure_stay_together() -> None:
    held = verdicts([0, 0, 0, 0], [0, 1, 1, 1], sure=[0.9, 0.9, 0.2, 0.2])
    assert choose_threshold(Tally.of(held), 0.9).accuracy <= 0.5


def test_what_a_threshold_does_elsewhere() -> None:
    found = beyond(Tally.of(verdicts([0, 0, 1, 1], [0, 1, 1, 1], sure=[0.9, 0.8, 0.7, 0.1])), 0.5)
    assert (found["kept"], found["dropped"], found["stayed"]) == (0.75, 0.25, {"accuracy": 0.6667})
    assert beyond(Tally.of(verdicts([0], [0], sure=[0.1])), 0.5)["stayed"] is None
