"""A world model as files: what is loaded dreams what was stored, and nothing damaged is taken for a world."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

from worldlet.dynamics import DynamicsConfig  # noqa: E402
from worldlet.manifest import (  # noqa: E402
    WEIGHTS_NAME,
    ParameterCounts,
    StateSpec,
    WorldError,
    WorldManifest,
    write_world_json,
)
from worldlet.tokenizer import TokenizerConfig  # noqa: E402
from worldlet.world import WorldModel  # noqa: E402


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    tokenizer = TokenizerConfig(frame_size=(16, 32), codebook_size=16, decoder_width=8, decoder_blocks=1)
    dynamics = DynamicsConfig(
        grid=(2, 4), codebook_size=16, actions=3, prompt_width=2, width=16, depth=2, heads=2, ssm_heads=2,
        token_width=8, feature_width=8,
    )  # fmt: skip
    model = WorldModel.build(tokenizer, dynamics).eval().requires_grad_(False)
    model.tokenizer.quantizer.codebook.uniform_(-1, 1)
    return model


@pytest.fixture
def folder(model, tmp_path) -> Path:
    save_file({name: value.half() for name, value in model.state_dict().items()}, tmp_path / WEIGHTS_NAME)
    state = tuple(StateSpec(name, tuple(value.shape[1:]), "float16") for name, value in model.init_state(1).items())
    write_world_json(
        tmp_path,
        WorldManifest(
            name="tiny", title="Tiny", env_id="x", frame_size=(16, 32), grid=(2, 4), fps=30,
            action_names=("left", "right", "noop"), key_bindings={}, codebook_size=16, prompt_width=2, state=state,
            parameters=ParameterCounts(1, 1), config=model.config() | {"training": {}}, licence="MIT",
        ),
    )  # fmt: skip
    return tmp_path


def dream(model, frames=5):
    """Tokens and pixels of a dream, from noise that is always the same."""
    torch.manual_seed(1)
    tokens, state, prompt, made = torch.randint(16, (2, 8)), model.init_state(2), torch.zeros(2, 2), []
    for _ in range(frames):
        dreamed = model.dream(state, tokens, torch.randint(3, (2,)), prompt, torch.rand(2, 8))
        tokens, state = dreamed.tokens_BN, dreamed.state
        made.append(dreamed)
    return made


def test_what_is_loaded_dreams_what_was_stored(model, folder):
    loaded = WorldModel.load(folder)
    assert not loaded.training and all(not parameter.requires_grad for parameter in loaded.parameters())
    assert loaded.config() == model.config()
    rounded = WorldModel.build(model.tokenizer.config, model.dynamics.config).eval()
    rounded.load_state_dict({name: value.half().float() for name, value in model.state_dict().items()})
    with torch.no_grad():
        for ours, theirs in zip(dream(rounded), dream(loaded), strict=True):
            assert torch.equal(ours.tokens_BN, theirs.tokens_BN) and torch.equal(ours.frames_BHWC, theirs.frames_BHWC)
            assert all(torch.equal(ours.state[name], theirs.state[name]) for name in ours.state)


def test_a_dream_has_the_forms_of_the_contract(model):
    first, second = dream(model, 2)
    assert first.tokens_BN.shape == (2, 8) and first.tokens_BN.dtype == torch.int64
    assert first.frames_BHWC.shape == (2, 16, 32, 3) and first.frames_BHWC.dtype == torch.uint8
    assert all(value.dtype == torch.float16 for value in first.state.values())
    assert torch.equal(first.frames_BHWC, model.decode(first.tokens_BN)), "the frame of the next tokens"
    assert {name: v.shape for name, v in second.state.items()} == {n: v.shape for n, v in model.init_state(2).items()}


def test_frames_go_to_tokens_and_back(model):
    frames = torch.randint(256, (3, 16, 32, 3), dtype=torch.uint8)
    tokens = model.encode(frames)
    assert tokens.shape == (3, 8) and tokens.dtype == torch.int64
    assert torch.equal(model.encode(model.decode(tokens)), tokens), "a code's own patch is nearest to it"


@pytest.mark.parametrize("damage", ["truncated", "missing", "other sizes", "one weight gone"])
def test_damaged_weights_are_refused(damage, model, folder):
    path = folder / WEIGHTS_NAME
    weights = {name: value.half() for name, value in model.state_dict().items()}
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "missing":
        path.unlink()
    elif damage == "other sizes":
        save_file(weights | {"dynamics.logits.bias": torch.zeros(17).half()}, path)
    else:
        save_file({name: value for name, value in weights.items() if name != "dynamics.place"}, path)
    with pytest.raises(WorldError, match="the weights cannot be loaded .*: export the world again"):
        WorldModel.load(folder)


def test_a_folder_without_a_world_is_refused(tmp_path):
    with pytest.raises(WorldError, match=r"world\.json"):
        WorldModel.load(tmp_path)
