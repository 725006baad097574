"""What is read from pixels along a play, beside what the game says of itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from worldlet.eval import drift, freeze
from worldlet.eval.bench import Bench
from worldlet.eval.drift import FILM_EVERY, SHOWN, FrozenPicture, Run
from worldlet.eval.gold import Gold
from worldlet.eval.odometer import TILE, Odometer
from worldlet.eval.reading import PlatformerReader, reader_for
from worldlet.eval.real import Play, RealSession
from worldlet.eval.reconstruction import _around_hero
from worldlet.eval.rollout import determined
from worldlet.eval.terrain import FEATURES, TerrainCount, per_hundred


@pytest.mark.parametrize("seed", [9_004_000, 9_004_008])
def test_odometer_and_terrain_agree_with_the_truth(seed: int) -> None:
    session, reader = RealSession(freeze.ENV_ID, seed), PlatformerReader()
    player = reader.player(seed)
    reading = reader.read(session.frame)
    odometer, terrain = Odometer(reading), TerrainCount()
    terrain.begin(reading)
    at_first = dict(session.info["terrain"])
    for t in range(300):
        session.step(player.act(reading))
        reading = reader.read(session.frame)
        columns = odometer.follow(reading)
        terrain.reveal(reading, columns)
        assert odometer.scroll == session.info["camera"][0], f"frame {t + 1}"
        if odometer.hero_x is not None:
            assert odometer.hero_x == session.info["hero_position"][0], f"frame {t + 1}"
    assert odometer.furthest > 300
    assert terrain.columns == session.info["columns"] - 16
    assert terrain.counts == {name: session.info["terrain"][name] - at_first[name] for name in FEATURES}


def test_rates_are_per_hundred_columns_with_their_error_over_runs() -> None:
    runs = [TerrainCount(), TerrainCount()]
    for run, gaps in zip(runs, (1, 3), strict=True):
        run.columns, run.counts["gaps"] = 50, gaps
    rate, error = per_hundred(runs, "gaps")
    assert rate == pytest.approx(4.0)
    assert error == pytest.approx(2.0)
    assert per_hundred([], "gaps") == (None, None)
    assert per_hundred(runs[:1], "gaps") == (2.0, None), "one run tells nothing of how runs differ"


def test_the_error_of_a_rate_is_that_of_a_ratio_over_runs() -> None:
    runs = [TerrainCount(), TerrainCount(), TerrainCount()]
    for run, gaps, columns in zip(runs, (1, 3, 2), (50, 40, 10), strict=True):
        run.columns, run.counts["gaps"] = columns, gaps
    rate, error = per_hundred(runs, "gaps")
    residuals = np.array([1 - 0.06 * 50, 3 - 0.06 * 40, 2 - 0.06 * 10])
    assert rate == pytest.approx(6.0)
    assert error == pytest.approx(np.sqrt(3 * residuals.var(ddof=1)))  # of a sum over three runs, by 100 columns


def test_a_run_holds_its_first_frame_too(bench: Callable[..., Bench], gold: Gold) -> None:
    entry = gold.drift[0]
    frame_HWC = gold.replay(entry).frames_THWC[entry.start]
    still = drift.run(bench(), FrozenPicture(frame_HWC), 0, 20)
    assert still.found == [True] * 21 and len(set(still.themes)) == 1 and len(still.furthest) == 21
    assert still.distance(still.themes[0]) == 0
    assert len(still.film) == 1 + 20 // FILM_EVERY and len(still.strip) == 1 + SHOWN


def test_the_hero_is_shown_enlarged_from_the_middle() -> None:
    mask_HW = np.zeros((128, 64), bool)
    mask_HW[40:48, 20:28] = True
    frame_HWC = np.repeat((mask_HW * 200).astype(np.uint8)[..., None], 3, -1)
    shown_HWC = _around_hero(frame_HWC, mask_HW)
    assert shown_HWC.shape == frame_HWC.shape
    rows, columns = np.nonzero(shown_HWC[..., 0])
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (52, 84, 20, 52)
    corner = np.zeros_like(mask_HW)
    corner[-1, -1] = True
    assert np.array_equal(_around_hero(frame_HWC, corner), frame_HWC[-32:, -16:].repeat(4, 0).repeat(4, 1))
    assert _around_hero(frame_HWC, np.zeros_like(mask_HW)).shape == frame_HWC.shape


def test_a_run_ends_where_the_hero_was_lost_for_good() -> None:
    def walk(found: list[bool], themes: list[str] | None = None) -> Run:
        return Run(list(range(len(found))), found, themes or ["snow"] * len(found), TerrainCount(), [], None)  # type: ignore[arg-type]

    assert walk([True] * 100).distance("snow") == 99
    assert walk([True] * 100).distance("cave") == 0
    assert walk(([True] * 20 + [False] * 3) * 4).distance("snow") == 91  # short absences are forgiven
    lost = walk([True] * 50 + [False] * 50).distance("snow")
    assert 20 < lost < 50
    assert walk([True] * 100, ["snow"] * 50 + ["lava"] * 50).distance("snow") == lost


def test_past_determines_the_hero_until_he_meets_new_columns_or_what_came_from_them() -> None:
    def play(hero: list[int], camera: list[int], events: dict[int, str] | None = None) -> Play:
        masks = np.zeros((len(hero), 128, 128), bool)
        for t, (x, c) in enumerate(zip(hero, camera, strict=True)):
            masks[t, 50:66, x - c : x - c + 12] = True
        said = tuple(((events or {}).get(t, ""),) for t in range(len(hero)))
        frames = np.zeros((len(hero), 128, 128, 3), np.uint8)
        return Play(1, frames, (3,) * (len(hero) - 1), masks, np.array(camera), said, "snow")

    def kept(*arguments: object) -> list[bool]:
        return determined(play(*arguments), 0).tolist()  # type: ignore[arg-type]

    assert kept([40, 42, 44], [0, 0, 0]) == [True, True, True]
    assert kept([106, 108, 110, 90], [0, 16, 32, 32]) == [True, True, False, False]  # 110 + 12 + 8 > 128
    assert kept([60, 62, 64], [0, 16, 16], {1: "death"}) == [True, False, False]
    assert kept([60, 62, 64], [0, 0, 0], {1: "death"}) == [True, True, True]  # killed by what was in sight
    assert kept([60, 62, 64], [0, 16, 16], {1: "coin"}) == [True, True, True]


def test_games_without_a_reader_have_none() -> None:
    assert reader_for("elsewhere/Pong-v0") is None
    assert isinstance(reader_for("worldlet/Platformer-v0"), PlatformerReader)


def test_tiles_are_eight_pixels() -> None:
    from worldlet.games.platformer import art

    assert art.TILE == TILE


def test_any_game_that_can_be_recorded_is_a_real_session() -> None:
    """A class by its module and name is known to `worldlet.games.make` alone."""
    session = RealSession("tests.games.odd_games:Shows", 3)
    assert session.frame.dtype == np.uint8 and session.frame.shape[2] == 3
    twin = session.fork()
    assert np.array_equal(session.step(0).frame, twin.step(0).frame)
    assert session.env.metadata["action_names"]
