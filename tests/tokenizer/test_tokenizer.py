"""Tokens are what patches are: local, the same in every precision, and enough of them lose nothing."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import gymnasium  # noqa: E402

import worldlet.games  # noqa: E402, F401 (registers the platformer)
from worldlet.data.clips import FrameTable  # noqa: E402
from worldlet.data.codec import pack_masks  # noqa: E402
from worldlet.tokenizer import Tokenizer, TokenizerConfig  # noqa: E402
from worldlet.tokenizer.codebook import count_patches, fit_codebook  # noqa: E402
from worldlet.tokenizer.quantize import EmaVQ  # noqa: E402
from worldlet.train import LoopConfig, fit  # noqa: E402
from worldlet.train.tokenizer_stage import TokenizerStage, TokenizerStageConfig, code_errors  # noqa: E402
from worldlet.train.tokens import encode_frames  # noqa: E402

QUANTIZERS = {"patch": 64, "vq": 64, "fsq": 1024}
SIZE, GRID = (32, 48), (4, 6)


def build(quantizer, frame_size=SIZE, patch_size=8):
    torch.manual_seed(0)
    config = TokenizerConfig(
        frame_size=frame_size, patch_size=patch_size, quantizer=quantizer, codebook_size=QUANTIZERS[quantizer],
        code_width=8, encoder_width=16, decoder_width=16, decoder_blocks=1,
    )  # fmt: skip
    tokenizer = Tokenizer(config).eval().requires_grad_(False)
    if quantizer == "fsq":  # untrained latents would all round to the same few codes
        tokenizer.encoder.layers[-1].weight.mul_(30)
    else:
        tokenizer.quantizer.codebook.copy_(tokenizer.latents(floats(noise(64, (patch_size,) * 2, seed=5)))[:, 0])
    return tokenizer


@pytest.fixture(params=QUANTIZERS)
def tokenizer(request):
    return build(request.param)


def noise(count, size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)


def floats(frames_BHWC):
    return torch.from_numpy(frames_BHWC).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize(("size", "patch"), [((32, 48), 8), ((8, 8), 8), ((84, 64), 4), ((6, 4), 2), ((32, 16), 16)])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_frames_and_patches_of_any_shape_go_there_and_back(quantizer, size, patch):
    tokenizer = build(quantizer, size, patch)
    tokens = tokenizer.encode(floats(noise(3, size)))
    assert tokens.shape == (3, size[0] // patch, size[1] // patch) and tokens.dtype == torch.int64
    assert int(tokens.min()) >= 0 and int(tokens.max()) < QUANTIZERS[quantizer]
    frames = tokenizer.decode(tokens)
    assert frames.shape == (3, 3, *size) and float(frames.min()) >= 0 and float(frames.max()) <= 1
    made, trained_tokens, loss = tokenizer(floats(noise(3, size)))
    assert made.shape == frames.shape and trained_tokens.shape == (3, tokens[0].numel()) and loss.ndim == 0


def test_a_token_changes_only_where_its_own_pixels_do(tokenizer):
    frames = noise(1)
    before = tokenizer.encode(floats(frames))[0]
    changes = 0
    for y, x in [(0, 0), (1, 4), (3, 5)]:
        other = frames.copy()
        other[0, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = 255 - other[0, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
        differs = tokenizer.encode(floats(other))[0] != before
        changes += int(differs[y, x])
        differs[y, x] = False
        assert not differs.any()
    assert changes


def test_equal_patches_have_equal_tokens_wherever_they_lie(tokenizer):
    patches = noise(5, (8, 8))
    layout = np.random.default_rng(1).integers(0, 5, GRID)
    frame = np.concatenate([np.concatenate([patches[k] for k in row], 1) for row in layout], 0)
    tokens = tokenizer.encode(floats(frame[None]))[0].numpy()
    for k in range(5):
        assert len(set(tokens[layout == k])) <= 1


@pytest.mark.parametrize("patch", [4, 8])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_encode_frames_is_encode(quantizer, patch):
    tokenizer = build(quantizer, SIZE, patch)
    frames = noise(7)
    frames[3:5, :16] = frames[0, :16]  # patches that repeat
    expected = tokenizer.encode(floats(frames)).numpy()
    for size in (128, 3):
        assert np.array_equal(encode_frames(tokenizer, frames, size), expected)


def test_encoding_keeps_to_float32_under_autocast(tokenizer):
    frames = floats(noise(2))
    expected = tokenizer.encode(frames)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tokenizer.encode(frames), expected)


def test_wrong_sizes_are_refused(tokenizer):
    with pytest.raises(ValueError, match="pixels"):
        tokenizer.encode(torch.zeros(1, 3, 48, 32))
    with pytest.raises(ValueError, match="multiples of patch_size, 8"):
        TokenizerConfig(frame_size=(30, 48))
    with pytest.raises(ValueError, match="must be 2, 4, 8 or 16"):
        TokenizerConfig(frame_size=(30, 48), patch_size=3)
    with pytest.raises(ValueError, match="fsq knows codebook sizes"):
        Tokenizer(TokenizerConfig(quantizer="fsq", codebook_size=100))


# --- a codebook of patches ---------------------------------------------------------------------------------------


def test_patches_are_counted_with_what_moves_in_them():
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    frames[:, :8, 8:] = 200
    moving = np.zeros((2, 16, 16), bool)
    moving[0, :8, 8:] = True  # one of the two bright patches
    patches, counts, shares = count_patches([(frames[:1], moving[:1]), (frames[1:], moving[1:])])
    assert patches.shape == (2, 192) and patches.dtype == np.uint8
    assert count_patches([(frames, moving)], 4)[0].shape == (2, 48)
    assert dict(zip(patches[:, 0].tolist(), counts.tolist(), strict=True)) == {0: 6, 200: 2}
    assert dict(zip(patches[:, 0].tolist(), shares.tolist(), strict=True)) == {0: 0, 200: 0.5}


def fitted(frames_BHWC, moving_BHW, size):
    patches, counts, moving = count_patches([(frames_BHWC, moving_BHW)])
    tokenizer = Tokenizer(TokenizerConfig(frames_BHWC.shape[1:3], codebook_size=size, decoder_width=16)).eval()
    tokenizer.quantizer.codebook.copy_(fit_codebook(patches, counts, moving, size, 15.0, seed=0))
    return tokenizer.requires_grad_(False), len(patches)


def test_with_as_many_codes_as_patches_nothing_is_lost():
    """Even before training, because the decoder begins as the plain look-up."""
    patches = noise(20, (8, 8))
    layout = np.random.default_rng(1).permutation(np.arange(3 * 24) % 20).reshape(3, *GRID)
    frames = patches[layout].swapaxes(2, 3).reshape(3, *SIZE, 3)
    tokenizer, distinct = fitted(frames, np.zeros(frames.shape[:3], bool), 32)
    assert distinct == 20
    tokens = tokenizer.encode(floats(frames))
    assert len(tokens.unique()) == 20 and int(tokens.max()) < 20, "codes left over are never chosen"
    made = (tokenizer.decode(tokens) * 255).round().permute(0, 2, 3, 1).byte().numpy()
    assert np.array_equal(made, frames)


def test_what_moves_gets_codes_before_what_does_not():
    frames = noise(40, (8, 8))
    moving = np.zeros((40, 8, 8), bool)
    moving[:10] = True
    tokenizer, _ = fitted(frames, moving, 14)
    error = (tokenizer.decode(tokenizer.encode(floats(frames))) - floats(frames)).square().mean((1, 2, 3))
    assert float(error[:10].mean()) < 0.5 * float(error[10:].mean())


@pytest.fixture(scope="module")
def platformer():
    """Frames and moving masks of the real game: every theme, a player who runs and jumps."""
    env = gymnasium.make("worldlet/Platformer-v0")
    rng = np.random.default_rng(0)
    frames, masks = [], []
    for seed in range(8):
        frame, info = env.reset(seed=seed)
        for _ in range(20):
            frames.append(frame)
            masks.append(info["moving_mask"])
            frame, _, _, _, info = env.step(int(rng.choice([3, 3, 7, 0, 5])))
    env.close()
    return np.stack(frames), np.stack(masks)


def test_precision_does_not_change_tokens_of_real_frames(platformer):
    frames, moving = platformer
    tokenizer, distinct = fitted(frames[::2], moving[::2], 256)
    assert distinct > 256, "or every patch would be a code"
    exact = tokenizer.encode(floats(frames)).flatten(1)
    rough = tokenizer.quantizer.assign(tokenizer.latents(floats(frames).bfloat16()).float())
    assert float((exact == rough).float().mean()) > 0.999
    same = (frames[1:] == frames[:-1]).reshape(-1, 16, 8, 16, 8, 3).all((2, 4, 5)).reshape(len(frames) - 1, -1)
    changed = (exact[1:] != exact[:-1]).numpy()
    assert not (changed & same).any(), "no still patch changes its token"
    assert changed.any()


# --- the stage ---------------------------------------------------------------------------------------------------


@pytest.fixture
def table(monkeypatch):
    frames = noise(30, (4, 6)).repeat(8, 1).repeat(8, 2)
    hero = np.zeros(frames.shape[:3], bool)
    hero[:, 10:20, 30:36] = True
    table = FrameTable(frames, pack_masks(hero), pack_masks(hero))
    monkeypatch.setattr(FrameTable, "load", lambda *arguments: table)
    return table


def stage_of(quantizer="patch", patch_size=8, **changes):
    settings = {"batch_size": 4, "crop": 16, "val_frames": 8, "hero_share": 1.0, "revive_every": 1, **changes}
    return TokenizerStage("", build(quantizer, SIZE, patch_size).config, TokenizerStageConfig(**settings), seed=3)


@pytest.mark.parametrize("patch", [4, 8])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_every_quantizer_trains(quantizer, patch, table, tmp_path):
    stage = stage_of(quantizer, patch, batch_size=8)
    before = {name: tensor.clone() for name, tensor in stage.module.state_dict().items()}
    result = fit(stage, tmp_path, LoopConfig(steps=4, device="cpu", precision="bf16", validate_every_steps=4))
    assert result.skipped == 0 and set(result.validation) == {"loss", "psnr_db", "hero_psnr_db", "codes"}
    after = stage.module.state_dict()
    assert not torch.equal(after["decoder.blocks.0.first.weight"], before["decoder.blocks.0.first.weight"])
    if quantizer == "patch":
        assert torch.equal(after["quantizer.codebook"], before["quantizer.codebook"])
    else:
        assert not torch.equal(after["encoder.layers.0.weight"], before["encoder.layers.0.weight"])


def test_crops_follow_from_seed_and_step_and_hold_the_hero(table):
    stage, other = stage_of(), stage_of()
    other._batch(1)
    (crops, weights), (crops_again, weights_again) = stage._batch(5), other._batch(5)
    assert torch.equal(crops, crops_again) and torch.equal(weights, weights_again)
    assert crops.shape == (4, 3, 16, 16) and weights.shape == (4, 1, 16, 16)
    assert not torch.equal(stage._batch(6)[0], crops)
    assert all(bool((weight == 16).any()) for weight in weights), "1 + hero_weight on his pixels"
    for crop in crops:  # on the token grid every patch of these frames has one colour
        assert float(crop.unflatten(1, (2, 8)).unflatten(3, (2, 8)).std((2, 4)).max()) < 1e-6


def test_without_a_hero_there_is_no_figure_for_him(table, monkeypatch):
    none = pack_masks(np.zeros((30, *SIZE), bool))
    monkeypatch.setattr(FrameTable, "load", lambda *arguments: FrameTable(table.frames_FHWC, none, none))
    stage = stage_of()
    figures = stage.validate(stage.module)
    assert "hero_psnr_db" not in figures and all(np.isfinite(value) for value in figures.values())


def test_frames_that_codes_serve_badly_come_oftener(table):
    """One frame of thirty is of colours that no code has."""
    model = build("patch")
    odd = table.frames_FHWC.copy()
    odd[7] = 255 - odd[7] // 2
    whole = FrameTable(odd, table.hero_bits, table.moving_bits)
    latents = model.latents(floats(np.delete(odd, 7, 0)[:, ::8, ::8].repeat(8, 1).repeat(8, 2))).flatten(0, 1)
    book = latents.unique(dim=0)[:64]
    model.quantizer.codebook.zero_()[: len(book)] = book
    errors = code_errors(model, odd, size=7)
    real = model.latents(floats(odd))
    nearest = torch.cdist(real.flatten(0, 1), model.quantizer.codebook).amin(1).square().view(30, -1).sum(1)
    assert errors == pytest.approx(nearest.double().numpy(), rel=1e-3, abs=1e-3)
    draws = whole.batch(3, 4000, 1, errors)[0]
    share = (draws == odd[7]).all((1, 2, 3)).mean()
    assert share == pytest.approx(errors[7] / errors.sum(), abs=0.03) and share > 1.5 / 30
    stage = stage_of(hard_share=0.5)
    weights = stage._frame_weights()
    assert weights is stage._frame_weights() and weights.mean() == pytest.approx(1.0) and weights.min() >= 0.5
    assert stage_of()._frame_weights() is None
    stage._weights_F = np.eye(30)[7]
    crops = stage._batch(0)[0]
    colours = {tuple(colour) for colour in table.frames_FHWC[7].reshape(-1, 3)}
    seen = crops.mul(255).round().byte().permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0)
    assert {tuple(colour) for colour in seen.tolist()} <= colours, "the weights decide which frames are cropped"
    with pytest.raises(ValueError, match="hard_share needs a codebook of patches"):
        stage_of("vq", hard_share=0.5)


def test_dead_codes_move_to_the_worst_served_latents():
    torch.manual_seed(0)
    quantizer = EmaVQ(4, 8)
    book = quantizer.vq._codebook
    book.embed.data.copy_(torch.randn(1, 8, 4) * 0.01)
    book.cluster_size.data.copy_(torch.tensor([[5.0] * 6 + [0.0] * 2]))
    latents = torch.cat([torch.zeros(20, 4), torch.full((1, 4), 9.0), torch.full((1, 4), -9.0)])
    kept = quantizer.codebook[:6].clone()
    assert quantizer.revive(latents, torch.Generator().manual_seed(0), dead_below=0.5) == 2
    assert torch.equal(quantizer.codebook[:6], kept)
    assert sorted(quantizer.codebook[6:, 0].tolist()) == [-9.0, 9.0]
    book.cluster_size.data.zero_()
    assert quantizer.revive(latents[:3], torch.Generator().manual_seed(0), dead_below=0.5) == 3, (
        "no more than there are"
    )


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"revive_every": 0}, {"hard_share": 1.5}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        TokenizerStageConfig(**wrong)


def test_a_crop_off_the_token_grid_is_refused(table):
    with pytest.raises(ValueError, match="multiple of the patch size, 8"):
        stage_of(crop=12)
