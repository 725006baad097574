import builtins

import numpy as np
import pytest
from PIL import Image

from worldlet.engine.film import open_film


def pixel_art(count=20, colours=200):
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (colours, 3), np.uint8)
    return palette[rng.integers(0, colours, (count, 16, 24))]


def write(path, frames, fps=30, scale=1):
    with open_film(path, fps, scale) as film:
        for frame in frames:
            film.add(frame)
    return path


def read_gif(path):
    frames, milliseconds = [], []
    with Image.open(path) as image:
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")))
            milliseconds.append(image.info["duration"])
    return np.stack(frames), milliseconds


def test_gif_of_few_colours_is_exact_and_enlarged(tmp_path):
    frames = pixel_art()
    found, milliseconds = read_gif(write(tmp_path / "a.gif", frames, scale=3))
    assert np.array_equal(found, frames.repeat(3, axis=1).repeat(3, axis=2))
    assert sum(milliseconds) == 670  # 20 frames at 30 a second, in hundredths


def test_gif_of_many_colours_keeps_flat_areas_flat(tmp_path):
    """Forty levels in each channel are more than a palette holds; a dithered flat area would have several colours."""
    frames = np.zeros((3, 16, 24, 3), np.uint8)
    rng = np.random.default_rng(1)
    frames[:, :, :12] = rng.integers(0, 256, (3, 16, 12, 3))
    frames[:, :, 12:] = (83, 131, 47)
    found, _ = read_gif(write(tmp_path / "a.gif", frames))
    assert len(np.unique(found[:, :, 12:].reshape(-1, 3), axis=0)) == 1
    assert np.abs(found.astype(int) - frames).mean() < 24


def test_mp4_is_lossless(tmp_path):
    av = pytest.importorskip("av")
    frames = pixel_art()
    with av.open(str(write(tmp_path / "a.mp4", frames, scale=2))) as container:
        stream = container.streams.video[0]
        found = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
        assert stream.average_rate == 30
    assert np.array_equal(found, frames.repeat(2, axis=1).repeat(2, axis=2))


def test_mp4_without_pyav_names_the_extra(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name == "av":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ValueError, match=r"worldlet\[video\]"):
        write(tmp_path / "a.mp4", pixel_art())
    assert list(tmp_path.iterdir()) == []


def test_strip_shows_first_and_last(tmp_path):
    frames = pixel_art(20)
    sheet = np.asarray(Image.open(write(tmp_path / "a.png", frames)))
    assert sheet.shape == (2 * 16, 8 * 24, 3)
    assert np.array_equal(sheet[:16, :24], frames[0]) and np.array_equal(sheet[16:, -24:], frames[-1])


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.mp4"])
def test_a_film_that_fails_leaves_the_old_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(RuntimeError), open_film(tmp_path / name, 30) as film:
        film.add(pixel_art(1)[0])
        raise RuntimeError
    assert (tmp_path / name).read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "fps", "scale", "message"),
    [("a.avi", 30, 1, "must end in"), ("a.gif", 0, 1, "fps"), ("a.gif", 30, 0, "scale")],
)
def test_mistakes(tmp_path, name, fps, scale, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / name, pixel_art(), fps, scale)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.mp4"])
def test_frames_of_two_sizes_and_none_at_all(tmp_path, name):
    with pytest.raises(ValueError, match="one shape"):
        write(tmp_path / name, [pixel_art(1)[0], pixel_art(1)[0][:8]])
    with pytest.raises(ValueError, match="no frame"):
        write(tmp_path / name, [])
    assert list(tmp_path.iterdir()) == []
