"""The dynamics stage: what it feeds the network lines up in time, repeats, and measures only what is there."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from worldlet.data.clips import NO_ACTION, TokenTable  # noqa: E402
from worldlet.dynamics import DynamicsConfig, Features, Window, build_dynamics  # noqa: E402
from worldlet.dynamics.neighbours import Neighbours  # noqa: E402
from worldlet.dynamics.presence import Presence  # noqa: E402
from worldlet.dynamics.sampling import around  # noqa: E402
from worldlet.train import rollout  # noqa: E402
from worldlet.train.dynamics_stage import DynamicsStage, DynamicsStageConfig  # noqa: E402
from worldlet.train.rollout import disturb, free_run, hide, rollout_features  # noqa: E402
from worldlet.train.windows import Cut, cut_windows, inside  # noqa: E402

GRID, N, V = (4, 6), 24, 12
MODEL = DynamicsConfig(
    grid=GRID, codebook_size=V, actions=5, prompt_width=3, width=16, depth=1, heads=2, ssm_heads=2,
    token_width=8, feature_width=8,
)  # fmt: skip
CONFIG = DynamicsStageConfig(
    batch_size=3, clip=8, rollout_steps=3, rollout_from=0.5, val_clips=16, reveal_clip=6, reveal_batch_size=4
)


def obedient_table(frames=40):
    """Two episodes in which the whole frame t + 1 shows the action done at frame t; the hero wanders about."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 5, 2 * frames)
    tokens = np.zeros((2 * frames, N), np.uint16)
    tokens[1:] = actions[:-1, None]
    actions[[frames - 1, -1]] = NO_ACTION
    hero = rng.random((2 * frames, N)) < 0.1
    return TokenTable(tokens, actions, np.array([0, frames]), hero, np.zeros_like(hero))


class Obedient(nn.Module):
    """Predicts that every cell of the next frame shows the action: right on the table above, at every position."""

    config = MODEL

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.neighbours = Neighbours(V)
        self.presence = Presence(V)

    def features(self, tokens, actions, prompt, window=None):
        shown = F.one_hot(actions, V).float() * self.weight
        values = shown[:, :, None].expand(*tokens.shape, V)
        return Features(values, tokens[..., None]), {"seen": torch.zeros(len(tokens), 1)}

    def head(self, features):
        return features.values * 30

    def init_state(self, batch):
        return {"seen": torch.zeros(batch, 1)}

    def step_features(self, state, tokens, action, prompt, window=None):
        return self.features(tokens[:, None], action[:, None], prompt)[0].at((slice(None), 0)), state

    def step(self, state, tokens, action, prompt):
        features, state = self.step_features(state, tokens, action, prompt)
        return self.head(features), state


def stage_of(table, module=None, **changes):
    torch.manual_seed(0)
    stage = DynamicsStage(table, table, MODEL, DynamicsStageConfig(**{**vars(CONFIG), **changes}), seed=4)
    if module is not None:
        stage.module = module
    return stage


def test_batches_follow_from_seed_and_step():
    table = obedient_table()
    stage, other = stage_of(table), stage_of(table)
    other.clips(table, 1, 3, 4)  # what was drawn before does not matter
    first, again = stage.clips(table, 7, 3, 4), other.clips(table, 7, 3, 4)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert first.tokens_BTN.shape == (3, 9, N) and first.actions_BT.shape == (3, 8)
    assert torch.equal(first.tokens_BTN[:, 1:, 0], first.actions_BT), "actions[t] leads to frames[t + 1]"
    assert not torch.equal(stage.clips(table, 8, 3, 4).tokens_BTN, first.tokens_BTN)
    assert not torch.equal(stage.clips(table, 7, 3, 5).tokens_BTN, first.tokens_BTN)
    losses = []
    for one in (stage, other):
        torch.manual_seed(2)
        losses.append(float(one.loss(7, 0.9)[0].detach()))
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("close", "ahead"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_the_target_of_position_t_is_frame_t_plus_1(progress, close, ahead):
    stage = stage_of(obedient_table(), Obedient(), window_share=close, reveal_share=ahead, window=(1, 2))
    for step in range(3):
        loss, metrics = stage.loss(step, progress)
        assert float(loss.detach()) < 1e-3
        assert metrics == {"rollout": float(progress > 0.5), "window": close, "reveal": ahead}


def test_tokens_of_two_bytes_come_out_as_they_are_and_columns_are_put_on_the_device_once():
    table = obedient_table()
    large = dataclasses.replace(table, tokens_FN=table.tokens_FN + np.uint16(65_000))
    stage = stage_of(table)
    clips = stage.clips(large, 2, 5, 0)
    assert int(clips.tokens_BTN.min()) >= 65_000 and clips.tokens_BTN.dtype == torch.int64
    batch = large.batch(2, 5, CONFIG.clip, 0)
    assert (clips.tokens_BTN.numpy() == batch.tokens_BTN).all() and (clips.hero_BTN.numpy() == batch.hero_BTN).all()
    assert (clips.actions_BT.numpy() == batch.actions_BT).all() and clips.actions_BT.shape == (5, CONFIG.clip)
    known = len(stage._columns)
    stage.clips(dataclasses.replace(large, weights_F=np.ones(len(large))), 3, 5, 0)
    assert len(stage._columns) == known, "a table of other weights shares its columns"


def test_a_world_that_does_not_settle_learns_no_neighbours():
    table = obedient_table()
    torch.manual_seed(0)
    for settle in (True, False):
        stage = DynamicsStage(table, table, dataclasses.replace(MODEL, settle=settle), CONFIG, seed=4)
        assert bool((stage.model.neighbours.right == 255).all()) != settle


def test_the_kinds_of_steps_come_in_their_shares():
    stage = stage_of(obedient_table(), Obedient(), window_share=0.5, reveal_share=0.3, window=(1, 2))
    torch.manual_seed(0)
    kinds = [stage.loss(step, 0.0)[1] for step in range(400)]
    assert np.mean([kind["window"] for kind in kinds]) == pytest.approx(0.5, abs=0.07)
    assert np.mean([kind["reveal"] for kind in kinds]) == pytest.approx(0.3, abs=0.07)
    assert not any(kind["window"] and kind["reveal"] for kind in kinds)


def test_a_game_whose_picture_never_moves_as_a_whole_has_nothing_to_reveal():
    table = obedient_table()
    still = TokenTable(np.zeros_like(table.tokens_FN), table.actions_F, table.starts, table.hero_FN, table.moving_FN)
    stage = stage_of(still, reveal_share=1.0, window_share=0.0)
    assert stage.loss(0, 0.9)[1]["reveal"] == 0.0
    assert {"scroll", "edge"}.isdisjoint(stage.validate(stage.module))


def test_validation_counts_what_changes_under_the_right_actions():
    figures = stage_of(obedient_table(), Obedient()).validate(Obedient())
    assert max(figures["loss"], figures["loss_forced"]) < 1e-3 < 1 < figures["loss_shuffled"]
    assert figures["changed"] == figures["hero"] == figures["hero_1"] == figures["hero_5"] == 1.0
    assert "scroll" not in figures and figures["edge"] == 1.0, "two cells deep, such a small frame is all edge"


def test_validation_tells_old_cells_that_move_from_the_edge():
    """A column of new tokens comes in at the right, everything else moves: a copier is right inside, wrong there."""
    config = dataclasses.replace(MODEL, grid=(6, 8))
    frames = np.arange(60)[:, None, None] + np.arange(8)[None, None] + np.zeros((60, 6, 8), np.int64)
    tokens = (frames % V).astype(np.uint16).reshape(60, 48)
    nothing = np.zeros((60, 48), np.bool_)
    table = TokenTable(tokens, np.append(np.zeros(59, np.int64), NO_ACTION), np.array([0]), nothing, nothing)
    model = build_dynamics(config)
    model.head = lambda features: F.one_hot(features.nearby[..., ITSELF + 1].clamp_min(0), V).float()
    stage = DynamicsStage(table, table, config, CONFIG, seed=4)
    figures = stage.validate(model)
    assert figures["scroll"] == 1.0 and 0.5 < figures["edge"] < 1.0


def test_the_best_weights_are_those_that_bear_their_own_predictions(monkeypatch):
    """What is fed back counts in `loss`, by which a run chooses what it exports, and in no other figure."""
    table = obedient_table()
    stage = stage_of(table)
    before = stage.validate(stage.module)
    monkeypatch.setattr(rollout, "_draw", always(3, sure=True))
    after = stage.validate(stage.module)
    assert after["loss"] != pytest.approx(before["loss"], rel=1e-4)
    assert after["loss_forced"] == before["loss_forced"] and after["loss_shuffled"] == before["loss_shuffled"]


def test_figures_without_a_cell_are_left_out():
    table = obedient_table()
    still = TokenTable(np.zeros_like(table.tokens_FN), table.actions_F, table.starts, table.moving_FN, table.moving_FN)
    stage = stage_of(still)
    assert sorted(stage.validate(stage.module)) == ["loss", "loss_forced", "loss_shuffled"]
    once = table.hero_FN.copy()
    once[:] = False
    once[20, 3] = True  # a few clips have him, most do not
    figures = stage_of(TokenTable(table.tokens_FN, table.actions_F, table.starts, once, once)).validate(stage.module)
    assert all(np.isfinite(value) for value in figures.values())


def test_every_parameter_is_trained_and_matrices_decay():
    stage = stage_of(obedient_table())
    groups = stage.parameter_groups()
    decayed = [id(p) for group in groups if group["weight_decay"] > 0 for p in group["params"]]
    plain = [id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]]
    assert sorted(decayed + plain) == sorted(id(p) for p in stage.module.parameters()), "each once"
    assert id(stage.module.logits.weight) in decayed
    assert id(stage.module.embedding.weight) in plain and id(stage.module.copy.bias) in plain
    loss, _ = stage.loss(0, 0.9)
    loss.backward()
    missing = [name for name, p in stage.module.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert missing == ["condition.prompt.weight"] or missing == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip": 4},
        {"batch_size": 0},
        {"window": (0, 5)},
        {"window_share": 1.5},
        {"reveal_clip": 2},
        {"window_share": 0.8},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        DynamicsStageConfig(**wrong)


# --- rollouts ----------------------------------------------------------------------------------------------------

B, T, STEPS = 2, 10, 4
KNOWN = T - STEPS
STILL = torch.zeros(B, T, dtype=torch.bool)
ITSELF = (2 * MODEL.copy_reach + 1) ** 2 // 2  # a cell among those around it


@pytest.fixture
def clip():
    torch.manual_seed(5)
    model = build_dynamics(MODEL).eval().requires_grad_(False)
    model.copy.weight.normal_()
    tokens, actions = torch.randint(V, (B, T + 1, N)), torch.randint(5, (B, T))
    nothing = torch.zeros(B, T + 1, N, dtype=torch.bool)
    parallel, _ = model.features(tokens[:, :-1], actions, torch.zeros(B, 3))
    return SimpleNamespace(model=model, tokens=tokens, actions=actions, nothing=nothing, parallel=parallel)


def roll(clip, mobile, doubt=0.0, inner=None):
    everything = Window((2, 3), torch.zeros(B, 2, dtype=torch.int64))
    cut = None if inner is None else Cut(everything, torch.arange(N).expand(B, -1), inner)
    return rollout_features(
        clip.model, clip.tokens, clip.tokens[:, :-1], clip.actions, torch.zeros(B, 3), mobile, STILL, STEPS, doubt, cut
    )


def frames_of(features, frames):
    return features.at((slice(None), frames))


def assert_same(ours, theirs):
    torch.testing.assert_close(ours.values, theirs.values, atol=1e-5, rtol=1e-5)
    assert torch.equal(ours.nearby, theirs.nearby)


def always(token, sure):
    """A stand-in for `_draw` that guesses one token everywhere and is, or is not, sure of it."""
    return lambda model, features, moves, truth, doubt, cut: (
        truth * 0 + token,
        torch.full_like(truth, sure, dtype=torch.bool),
    )


def test_a_rollout_that_guesses_right_is_the_parallel_pass(clip, monkeypatch):
    times = []

    def right(model, features, moves, truth, doubt, cut):
        times.append(next(t for t in range(T + 1) if torch.equal(truth, clip.tokens[:, t])))
        return truth, truth == truth

    monkeypatch.setattr(rollout, "_draw", right)
    assert_same(roll(clip, ~clip.nothing), clip.parallel)
    assert times == list(range(KNOWN, T))  # the guess after frame t - 1 is of frame t


def test_guesses_are_fed_back_where_things_move_and_nowhere_else(clip, monkeypatch):
    monkeypatch.setattr(rollout, "_draw", always(3, sure=False))
    assert_same(roll(clip, clip.nothing), clip.parallel)
    seen = []
    step_features = clip.model.step_features

    def watched(state, tokens, *others):
        seen.append(tokens)
        return step_features(state, tokens, *others)

    monkeypatch.setattr(clip.model, "step_features", watched)
    mobile = clip.nothing.clone()
    mobile[:, KNOWN + 1, 0] = True
    features = roll(clip, mobile)
    assert_same(*(frames_of(each, slice(KNOWN + 1)) for each in (features, clip.parallel)))
    assert (features.values - clip.parallel.values)[:, KNOWN + 1].abs().max() > 1e-4
    corner = [0, 1, 6, 7]  # the cell and its neighbours
    for t, tokens in enumerate(seen, KNOWN):
        expected = clip.tokens[:, t].clone()
        if t in (KNOWN + 1, KNOWN + 2):  # it moves there now, or did in the frame before
            expected[:, corner] = 3
        assert torch.equal(tokens, expected)
        assert torch.equal(features.nearby[:, t, :, ITSELF], expected), "what may be copied is what it saw"


def test_what_the_model_is_wrong_about_and_sure_of_is_fed_back_but_not_from_outside_a_window(clip, monkeypatch):
    monkeypatch.setattr(rollout, "_draw", always(3, sure=True))
    features = roll(clip, clip.nothing)
    assert (features.values - clip.parallel.values)[:, KNOWN:].abs().max() > 1e-3
    assert (features.nearby[:, KNOWN:, :, ITSELF] == 3).all()
    outside = torch.zeros(B, N, dtype=torch.bool)
    assert_same(roll(clip, ~clip.nothing, inner=outside), clip.parallel)


def test_doubt_compares_the_truth_with_the_first_choice(clip):
    features = frames_of(clip.parallel, 0)
    logits = clip.model.head(features)
    best, worst, still = logits.argmax(-1), logits.argmin(-1), STILL[:, 0]
    assert not rollout._draw(clip.model, features, still, best, 0.9, None)[1].any()
    gap = (logits.amin(-1) - logits.amax(-1)).exp()
    assert torch.equal(
        rollout._draw(clip.model, features, still, worst, float(gap.median()), None)[1], gap < gap.median()
    )


def test_who_walks_alone_through_a_window_does_not_move_the_picture(monkeypatch):
    """He fills more than `BUSY` of a small window's cells, and less of the whole frame's."""
    grid, frames = (12, 16), 26
    tokens = np.zeros((frames, grid[0] * grid[1]), np.uint16)
    for t in range(frames):
        tokens[t, 5 * 16 + 5 + t % 2] = tokens[t, 6 * 16 + 5 + t % 2] = 1
    actions = np.array([0] * (frames - 1) + [NO_ACTION])
    table = TokenTable(tokens, actions, np.array([0]), tokens == 1, tokens == 2)
    config = DynamicsStageConfig(
        window=(2, 2), window_share=1.0, reveal_share=0.0, rollout_from=0.0, encounter_share=0.0, val_clips=1
    )
    stage = DynamicsStage(table, table, dataclasses.replace(MODEL, grid=grid), config, seed=0)
    asked = []

    def watched(model, features, moves, truth, doubt, cut):
        asked.append((moves.any(), truth.shape[1]))
        return truth, truth == truth

    monkeypatch.setattr(rollout, "_draw", watched)
    stage.loss(0, 1.0)
    assert asked and all(cells == 16 and not moves for moves, cells in asked)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler looks at every input
@pytest.mark.parametrize("close", [0.0, 1.0])
def test_compiled_rollouts_teach_the_same(close, monkeypatch):
    compiled, times = torch.compile, []

    def traced(function, **settings):
        times.append(function)
        return compiled(function, backend="aot_eager", fullgraph=True, **settings)

    monkeypatch.setattr(torch, "compile", traced)
    results = []
    for compile_it in (False, True):
        stage = stage_of(obedient_table(), window_share=close, reveal_share=0.0, window=(1, 2), compile=compile_it)
        losses = []
        for step in range(2):
            torch.manual_seed(1)
            loss, _ = stage.loss(step, 0.9)
            loss.backward()
            losses.append(float(loss.detach()))
        results.append((losses, [p.grad.clone() for p in stage.module.parameters() if p.grad is not None]))
    assert len(times) == 1, "compiled once for all steps"
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


def test_a_free_run_begins_at_the_context_and_hears_each_action_once():
    model = Obedient()
    tokens = torch.full((B, T + 1, N), 9)
    actions = torch.arange(T).remainder(5).expand(B, T)
    frames = free_run(model, tokens, actions, torch.zeros(B, 3), context=4)
    assert frames.shape == (B, T - 4 + 1, N)
    assert frames[0, :, 0].tolist() == [9, *actions[0, 4:].tolist()]


def test_disturbing_keeps_below_its_share():
    torch.manual_seed(0)
    tokens = torch.randint(V, (64, 8, N))
    assert torch.equal(disturb(tokens, 0.0), tokens)
    changed = (disturb(tokens, 0.2) != tokens).float().mean((1, 2))
    assert changed.max() < 0.3 and 0.05 < float(changed.mean()) < 0.11
    assert changed.std() > 0.03, "each clip has its own share"


def test_around_takes_the_eight_neighbours():
    cells = torch.zeros(1, N, dtype=torch.bool)
    cells[0, 2 * 6 + 4] = True
    rows = around(cells, GRID).view(GRID).int().tolist()
    assert rows == [[0] * 6, [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]]


# --- windows -----------------------------------------------------------------------------------------------------


def test_a_window_over_everything_is_the_whole_frame(clip):
    everything = Window((2, 3), torch.zeros(B, 2, dtype=torch.int64))
    features, state = clip.model.features(clip.tokens[:, :-1], clip.actions, torch.zeros(B, 3), everything)
    assert_same(features, clip.parallel)


def test_windows_step_as_they_run_in_parallel_and_know_their_place(clip):
    corner = torch.tensor([[0, 1], [1, 0]])
    hero = torch.zeros(B, T + 1, N, dtype=torch.bool)
    cut = cut_windows(hero, hero, MODEL, (1, 2))._replace(window=Window((1, 2), corner))
    tokens = clip.tokens[:, :-1, :8]
    features, _ = clip.model.features(tokens, clip.actions, torch.zeros(B, 3), cut.window)
    assert features.values.shape == (B, T, 8, 8) and features.nearby.shape == (B, T, 8, 25)
    torch.manual_seed(0)
    rolled = rollout_features(
        clip.model, clip.tokens[:, :, :8], tokens, clip.actions, torch.zeros(B, 3), clip.nothing[:, :, :8], STILL,
        STEPS, 0.0, cut,
    )  # fmt: skip
    assert_same(rolled, features)
    elsewhere, _ = clip.model.features(tokens, clip.actions, torch.zeros(B, 3), Window((1, 2), corner.flip(0)))
    assert (elsewhere.values - features.values).abs().max() > 1e-3


@pytest.mark.parametrize("told", [True, False], ids=["hero", "what moves"])
def test_windows_hold_the_hero_or_what_moves_and_the_cells_they_name(told):
    torch.manual_seed(0)
    config = DynamicsConfig(grid=(12, 16), codebook_size=V)
    hero = torch.zeros(6, 3, 12 * 16, dtype=torch.bool)
    places = [(0, 0), (11, 15), (5, 7), (0, 15), (6, 2), (11, 8)]
    for i, (y, x) in enumerate(places):
        hero[i, :, y * 16 + x] = True
    cut = cut_windows(hero if told else hero & False, hero if not told else hero & False, config, (3, 4))
    assert cut.cells_BN.shape == (6, 6 * 8) and cut.inner_BN.shape == (6, 6 * 8)
    assert inside(hero, cut).any(-1).all(), "he is in every window"
    for i in range(6):
        top, left = (2 * cut.window.corner_B2[i]).tolist()
        expected = torch.arange(12 * 16).view(12, 16)[top : top + 6, left : left + 8]
        assert torch.equal(cut.cells_BN[i].view(6, 8), expected)
        rows, columns = cut.inner_BN[i].view(6, 8).any(1), cut.inner_BN[i].view(6, 8).any(0)
        assert bool(rows[0]) == (top == 0) and bool(rows[-1]) == (top + 6 == 12)
        assert bool(columns[0]) == (left == 0) and bool(columns[-1]) == (left + 8 == 16)
    values = torch.arange(12 * 16).expand(6, 3, -1)
    assert torch.equal(inside(values, cut)[:, 2], cut.cells_BN)


def test_windows_lie_anywhere_where_nothing_moves_and_take_one_of_several_that_do():
    torch.manual_seed(0)
    config = DynamicsConfig(grid=(12, 16), codebook_size=V)
    nothing = torch.zeros(400, 2, 12 * 16, dtype=torch.bool)
    corners = cut_windows(nothing, nothing, config, (1, 1)).window.corner_B2
    assert len(corners.unique(dim=0)) == 6 * 8, "every place comes up"
    moving = nothing.clone()
    moving[..., [0, 12 * 16 - 1]] = True  # two things in opposite corners: a window on one of them, not between
    cut = cut_windows(nothing, moving, config, (2, 2))
    counts = torch.unique(cut.window.corner_B2, dim=0, return_counts=True)
    assert counts[0].tolist() == [[0, 0], [4, 6]] and counts[1].min() > 150


def test_what_moves_is_hidden_by_what_was_there_and_nothing_else():
    """A thing (token 9) walks over a floor of numbered cells: hidden frames show the floor, others stay."""
    torch.manual_seed(0)
    clips, frames, cells = 40, 10, 12
    tokens = torch.arange(cells).expand(clips, frames, cells).clone() + 20
    mobile = torch.zeros(clips, frames, cells, dtype=torch.bool)
    for t in range(frames):
        tokens[:, t, t], mobile[:, t, t] = 9, True
    tokens[:, :, 11], mobile[:, :, 11] = 7, True  # always moving: nobody knows what is behind
    seen = hide(tokens, mobile, 0.5, first=2, most=3)
    floor = torch.arange(cells).expand_as(tokens) + 20
    changed = seen != tokens
    assert (seen[changed] == floor[changed]).all() and mobile[changed].all() and not changed[..., 11].any()
    hidden_BT = changed.any(-1)
    assert 10 <= hidden_BT.any(1).sum() <= 30 and not hidden_BT[:, :2].any()
    assert set(hidden_BT.sum(1).tolist()) == {0, 1, 2, 3}
    assert torch.equal(hide(tokens, mobile, 0.0), tokens) and torch.equal(
        hide(tokens[:, :2], mobile[:, :2], 1.0, 2), tokens[:, :2]
    )
