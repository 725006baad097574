"""Capture of a real window on a screen of Xvfb: it turns white while the key Right is down."""

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from worldlet.data.capture.run import capture
from worldlet.data.capture.settings import CaptureConfig
from worldlet.data.capture.source import SourceClosed
from worldlet.data.shards import read_episodes, read_manifest

pytest.importorskip("Xlib", reason="capturing a window needs python-xlib: install '.[capture]'")
pytest.importorskip("mss", reason="capturing a window needs mss: install '.[capture]'")
pytestmark = pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs a screen: apt-get install xvfb")

# A window that counts in pixels (so that no two pictures are the same) and shows its key.
GAME = """
import time
from Xlib import X, display
screen = display.Display()
root = screen.screen().root
window = root.create_window(8, 8, 128, 96, 0, screen.screen().root_depth, event_mask=X.KeyPressMask | X.KeyReleaseMask)
window.set_wm_name("Tiny desktop game")
window.map()
paint = window.create_gc()
while window.get_attributes().map_state != X.IsViewable:
    time.sleep(0.01)
print("shown", flush=True)
down, count = False, 0
while True:
    while screen.pending_events():
        event = screen.next_event()
        if event.type in (X.KeyPress, X.KeyRelease):
            down = event.type == X.KeyPress
    count += 1
    paint.change(foreground=0xFFFFFF if down else 0)
    window.fill_rectangle(paint, 0, 0, 128, 48)
    for bit in range(16):
        paint.change(foreground=0xFFFFFF if count >> bit & 1 else 0)
        window.fill_rectangle(paint, 8 * bit, 48, 8, 48)
    screen.sync()
    time.sleep(0.01)
"""


@pytest.fixture
def screen(tmp_path, monkeypatch):
    with open(tmp_path / "display", "wb") as number:
        command = ["Xvfb", "-displayfd", str(number.fileno()), "-screen", "0", "320x240x24", "-nolisten", "tcp"]
        server = subprocess.Popen(command, pass_fds=[number.fileno()], stderr=subprocess.DEVNULL)
    while not (text := (tmp_path / "display").read_text()).endswith("\n"):
        assert server.poll() is None
    monkeypatch.setenv("DISPLAY", f":{text.strip()}")
    yield
    server.terminate()
    server.wait()


def close_window(game, folder: Path):
    while game.poll() is None and not list((folder / "data").glob("*.tar")):
        time.sleep(0.02)
    game.kill()


def play(folder: Path, close_at_a_shard: bool = False, **changes):
    game = subprocess.Popen([sys.executable, "-c", GAME], stdout=subprocess.PIPE)
    assert game.stdout is not None and game.stdout.readline() == b"shown\n"
    script = folder / "script.json"
    script.write_text('[["right", 0.7], ["noop", 0.5]]')
    if close_at_a_shard:
        threading.Thread(target=close_window, args=(game, folder)).start()
    settings = {"out": str(folder / "data"), "window": "tiny DESKTOP", "frames": 120, "fps": 10.0, "width": 64}
    settings |= {"keys": "right=ArrowRight", "demo": str(script)}
    try:
        return capture(CaptureConfig(**{**settings, **changes}), Console(quiet=True))
    finally:
        game.kill()
        game.communicate()


def test_a_window_is_recorded_with_the_keys_that_it_got(screen, tmp_path):
    assert play(tmp_path).frames >= 120
    manifest = read_manifest(tmp_path / "data")
    assert manifest["frame_size"] == [48, 64] and manifest["action_names"] == ["noop", "right"]
    agrees = {-1: [], 0: [], 1: []}
    for split in ("train", "val", "test"):
        for episode in read_episodes(tmp_path / "data", split):
            white = episode.frames_THWC[:, 8, 8, 0] > 127
            assert len({frame.tobytes() for frame in episode.frames_THWC}) > len(white) / 2
            for shift, found in agrees.items():
                for t, action in enumerate(episode.actions_T):
                    if 0 <= t + 1 + shift < len(white):
                        found.append(white[t + 1 + shift] == action)
    means = {shift: np.mean(found) for shift, found in agrees.items()}
    assert means[0] == max(means.values()) and means[0] > 0.85, means


def test_a_window_that_closes_is_said_and_what_there_was_is_kept(screen, tmp_path):
    with pytest.raises(SourceClosed, match="'Tiny desktop game' was closed; .*the same command goes on"):
        play(tmp_path, close_at_a_shard=True, fps=4.0, frames=10_000, episode_steps=8, shard_episodes=1)
    assert read_manifest(tmp_path / "data")["shards"]


def test_a_window_that_is_not_there_is_named(screen, tmp_path):
    config = CaptureConfig(out=str(tmp_path / "data"), window="SuperTux")
    with pytest.raises(ValueError, match="no window has 'SuperTux' in its title: there are no windows"):
        capture(config, Console(quiet=True))


def test_without_a_screen_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(ValueError, match="captured from an X11 screen"):
        capture(CaptureConfig(out=str(tmp_path / "data"), window="SuperTux"), Console(quiet=True))


@pytest.fixture
def window(screen):
    game = subprocess.Popen([sys.executable, "-c", GAME], stdout=subprocess.PIPE)
    assert game.stdout is not None and game.stdout.readline() == b"shown\n"
    yield "tiny desktop"
    game.kill()
    game.communicate()


def keys_down() -> int:
    from Xlib.display import Display

    display = Display()
    try:
        return sum(bin(part).count("1") for part in display.query_keymap())
    finally:
        display.close()


def test_a_key_that_there_is_not_leaves_none_stuck(window):
    from worldlet.data.capture.x11 import WindowSource

    source = WindowSource(window, focus=True)
    source.hold(["ArrowRight"])
    assert keys_down() == 1
    with pytest.raises(ValueError, match="no key 'NoSuchKey'"):
        source.hold(["ArrowLeft", "NoSuchKey"])
    assert keys_down() == 1, "nothing has changed"
    source.hold(["ArrowLeft"])
    assert keys_down() == 1
    source.close()
    assert keys_down() == 0


def test_a_window_that_is_left_before_anybody_listens_leaves_nothing_open(window, monkeypatch):
    from worldlet.data.capture import x11

    listen = x11._Listener._listen
    monkeypatch.setattr(x11._Listener, "_listen", lambda self: (time.sleep(0.5), listen(self)))
    source = x11.WindowSource(window, focus=False)
    source.close()
    assert not source._listener._thread.is_alive()


def test_a_screen_that_fails_leaves_nothing_open(window, monkeypatch):
    import mss

    from worldlet.data.capture import x11

    hung_up = []
    real = x11._hang_up
    monkeypatch.setattr(x11, "_hang_up", lambda display: (hung_up.append(display), real(display)))

    def fails(*_):
        raise mss.ScreenShotError("no screen")

    source = x11.WindowSource(window, focus=True)
    source.hold(["ArrowRight"])
    monkeypatch.setattr(source._screen, "close", fails)
    source.close()
    assert len(hung_up) == 2 and keys_down() == 0
    monkeypatch.setattr(mss, "MSS", fails)
    with pytest.raises(mss.ScreenShotError, match="no screen"):
        x11.WindowSource(window, focus=True)
    assert len(hung_up) == 4
