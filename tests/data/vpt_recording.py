"""Small VPT segments made for tests: a log as the recorder's README shows it, and a video whose brightness counts."""

import json

import av
import numpy as np

BRIGHTER = 4
"""Grey levels from one frame to the next."""
PUBLISHED = {
    "mouse": {
        "x": 274.0, "y": 338.0, "dx": 0.0, "dy": 0.0, "scaledX": -366.0, "scaledY": -22.0, "dwheel": 0.0,
        "buttons": [], "newButtons": [],
    },
    "keyboard": {"keys": [], "newKeys": [], "chars": ""},
    "isGuiOpen": False, "isGuiInventory": False, "hotbar": 4, "yaw": -112.35006, "pitch": 8.099996,
    "xpos": 841.364694513396, "ypos": 63.0, "zpos": 24.956354839537802, "tick": 0, "milli": 1649575088006,
    "inventory": [{"type": "oak_door", "quantity": 3}, {"type": "oak_planks", "quantity": 59}],
    "serverTick": 6001, "serverTickDurationMs": 36.3466, "stats": {"minecraft.custom:minecraft.jump": 4},
}  # fmt: skip
"""Every field of the published example, by its published name."""


def line(tick=0, keys=(), buttons=(), new=(), dx=0.0, dy=0.0, **fields):
    values = json.loads(json.dumps(PUBLISHED))
    values["mouse"].update(dx=dx, dy=dy, buttons=list(buttons), newButtons=list(new))
    values["keyboard"]["keys"] = [f"key.keyboard.{key}" for key in keys]
    return {**values, "tick": tick, "milli": values["milli"] + 50 * tick, **fields}


def write_segment(folder, name, lines, frames=None, size=(36, 64)):
    """Write NAME.jsonl and NAME.mp4, of one frame more than there are lines, as the recorder does."""
    stem = folder / name
    stem.parent.mkdir(parents=True, exist_ok=True)
    text = "".join((entry if isinstance(entry, str) else json.dumps(entry)) + "\n" for entry in lines)
    stem.with_name(stem.name + ".jsonl").write_text(text)
    frames = len(lines) + 1 if frames is None else frames
    with av.open(str(stem.with_name(stem.name + ".mp4")), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for index in range(frames):
            # The last frame repeats the one before it, as the recorder writes it when it stops.
            grey = BRIGHTER * min(index, len(lines) - 1)
            picture = np.full((*size, 3), grey % 256, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return stem.with_name(stem.name + ".mp4")


def counts(frames_THWC):
    """Return the number of each frame, read from its brightness."""
    return np.round(frames_THWC.mean((1, 2, 3)) / BRIGHTER).astype(int).tolist()
