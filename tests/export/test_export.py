"""Export: graphs that dream what torch dreams, a gate that can fail, and an older world that nothing can harm."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch")
import onnx  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from tiny_run import QUIET, recorded_platformer, tiny_config  # noqa: E402

from worldlet.config import dump_yaml  # noqa: E402
from worldlet.dynamics import DynamicsConfig  # noqa: E402
from worldlet.engine.backends.onnx import OnnxBackend  # noqa: E402
from worldlet.engine.bundle import open_bundle  # noqa: E402
from worldlet.export import ExportConfig, ParityError, export, folder  # noqa: E402
from worldlet.export.graphs import write_graphs  # noqa: E402
from worldlet.export.parity import check_parity  # noqa: E402
from worldlet.export.starts import FRAMES, write_starts  # noqa: E402
from worldlet.manifest import WEIGHTS_NAME, read_world_json, write_world_json  # noqa: E402
from worldlet.records import Episode  # noqa: E402
from worldlet.tokenizer import TokenizerConfig  # noqa: E402
from worldlet.train import checkpoint  # noqa: E402
from worldlet.train.run import fitted, load_config  # noqa: E402
from worldlet.world import WorldModel  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_platformer(tmp_path_factory)


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    """A run folder as training leaves it, with weights that were never trained."""
    config = fitted(tiny_config(data, tmp_path / "run"))
    torch.manual_seed(0)
    model = WorldModel.build(config.tokenizer, config.dynamics)
    model.tokenizer.quantizer.codebook.uniform_(-1, 1)
    dump_yaml(config, tmp_path / "run" / "config.yaml")
    for stage, module in (("tokenizer", model.tokenizer), ("dynamics", model.dynamics)):
        for which in ("best", "last"):
            parts = {"ema": module.state_dict()}
            checkpoint.save(tmp_path / "run" / stage / which, parts, {"step": 7, "elapsed": 90.0})
    return tmp_path / "run"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export without its slow parts, for tests of what surrounds them."""
    monkeypatch.setattr(folder, "write_graphs", lambda model, path: (path / "step.onnx").write_bytes(b"graph"))
    monkeypatch.setattr(folder, "check_parity", lambda *arguments: None)


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


# --- the real thing ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[WorldModel, Path]:
    """An untrained world whose frames are not square, in the other wiring, conditioning and quantizer; exported."""
    path = tmp_path_factory.mktemp("worlds") / "odd"
    (path / "starts").mkdir(parents=True)
    torch.manual_seed(0)
    model = WorldModel.build(
        TokenizerConfig(
            (16, 32), quantizer="vq", codebook_size=32, code_width=8, encoder_width=16, decoder_width=8,
            decoder_blocks=1,
        ),
        DynamicsConfig(
            grid=(2, 4), codebook_size=32, actions=3, prompt_width=2, conditioning="add", wiring="raster", width=16,
            depth=1, heads=2, ssm_heads=2, token_width=8, feature_width=8,
        ),
    )  # fmt: skip
    model.eval().requires_grad_(False).tokenizer.quantizer.codebook.normal_(std=0.3)
    model.dynamics.logits.weight.mul_(20)
    for parameter in model.dynamics.copy.parameters():
        parameter.normal_()
    folder.write_weights(model, path)
    write_graphs(model, path)
    frames = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    from PIL import Image

    Image.fromarray(frames).save(path / "starts" / "000.png")
    start = {"file": "000.png", "frames": 1, "actions": [], "caption": "", "theme": "", "level_seed": 0}
    (path / "starts" / "starts.json").write_text(json.dumps({"starts": [start]}))
    facts = {"env_id": "x", "fps": 20.0, "action_names": ["a", "b", "c"], "key_bindings": {}, "options": {}}
    trained = tiny_config(Path("data"), Path("run"))
    training = {"training": {}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "_training", lambda *arguments: training)
        write_world_json(path, folder._manifest(model, facts, ExportConfig(run="run"), trained))
    return model, path


def test_the_graphs_dream_what_torch_dreams(world: tuple[WorldModel, Path]) -> None:
    model, path = world
    ticks: list[int] = []
    check_parity(model, path, 40, seed=0, tick=ticks.append)
    assert ticks == list(range(1, 41))


@pytest.mark.parametrize("edge_min_p", [0.05, 0.5])
def test_the_graphs_of_a_world_that_does_not_settle_dream_the_same(
    world: tuple[WorldModel, Path], tmp_path: Path, edge_min_p: float
) -> None:
    told, path = world
    sampling = {"min_p": 0.5, "edge_min_p": edge_min_p, "settle": False}
    model = WorldModel.build(told.tokenizer.config, dataclasses.replace(told.dynamics.config, **sampling))
    model.load_state_dict(told.state_dict())
    model.eval().requires_grad_(False)
    copy = Path(shutil.copytree(path, tmp_path / "world"))
    folder.write_weights(model, copy)
    write_graphs(model, copy)
    manifest = read_world_json(copy)
    write_world_json(copy, dataclasses.replace(manifest, config=manifest.config | model.config()))
    check_parity(model, copy, 40, seed=0)
    with pytest.raises(ParityError):
        check_parity(told, copy, 40, seed=0)


def test_the_gate_can_fail(world: tuple[WorldModel, Path]) -> None:
    model, path = world
    other = WorldModel.build(model.tokenizer.config, model.dynamics.config).eval().requires_grad_(False)
    other.load_state_dict(model.state_dict())
    other.dynamics.logits.weight.mul_(0.9)
    with pytest.raises(ParityError, match=r"tokens at dreamed frame \d+ of 40: the world was not exported"):
        check_parity(other, path, 40, seed=0)
    other.load_state_dict(model.state_dict())
    other.dynamics.copy.bias.neg_()
    with pytest.raises(ParityError, match="tokens at dreamed frame"):
        check_parity(other, path, 40, seed=0)
    other.load_state_dict(model.state_dict())
    other.tokenizer.decoder.direct.bias.add_(0.05)
    with pytest.raises(ParityError, match=r"differ by 1\d levels at dreamed frame 1 of 40"):
        check_parity(other, path, 40, seed=0)
    other.load_state_dict(model.state_dict())
    other.tokenizer.quantizer.codebook.copy_(other.tokenizer.quantizer.codebook.flip(0))
    with pytest.raises(ParityError, match="the first frame"):
        check_parity(other, path, 40, seed=0)


def test_graphs_take_any_batch_and_weights_lie_in_one_file_alone(world: tuple[WorldModel, Path]) -> None:
    model, path = world
    bundle = open_bundle(path)
    backend = OnnxBackend(path, bundle.manifest, device="cpu")
    frames = np.random.default_rng(1).integers(0, 256, (3, 16, 32, 3), np.uint8)
    tokens = backend.encode(frames)
    assert np.array_equal(tokens, model.encode(torch.from_numpy(frames)).numpy())
    assert np.abs(backend.decode(tokens).astype(int) - model.decode(torch.from_numpy(tokens)).numpy()).max() <= 1
    rng, state = np.random.default_rng(2), model.init_state(3)
    action, prompt = np.array([0, 1, 2]), np.zeros((3, 2), np.float32)
    for _ in range(3):
        noise = rng.random((3, 8), dtype=np.float32)
        theirs = backend.step({name: value.numpy() for name, value in state.items()}, tokens, action, prompt, noise)
        ours = model.dream(state, *map(torch.from_numpy, (tokens, action, prompt, noise)))
        assert np.array_equal(theirs.tokens_BN, ours.tokens_BN.numpy())
        tokens, state = theirs.tokens_BN, ours.state
    stored, outside = load_file(path / WEIGHTS_NAME), set()
    for part in ("encode", "decode", "step"):
        for initializer in onnx.load(path / f"{part}.onnx", load_external_data=False).graph.initializer:
            name = initializer.name.removeprefix("world.").removesuffix(".half")
            assert (initializer.data_location == onnx.TensorProto.EXTERNAL) == (name in stored), name
            outside |= {name} & stored.keys()
    assert {"dynamics.copy.bias", "dynamics.logits.weight", "dynamics.neighbours.below"} <= outside
    graph = (path / "step.onnx").read_bytes()
    for name, value in stored.items():
        data = value.numpy().tobytes()
        was = model.state_dict()[name].dtype
        assert value.dtype == (torch.float16 if was.is_floating_point else was)
        if len(data) > 48 and value.any():
            assert data not in graph and value.float().numpy().tobytes() not in graph, name
    assert str(Path(__file__).parents[2]).encode() not in graph, "no paths of this machine"


# --- what surrounds it -------------------------------------------------------------------------------------------


def test_a_run_becomes_a_world_and_it_says_so(run: Path, quick: None, tmp_path: Path) -> None:
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    out = export(ExportConfig(run=str(run), out=str(tmp_path / "out"), starts=3, title="A title"), console)
    console.file.close()
    said = console.export_text()
    assert "300 free-running frames" in said and "MB" in said and str(out) in said
    manifest = json.loads((out / "world.json").read_text())
    assert (
        manifest["name"] == "run" and manifest["title"] == "A title" and manifest["env_id"] == "worldlet/Platformer-v0"
    )
    assert manifest["config"]["training"]["dynamics"] == {"checkpoint": "best", "steps": 7, "minutes": 1.5}
    assert len(manifest["action_names"]) == 8 and manifest["key_bindings"]["up"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"], "nothing else is left"
    modes = {path.stat().st_mode for path in out.rglob("*") if path.is_file()}
    assert len(modes) == 1, "whoever may read one file may read them all"


def test_the_edge_may_be_drawn_by_another_min_p_than_in_training(run: Path, quick: None, tmp_path: Path) -> None:
    said = []
    for given in (None, 0.5):
        out = export(ExportConfig(run=str(run), out=str(tmp_path / f"out{given}"), starts=3, edge_min_p=given))
        said.append(json.loads((out / "world.json").read_text())["config"]["dynamics"]["edge_min_p"])
    assert said[1] == 0.5 != said[0]
    with pytest.raises(ValueError, match="edge_min_p is 0: it must lie in"):
        ExportConfig(run=str(run), edge_min_p=0)


def test_starts_are_dreamed_for_as_long_as_was_asked(
    run: Path, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(folder, "write_starts", lambda *given: asked.append((given[4].dynamics.config, given[5])))
    export(ExportConfig(run=str(run), out=str(tmp_path / "out"), starts=1, dreamed_starts=9))
    assert asked == [(load_config(run).dynamics, 9)]
    with pytest.raises(ValueError, match="dreamed_starts must be at least that, or 0"):
        ExportConfig(run=str(run), dreamed_starts=3)


def test_two_exports_of_a_run_are_the_same_bytes(run: Path, quick: None, tmp_path: Path) -> None:
    worlds = [
        export(ExportConfig(run=str(run), out=str(tmp_path / name), starts=3), Console(quiet=True)) for name in "ab"
    ]
    first, second = map(contents, worlds)
    assert first == second
    training = json.loads(first["world.json"])["config"]["training"]
    assert training.keys() == {"data", "tokenizer", "dynamics"}, "nothing of the day it was exported"


@pytest.mark.parametrize("failure", ["write_graphs", "write_starts", "check_parity", "rename"])
@pytest.mark.parametrize("error", [ParityError, KeyboardInterrupt])
def test_a_failed_export_leaves_the_older_world(
    failure: str, error: type[BaseException], run: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export(ExportConfig(run=str(run), starts=2), QUIET)
    before = contents(out)

    def fail(*arguments: object) -> None:
        raise error("planted")

    with monkeypatch.context() as patch:
        if failure == "rename":
            rename = Path.rename
            patch.setattr(
                Path, "rename", lambda path, to: fail() if path.name.endswith("unfinished") else rename(path, to)
            )
        else:
            patch.setattr(folder, failure, fail)
        with pytest.raises(error, match="planted"):
            export(ExportConfig(run=str(run), starts=3), QUIET)
    assert contents(out) == before
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "dynamics", "tokenizer", "world"]
    export(ExportConfig(run=str(run), starts=3), QUIET)
    assert "starts/002.png" in contents(out)


def test_a_failed_first_export_leaves_nothing(run: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ParityError("planted")

    monkeypatch.setattr(folder, "check_parity", fail)
    with pytest.raises(ParityError):
        export(ExportConfig(run=str(run), starts=2), QUIET)
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "dynamics", "tokenizer"]


def test_what_a_kill_leaves_behind_is_put_right(run: Path, quick: None) -> None:
    out = export(ExportConfig(run=str(run), starts=2), QUIET)
    before = contents(out)
    out.rename(run / ".world.replaced")  # killed between the last two renames
    (run / ".world.unfinished").mkdir()
    (run / ".world.unfinished" / "half").write_text("a file")
    (run / "dynamics" / "best" / "state.json").rename(run / "dynamics" / "best" / "away")
    with pytest.raises(ValueError):
        export(ExportConfig(run=str(run), starts=3), QUIET)
    (run / "dynamics" / "best" / "away").rename(run / "dynamics" / "best" / "state.json")
    with folder._replacing(out) as unfinished:
        assert contents(out) == before and contents(unfinished) == {}
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "dynamics", "tokenizer", "world"]


def test_what_is_no_world_is_never_replaced(run: Path, quick: None, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for out in ("letters", "file", "run"):
        with pytest.raises(ValueError, match="is there already and is not a world folder"):
            export(ExportConfig(run=str(run), out=str(tmp_path / out), starts=2), QUIET)
    assert contents(tmp_path / "letters") == {"love.txt": b"dear"} and (tmp_path / "file").read_text() == "dear"
    (tmp_path / "empty").mkdir()
    assert export(ExportConfig(run=str(run), out=str(tmp_path / "empty"), starts=2), QUIET).is_dir()


def test_an_untrained_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a run folder"):
        export(ExportConfig(run=str(tmp_path)), QUIET)
    (run / "dynamics" / "best" / "state.json").unlink()
    with pytest.raises(ValueError, match="no trained dynamics that was validated: export it with --checkpoint last"):
        export(ExportConfig(run=str(run)), QUIET)
    (run / "dynamics" / "last" / "state.json").unlink()
    with pytest.raises(ValueError, match="has no trained dynamics: `worldlet train .* --stage dynamics"):
        export(ExportConfig(run=str(run)), QUIET)
    (run / "tokenizer" / "best" / "state.json").unlink()
    with pytest.raises(ValueError, match="has no trained tokenizer"):
        export(ExportConfig(run=str(run)), QUIET)
    assert not (run / "world").exists()
    with pytest.raises(ValueError, match="at least 1"):
        ExportConfig(run="x", gate_frames=0)


def test_weights_beyond_half_precision_are_refused(run: Path) -> None:
    path = run / "dynamics" / "best" / checkpoint.read_state(run / "dynamics" / "best")["tensors"]
    weights = load_file(path)
    weights["ema.logits.bias"][3] = 1e5
    save_file(weights, path)
    with pytest.raises(ValueError, match=r"dynamics\.logits\.bias do not fit half precision"):
        export(ExportConfig(run=str(run)), QUIET)
    assert not (run / "world").exists()


def test_the_exporter_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    from worldlet.export.graphs import _quiet_exporter

    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    with caplog.at_level(logging.WARNING), _quiet_exporter():
        logger.warning("torchvision is not installed")
    assert not caplog.records
    logger.warning("something else")
    assert len(caplog.records) == 1, "and speaks again afterwards"


def test_starts_are_real_clips_with_the_actions_between(data: Path, tmp_path: Path) -> None:
    from PIL import Image

    from worldlet.data.shards import read_episodes

    listed = write_starts(data, tmp_path, 5, seed=0)
    episodes: dict[int, Episode] = {episode.meta["level_seed"]: episode for episode in read_episodes(data, "test")}
    assert len(listed.starts) == 5
    for start in listed.starts:
        episode = episodes[start.level_seed]
        strip = np.asarray(Image.open(tmp_path / "starts" / start.file)).reshape(FRAMES, 128, 128, 3)
        found = [
            t
            for t in range(len(episode.actions_T) - FRAMES + 2)
            if np.array_equal(episode.frames_THWC[t : t + FRAMES], strip)
            and tuple(episode.actions_T[t : t + FRAMES - 1]) == start.actions
        ]
        assert found and start.theme == episode.meta["theme"] and start.theme in start.caption
        last = found[0] + FRAMES - 1
        assert episode.facts["contacts"][last, 0] and episode.facts["deaths"][last] == episode.facts["deaths"][0]
    again = write_starts(data, tmp_path / "again", 5, seed=0)
    assert dataclasses.asdict(again) == dataclasses.asdict(listed)


def test_starts_may_be_dreamed_so_that_no_recorded_picture_is_passed_on(run: Path, data: Path, tmp_path: Path) -> None:
    """The clip is what the world dreams after the recorded one, under the actions recorded next."""
    from PIL import Image

    from worldlet.data.shards import read_episodes
    from worldlet.engine.noise import frame_noise

    model = folder._assemble(run, folder.load_config(run), "best", run)
    (start,) = write_starts(data, tmp_path, 1, 0, model, dreamed=10).starts
    strip = np.asarray(Image.open(tmp_path / "starts" / start.file)).reshape(FRAMES, 128, 128, 3)
    (episode,) = [one for one in read_episodes(data, "test") if one.meta["level_seed"] == start.level_seed]
    assert not (episode.frames_THWC[:, None] == strip).all((2, 3, 4)).any()
    ends = [t for t in range(len(episode.actions_T)) if tuple(episode.actions_T[t - FRAMES + 1 : t]) == start.actions]
    films = []
    for end in ends:
        last = end - 10
        if last < FRAMES:
            continue
        state, frames = model.init_state(1), []
        shown = episode.frames_THWC[last - FRAMES + 1 : last + 1]
        for t in range(FRAMES + 9):
            if t < FRAMES:
                tokens = model.encode(torch.from_numpy(shown[t : t + 1].copy()))
            action = torch.from_numpy(episode.actions_T[last - FRAMES + 1 + t :][:1].copy())
            noise = torch.from_numpy(frame_noise(0, t + 1, tokens.shape[1])[None])
            prompt = torch.zeros(1, model.dynamics.config.prompt_width)
            with torch.no_grad():
                dreamed = model.dream(state, tokens, action, prompt, noise)
            state, tokens = dreamed.state, dreamed.tokens_BN
            frames.append(dreamed.frames_BHWC[0].numpy())
        films.append(np.stack(frames[-FRAMES:]))
    assert any(np.array_equal(film, strip) for film in films)
    with pytest.raises(ValueError, match="dream at least as many, or none, not 3"):
        write_starts(data, tmp_path / "few", 1, 0, model, dreamed=3)


def test_what_only_settling_asks_for_stays_out_of_a_world_that_does_not_settle(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    for settle in (True, False):
        dynamics = DynamicsConfig(
            grid=(2, 4), codebook_size=32, actions=3, width=16, depth=1, heads=2, ssm_heads=2, token_width=8,
            feature_width=8, settle=settle,
        )  # fmt: skip
        model = WorldModel.build(TokenizerConfig((16, 32), codebook_size=32, decoder_width=8), dynamics).eval()
        folder.write_weights(model, tmp_path)
        names = load_file(tmp_path / "weights.safetensors")
        assert any(name.startswith("dynamics.neighbours.") for name in names) == settle
        assert any(name.startswith("dynamics.presence.") for name in names) == settle
        again = WorldModel.build(TokenizerConfig((16, 32), codebook_size=32, decoder_width=8), dynamics)
        again.load_state_dict(names)
        assert torch.equal(again.dynamics.logits.weight, model.dynamics.logits.weight)
