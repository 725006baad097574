"""Windows of a play, bands of the real game, and the first departure that lasts, by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from worldlet.eval.ahead import WORKERS, ahead
from worldlet.eval.bench import Bench
from worldlet.eval.horizon import SUSTAINED, Watched, _score, band, figures, first_lasting, judge, measures
from worldlet.eval.looks import EVERY, LEVELS, WINDOW, Looks, Window, colours, laplacian, look, token_entropy


def frame(level: int = 100) -> np.ndarray:
    return np.full((128, 128, 3), level, np.uint8)


def reading(theme: str = "snow", hero: Any = None, enemies: int = 0) -> Any:
    kinds = np.zeros((16, 16), np.uint8)
    kinds[-1, :5] = 1  # ground
    kinds[3, 3] = 3  # a coin
    return SimpleNamespace(theme=theme, hero=hero, kinds=kinds, enemies=((0, 0),) * enemies)


def window(theme: str = "snow", red: int = 4, **values: float) -> Window:
    colours_C = np.zeros(LEVELS**3)
    colours_C[red * LEVELS**2] = 1.0
    known = {"hero": 1.0, "sharpness": 20.0, "moving": 0.02, "token_entropy": 2.5, "ground": 40.0, "coin": 1.0}
    return Window({theme: 1.0}, {**known, "spike": 1.0, "enemy": 0.5, "hero_sharpness": 90.0, **values}, colours_C)


def play(*windows: Window, theme: str = "snow") -> Watched:
    return Watched(theme, windows, WINDOW * len(windows))


REAL = play(*(window(sharpness=20.0 + n % 3, coin=float(n % 2)) for n in range(6)))


def test_a_look_says_what_a_frame_shows() -> None:
    before, after = frame(), frame()
    after[10, 20] = 255
    hero = SimpleNamespace(x=16, y=4, pose="run")
    values = look(before, after, reading(hero=hero, enemies=2))
    assert values["moving"] == pytest.approx(1 / 128**2)
    assert look(frame(100), frame(116), reading())["moving"] == 0, "nobody sees that"
    assert look(frame(117), frame(100), reading())["moving"] == 1
    assert (values["hero"], values["ground"], values["coin"], values["spike"], values["enemy"]) == (1, 5, 1, 0, 2)
    step = 255 - 100
    assert values["sharpness"] == pytest.approx((4 + 4) * step / 128**2)
    assert values["hero_sharpness"] == pytest.approx((4 + 4) * step / (16 * 12))
    lost = look(before, after, reading())
    assert lost["hero"] == 0 and "hero_sharpness" not in lost
    assert "hero_sharpness" not in look(before, after, reading(hero=SimpleNamespace(x=120, y=4, pose="run")))
    assert "hero_sharpness" not in look(before, after, reading(hero=SimpleNamespace(x=16, y=4, pose="dead")))


def test_edges_colours_and_entropy_by_hand() -> None:
    assert laplacian(frame()).max() == pytest.approx(0, abs=1e-9)
    shares = colours(np.stack([frame(0)[0], frame(255)[0]]))
    assert shares[0] == shares[-1] == 0.5 and shares.sum() == 1
    assert colours(np.full((2, 2, 3), (32, 64, 96), np.uint8))[1 * 64 + 2 * 8 + 3] == 1
    assert token_entropy(np.array([7, 7, 7])) == 0
    assert token_entropy(np.array([1, 2, 3, 3])) == pytest.approx(1.5)


def test_windows_hold_the_looks_of_two_seconds() -> None:
    looks = Looks(lambda frames: np.arange(4)[None] % 2)
    looked = 0
    for t in range(1, 2 * WINDOW):
        looks.follow(t, frame(), frame(t), reading("lava" if t == WINDOW else "snow", enemies=t > WINDOW // 2))
        looked += t % EVERY == 0
    (only,) = looks.windows
    each = WINDOW // EVERY
    assert looked == 2 * each - 1
    assert only.themes == {"lava": pytest.approx(1 / each), "snow": pytest.approx(1 - 1 / each)}
    assert only.values["token_entropy"] == 1.0
    assert only.values["enemy"] == pytest.approx(sum(t > WINDOW // 2 for t in range(EVERY, WINDOW + 1, EVERY)) / each)
    assert only.colours_C.sum() == pytest.approx(1)
    again = Window.from_json(only.to_json())
    assert again.themes == only.themes and again.values == only.values
    assert np.array_equal(again.colours_C, only.colours_C)


def test_bands_reach_a_little_beyond_what_the_real_game_shows() -> None:
    assert band([10.0, 30.0], "sharpness") == (0.0, 40.0)
    assert band([10.0, 10.0], "sharpness") == (9.0, 11.0)
    assert band([0.02, 0.04], "moving") == (0.01, pytest.approx(0.06))
    assert band([], "coin") == band([], "colours", read=False) == (-np.inf, np.inf)


def test_where_nobody_reads_a_blank_or_still_picture_is_no_game() -> None:
    assert band([10.0, 30.0], "sharpness", read=False) == (pytest.approx(5.5), 40.0)
    assert band([28.0, 30.0], "sharpness", read=False) == (27.0, 31.0)
    assert band([2.0, 9.0], "token_entropy", read=False) == (pytest.approx(1.175), 12.5)
    assert band([10.0, 30.0], "colours", read=False) == (0.0, 40.0)
    moving = [0.0, *[0.04] * 39]  # the hero stood still once
    assert band(moving, "moving", read=False)[0] == pytest.approx(0.02) and band(moving, "moving")[0] == 0.0


def test_a_score_is_1_at_the_edge_of_a_band() -> None:
    assert _score(0.0, -2.0, 2.0) == 0
    assert _score(2.0, -2.0, 2.0) == _score(-2.0, -2.0, 2.0) == 1
    assert _score(-5.0, -2.0, 2.0) == 2.5
    assert _score(None, -2.0, 2.0) is None and _score(1.0, *band([], "coin")) is None
    assert (_score(3.0, 3.0, 3.0), _score(4.0, 3.0, 3.0)) == (0, 2)


def test_only_what_lasts_is_a_departure() -> None:
    short = [False, *[True] * (SUSTAINED - 1), False]
    assert first_lasting(short) is None
    assert first_lasting([*short, *[True] * SUSTAINED, False]) == len(short)
    assert first_lasting([True] * SUSTAINED) == 0
    assert first_lasting([]) is None


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("theme", {"theme": "lava"}),
        ("colours", {"red": 1}),
        ("hero", {"hero": 0.4}),
        ("sharpness", {"sharpness": 12.0}),
        ("hero_sharpness", {"hero_sharpness": 45.0}),
        ("moving", {"moving": 0.0}),
        ("token_entropy", {"token_entropy": 1.0}),
        ("ground", {"ground": 200.0}),
        ("coin", {"coin": 9.0}),
        ("spike", {"spike": 9.0}),
        ("enemy", {"enemy": 4.0}),
    ],
)
def test_each_measure_departs_alone_and_at_its_time(name: str, gone: dict[str, Any]) -> None:
    run = play(window(), window(), *[window(**gone)] * SUSTAINED)
    judged = judge(run, [REAL])
    assert judged.departed == {name: 2 * WINDOW}
    assert judged.horizon == 2 * WINDOW
    assert judged.scores[name][0] <= 1 < judged.scores[name][2]  # type: ignore[operator]


def test_a_run_is_held_against_its_own_theme_where_there_is_one() -> None:
    dark = play(*[window("cave", red=0, sharpness=5.0)] * 4, theme="cave")
    assert judge(dark, [REAL, dark]).departed == {}
    assert set(judge(dark, [REAL]).departed) == {"colours", "sharpness"}
    assert judge(play(window(), window()), [REAL]).scores == {}, "too short for a departure to last"
    assert judge(dark, []).scores == {}


def test_horizons_of_dream_real_game_and_still_picture(tmp_path: Any) -> None:
    bench: Any = SimpleNamespace(
        engine=SimpleNamespace(manifest=SimpleNamespace(fps=30)), pictures=tmp_path, tick=lambda n: None
    )
    good, bad = play(*[window()] * 5), play(window(), *[window(hero=0.0)] * 4)
    still = play(*[window(moving=0.0)] * 5)
    found = figures(bench, [good, bad], [good, good], [still, still], [REAL])
    ours, real, copy = (found[f"{prefix}horizon_s"] for prefix in ("", "real_", "copy_"))
    assert ours["runs"] == [10.0, 2.0] and ours["value"] == 6.0 and ours["lasted"] == 1
    assert ours["interval"][0] < 6 < ours["interval"][1]
    assert ours["departed"] == {"hero": {"value": 0.5, "n": 2, "first_s": 2.0}}
    assert (real["value"], real["lasted"], real["departed"]) == (10.0, 2, {})
    assert copy["value"] == 0.0 and copy["departed"]["moving"]["value"] == 1.0
    assert (tmp_path / "drift_over_time.png").stat().st_size > 500
    assert (tmp_path / "drift_real_over_time.png").stat().st_size > 500


def test_runs_of_other_lengths_and_runs_too_short_to_judge(tmp_path: Any) -> None:
    bench: Any = SimpleNamespace(
        engine=SimpleNamespace(manifest=SimpleNamespace(fps=7)), pictures=tmp_path, tick=lambda n: None
    )
    long, middle, short = (play(*[window()] * count) for count in (6, 4, 2))
    found = figures(bench, [long, middle, short], [long, middle, short], [long, middle, short], [REAL])
    ours = found["horizon_s"]
    assert ours["frames"] == 6 * WINDOW and ours["lasted"] == 2
    assert ours["runs"] == [round(6 * WINDOW / 7, 2), round(4 * WINDOW / 7, 2)]
    assert (tmp_path / "drift_over_time.png").is_file(), "drawn of those that could be judged"


@pytest.mark.parametrize("name, floor", [("colours", 0.05), ("hero", 0.2), ("coin", 2.0), ("sharpness", 1.0)])
def test_a_band_is_never_narrower_than_its_floor(name: str, floor: float) -> None:
    assert band([1.0, 1.0], name) == pytest.approx((1.0 - floor, 1.0 + floor))


def test_the_first_of_several_departures_ends_a_run(tmp_path: Any) -> None:
    bench: Any = SimpleNamespace(
        engine=SimpleNamespace(manifest=SimpleNamespace(fps=30)), pictures=tmp_path, tick=lambda n: None
    )
    usual = play(*[window()] * 8)
    worse = play(window(), *[window(hero=0.0)] * 3, *[window(hero=0.0, moving=0.0)] * 4)
    later = play(*[window()] * 3, *[window(hero=0.0)] * 5)
    ours = figures(bench, [worse, later], [usual, usual], [usual, usual], [REAL])["horizon_s"]
    assert ours["runs"] == [2.0, 6.0]
    assert ours["departed"]["hero"]["first_s"] == 2.0 and ours["departed"]["moving"]["first_s"] == 8.0


def test_colours_are_apart_by_the_share_of_pixels_that_would_have_to_change() -> None:
    palette = window(red=4).colours_C
    assert measures(window(red=4), palette, "snow")["colours"] == 0.0
    assert measures(window(red=2), palette, "snow")["colours"] == 1.0
    half = Window({}, {}, 0.5 * window(red=4).colours_C + 0.5 * window(red=2).colours_C)
    assert measures(half, palette, "snow") == {"colours": 0.5}, "where nobody reads, no theme is missed"
    assert measures(replace(half, themes={"lava": 1.0}), palette, "snow") == {"theme": 0.0, "colours": 0.5}


def test_the_palette_is_the_mean_of_the_real_windows() -> None:
    mixed = play(window(red=4), window(red=2), window(red=4), window(red=2))
    assert judge(play(*[window(red=4)] * 4), [mixed]).departed == {}
    assert set(judge(play(*[window(red=7)] * 4), [mixed]).departed) == {"colours"}


def test_a_real_run_is_not_held_against_itself(tmp_path: Any) -> None:
    """The only play that ever was so sharp cannot vouch for itself, nor for its dream."""
    bench: Any = SimpleNamespace(
        engine=SimpleNamespace(manifest=SimpleNamespace(fps=30)), pictures=tmp_path, tick=lambda n: None
    )
    odd, usual = play(*[window(sharpness=40.0)] * 4), play(*[window()] * 4)
    found = figures(bench, [odd, odd], [odd, usual], [usual, usual], [REAL])
    assert found["real_horizon_s"]["runs"] == [0.0, 8.0]
    assert found["horizon_s"]["runs"] == [0.0, 8.0], "the other real run vouches for the second dream"


def test_results_come_in_order_and_only_a_few_ahead() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return 10 * item

    seen = []
    for result in ahead(work, range(20)):
        seen.append(result)
        assert max(begun) <= len(seen) + WORKERS
    assert seen == [10 * item for item in range(20)]


def test_what_fails_ahead_is_raised_at_its_turn() -> None:
    def work(item: int) -> int:
        if item == 1:
            raise ValueError("one is wrong")
        return item

    seen = []
    with pytest.raises(ValueError, match="one is wrong"):
        for result in ahead(work, range(5)):
            seen.append(result)
    assert seen == [0]


def test_minutes_of_play_are_kept_run_by_run(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Interrupted in the dream, the suite goes on with it: what was played before is not played again."""
    from worldlet.eval import ahead as running_ahead
    from worldlet.eval import long_drift

    monkeypatch.setattr(running_ahead, "WORKERS", 1)
    kept: dict[str, Any] = {}
    played: list[str] = []
    stop = True

    def keep(name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if name not in kept:
            if stop and "real" in name:
                raise KeyboardInterrupt
            kept[name] = json.loads(json.dumps(make()))
            played.append(name)
        return dict(kept[name])

    whole = bench()
    size = replace(whole.size, horizon=1, horizon_frames=SUSTAINED * WINDOW)
    ticks: list[int] = []
    asked = replace(whole, size=size, keep=keep, tick=ticks.append)
    with pytest.raises(KeyboardInterrupt):
        long_drift.measure(asked)
    stop = False
    found = long_drift.measure(asked)
    assert sorted(played) == ["long_drift_copy_0", "long_drift_dream_0", "long_drift_real_0"]
    assert found["horizon_s"]["value"] == found["real_horizon_s"]["value"] and found["horizon_s"]["frames"] == 180
    assert found["copy_horizon_s"]["value"] == 0.0
    assert (tmp_path / "long_drift_dream.png").is_file() and not (tmp_path / "long_drift_copy.png").exists()
    assert sum(ticks) == long_drift.work(asked), "nothing is played twice"
