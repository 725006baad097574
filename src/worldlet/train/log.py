"""What a run writes down: losses.jsonl, TensorBoard, pictures, a curve, and a line for the person who waits."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from worldlet.manifest import atomic_path, write_atomic

SECONDS_BETWEEN_LINES = 20.0
"""How often progress is printed where the output is no terminal."""
SECONDS_BETWEEN_REFRESHES = 0.5
STEPS_BETWEEN_SCALARS = 10
"""TensorBoard gets the training loss of every tenth step; losses.jsonl has them all."""


class RunLog:
    """The log files of one stage in `folder`. Lines of steps after `step` are cut: a resumed run has no doubles.

    `losses.jsonl` has one JSON object per training step (`step, loss, lr, ...`; the first step is 1) and one
    per validation (`step, validation`). It holds no times, so that two equal runs write equal files.
    """

    def __init__(self, folder: Path, step: int, console: Console) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "losses.jsonl"
        lines = _lines_to(path, step)
        write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        self._losses = [(line["step"], line["loss"]) for line in lines if line.get("loss") is not None]
        self._validations = [(line["step"], line["validation"]["loss"]) for line in lines if "validation" in line]
        self._file = path.open("a", encoding="utf-8")
        self._board = _tensorboard(folder / "tensorboard", step, console)

    def train(self, step: int, loss: float | None, lr: float, metrics: Mapping[str, float]) -> None:
        """Note one training step; `loss` is None for a step that was skipped because it was not finite."""
        self._write({"step": step, "loss": loss, "lr": lr, **metrics})
        if loss is None:
            return
        self._losses.append((step, loss))
        if self._board is not None and step % STEPS_BETWEEN_SCALARS == 0:
            for name, value in {"loss": loss, "lr": lr, **metrics}.items():
                self._board.add_scalar(f"train/{name}", value, step)

    def validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Note one validation and draw the curve anew."""
        self._write({"step": step, "validation": dict(metrics)})
        self._validations.append((step, metrics["loss"]))
        if self._board is not None:
            for name, value in metrics.items():
                self._board.add_scalar(f"validation/{name}", value, step)
            self._board.flush()
        _save_png(draw_curve(self._losses, self._validations), self.folder / "curve.png")

    def picture(self, step: int, name: str, picture_HWC: NDArray[np.uint8]) -> None:
        """Write one sample picture, uint8 (H, W, 3)."""
        _save_png(picture_HWC, self.folder / "pictures" / f"step_{step:06d}_{name}.png")
        if self._board is not None:
            self._board.add_image(name, picture_HWC, step, dataformats="HWC")

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


class ProgressLine:
    """Shows step, loss, learning rate, speed and time left: a bar on a terminal, else a line every 20 seconds."""

    def __init__(self, name: str, console: Console) -> None:
        self._name = name
        self._console = console
        self._shown_at = -math.inf
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[text]}"),
            console=console,
            auto_refresh=False,  # no refresh thread beside the training threads
            transient=True,
        )
        self._task = self._bar.add_task(name, total=1.0, text="")
        if console.is_terminal:
            self._bar.start()

    def show(self, step: int, progress: float, loss: float, lr: float, items_per_s: float, seconds_left: float) -> None:
        """Show where training is, if the last time was long enough ago."""
        now = time.monotonic()
        waited = now - self._shown_at
        if waited < (SECONDS_BETWEEN_REFRESHES if self._console.is_terminal else SECONDS_BETWEEN_LINES):
            return
        self._shown_at = now
        text = (
            f"step {step:,}  loss {loss:.4f}  lr {lr:.1e}  {items_per_s:,.1f} items/s  "
            f"{progress:.0%}  {_clock(seconds_left)} left"
        )
        if self._console.is_terminal:
            self._bar.update(self._task, completed=progress, text=text, refresh=True)
        else:
            self.say(text)

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(f"{self._name}: {text}", highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._console.is_terminal:
            self._bar.stop()


def draw_curve(
    losses: list[tuple[int, float]], validations: list[tuple[int, float]], size: tuple[int, int] = (640, 360)
) -> NDArray[np.uint8]:
    """Draw training loss (grey, averaged over pixels) and validation loss (red) over steps; uint8 (H, W, 3).

    The loss axis is logarithmic where every loss is positive.
    """
    width, height = size
    margin = 48
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    train = _averaged(losses, width - 2 * margin)
    validations = [point for point in validations if math.isfinite(point[1])]
    points = train + validations
    if not points:
        return np.asarray(image)
    logarithmic = min(value for _, value in points) > 0
    heights = [math.log(value) if logarithmic else value for _, value in points]
    low, high = min(heights), max(heights)
    last = max(step for step, _ in losses + validations)

    def place(step: float, value: float) -> tuple[float, float]:
        up = ((math.log(value) if logarithmic else value) - low) / ((high - low) or 1.0)
        return margin + step / max(last, 1) * (width - 2 * margin), height - margin - up * (height - 2 * margin)

    draw.rectangle((margin, margin, width - margin, height - margin), outline="#cccccc")
    for points_of, colour in ((train, "#777777"), (validations, "#cc2222")):
        if len(points_of) > 1:
            draw.line([place(*point) for point in points_of], fill=colour, width=2)
    for step, value in validations:
        x, y = place(step, value)
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill="#cc2222")
    for level, y in ((low, height - margin), (high, margin)):
        draw.text((4, y - 6), f"{math.exp(level) if logarithmic else level:.4g}", fill="black")
    draw.text((margin, height - margin + 8), f"steps 0 to {last:,}", fill="black")
    draw.text((margin, 16), "loss: training grey, validation red" + (" (log)" if logarithmic else ""), fill="black")
    return np.asarray(image)


def _averaged(points: list[tuple[int, float]], count: int) -> list[tuple[float, float]]:
    size = max(1, math.ceil(len(points) / count))
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(s for s, _ in group) / len(group), sum(v for _, v in group) / len(group)) for group in groups]


def _lines_to(path: Path, step: int) -> list[dict[str, Any]]:
    """Return the logged lines of steps up to `step`, none after a damaged one (a kill may leave half a line)."""
    if step == 0 or not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            break
        if line["step"] <= step:
            lines.append(line)
    return lines


def _tensorboard(folder: Path, step: int, console: Console) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        console.print("TensorBoard is not installed: the curves go to losses.jsonl and curve.png only", highlight=False)
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def _save_png(picture_HWC: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        Image.fromarray(picture_HWC).save(temporary)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
