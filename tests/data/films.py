"""Films for the tests of `worldlet prepare`: every frame shows its number and the action that led to it."""

from fractions import Fraction

import av
import numpy as np

HEIGHT, WIDTH = 48, 64
LEVELS = (40, 110, 180, 250)  # grey of the action mark, by the action's number


def scene(number, height=HEIGHT, width=WIDTH, seed=0):
    """A picture that no other number shows: blocks of random colours that scroll by a pixel a frame."""
    columns = [
        np.random.default_rng([seed, (number + x) // 8]).integers(60, 200, (height // 8, 1, 3), np.uint8)
        for x in range(width)
    ]
    return np.concatenate(columns, axis=1).repeat(8, axis=0)


def film(actions, seed=0, first=0):
    """T+1 frames for T actions: the mark in the corner of frame t+1 tells action t; frame 0 shows none."""
    frames = []
    for t in range(len(actions) + 1):
        frame = scene(first + t, seed=seed)
        frame[:16, :16] = 0 if t == 0 else LEVELS[actions[t - 1]]
        frames.append(frame)
    return np.stack(frames)


def shown_actions(frames):
    """Read the marks of frames back: -1 for none."""
    levels = np.array([0, *LEVELS])
    return np.abs(levels - frames[:, 2:14, 2:14].mean((1, 2, 3))[:, None]).argmin(1) - 1


def write_film(path, frames, fps=30, codec="libx264rgb", pixels="rgb24", stamps=None, options=None):
    """Write frames; ``stamps`` gives each frame's time in milliseconds instead of a steady rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lossless = {"crf": "0"} if codec == "libx264rgb" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.options = {**lossless, **(options or {})}
        if stamps is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            if stamps is not None:
                picture.pts, picture.time_base = int(stamps[number]), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path
