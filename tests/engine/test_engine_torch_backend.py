"""The torch backend over small untrained networks: a session of it is a session like any other."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from worldlet.dynamics import DynamicsConfig  # noqa: E402
from worldlet.engine.backends.torch import TorchBackend  # noqa: E402
from worldlet.engine.moment import SessionData, SessionStart  # noqa: E402
from worldlet.engine.noise import frame_noise  # noqa: E402
from worldlet.engine.opening import warm_up  # noqa: E402
from worldlet.engine.session import Session  # noqa: E402
from worldlet.manifest import StateSpec  # noqa: E402
from worldlet.tokenizer import TokenizerConfig  # noqa: E402
from worldlet.world import WorldModel  # noqa: E402

ACTIONS = [3, 3, 7, 0, 5, 2]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    tokenizer = TokenizerConfig(frame_size=(32, 48), codebook_size=16, quantizer="vq", decoder_width=16)
    dynamics = DynamicsConfig(
        grid=(4, 6), codebook_size=16, prompt_width=4, width=32, depth=1, heads=2, ssm_heads=2, patch=(2, 2)
    )
    return WorldModel.build(tokenizer, dynamics).eval()


@pytest.fixture(scope="module")
def manifest(engine, model):
    state = model.init_state(1)
    specs = tuple(StateSpec(name, tuple(tensor.shape[1:]), "float16") for name, tensor in state.items())
    return dataclasses.replace(engine.manifest, frame_size=(32, 48), grid=(4, 6), codebook_size=16, state=specs)


@pytest.fixture
def backend(model):
    return TorchBackend(model, device="cpu", threads=1)


def _open(backend, manifest, seed=1):
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8)
    prompt = np.zeros(4, np.float32)
    moment = warm_up(backend, manifest, frames, [1, 2], prompt)
    return Session(backend, manifest, SessionData(seed, moment, prompt, SessionStart(None, None, None, "given")))


def test_a_step_is_the_models_dream(backend, model, manifest):
    session = _open(backend, manifest)
    before = session._moment
    session.step(3)
    with torch.no_grad():
        dreamed = model.dream(
            {name: torch.from_numpy(tensor.copy())[None] for name, tensor in before.state.items()},
            torch.from_numpy(before.tokens_N.copy())[None],
            torch.tensor([3]),
            torch.zeros(1, 4),
            torch.from_numpy(frame_noise(1, 1, 24))[None],
        )
    assert np.array_equal(session.tokens, dreamed.tokens_BN[0].numpy())
    assert np.array_equal(session.frame, dreamed.frames_BHWC[0].numpy())
    for name, tensor in session._moment.state.items():
        assert tensor.dtype == np.float16 and np.array_equal(tensor, dreamed.state[name][0].numpy())


def test_sessions_repeat_restore_and_rewind(backend, manifest):
    session, again = _open(backend, manifest), _open(backend, manifest)
    frames = [session.step(action).frame.tobytes() for action in ACTIONS]
    assert [again.step(action).frame.tobytes() for action in ACTIONS] == frames
    saved = session.snapshot()
    session.rewind(4)
    assert session.frame.tobytes() == frames[1]
    assert [session.step(action).frame.tobytes() for action in ACTIONS[2:]] == frames[2:]
    assert session.snapshot() == saved
    session.restore(saved)
    assert session.step(1).frame.tobytes() == again.step(1).frame.tobytes()


def test_encoding_is_the_models(backend, model):
    frames = np.random.default_rng(1).integers(0, 256, (2, 32, 48, 3), np.uint8)
    with torch.no_grad():
        assert np.array_equal(backend.encode(frames), model.encode(torch.from_numpy(frames)).numpy())
    assert backend.decode(backend.encode(frames)).shape == frames.shape


def test_devices(model):
    assert TorchBackend(model).device == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="device is one of"):
        TorchBackend(model, device="tpu")
