"""A web game in Chromium, through Playwright: pictures by the browser's own screencast, keys by listeners in the page.

Two clocks: in real time the screencast sends what was drawn, when it was drawn; a *stepped* page is given the time of
one frame after another, so that nothing is ever late, however slow the machine.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import time
import urllib.parse
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldlet.data.capture.source import Grab, KeyEvent, SourceClosed

SETTLE_SECONDS = 0.15
"""A moment is looked at this much later, when its pictures and keys have come over from the browser."""
MOST_BEHIND_SECONDS = 2.0
"""A recorder that is further behind than this gives up what it missed."""
_LOAD_MS = 20_000
_LISTEN = """
(() => {
  const tell = (code, down, event) => window.worldletKey(code, down, performance.timeOrigin + event.timeStamp);
  addEventListener("keydown", (event) => { if (!event.repeat) tell(event.code, true, event); }, true);
  addEventListener("keyup", (event) => tell(event.code, false, event), true);
  addEventListener("blur", (event) => { if (event.target === window) tell("", false, event); }, true);
})();
"""
_RESPOND = """<!doctype html><body style="margin: 0"><canvas width="64" height="64"></canvas><script>
const draw = document.querySelector("canvas").getContext("2d");
let down = false;
addEventListener("keydown", () => { down = true; });
addEventListener("keyup", () => { down = false; });
const frame = () => {
  draw.fillStyle = down ? "#fff" : "#000"; draw.fillRect(0, 0, 64, 64);
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
</script>"""
_TRIALS = 12
_LARGEST_CANVAS = """() => {
  const seen = [...document.querySelectorAll("canvas")].filter((canvas) => canvas.checkVisibility());
  const area = (canvas) => canvas.clientWidth * canvas.clientHeight;
  const largest = seen.sort((a, b) => area(b) - area(a))[0];
  return largest && area(largest) >= 0.2 * innerWidth * innerHeight ? largest : null;
}"""


class WebSource:
    """A page, and what of it is captured: the element that ``selector`` names, or the largest canvas, or all of it.

    Raises ValueError where no browser can be started, the page does not load, or has no such element; ImportError
    where Playwright is not installed.
    """

    def __init__(self, url: str, selector: str, viewport: tuple[int, int], show: bool, stepped: bool) -> None:
        self.late = 0
        self.latency: float | None = None
        self._stepped = stepped
        self._time = 0.0  # of a stepped page
        self._events: list[KeyEvent] = []
        self._held: set[str] = set()
        self._shots: deque[tuple[float, str]] = deque()
        self._shown: tuple[float, str] | None = None
        self._pixels: NDArray[np.uint8] | None = None
        self._last_due = 0.0
        self._playwright = _start_playwright()
        from playwright.sync_api import Error

        self._error = Error
        try:
            self._browser = _launch(self._playwright, show)
            self._page = self._browser.new_page(viewport={"width": viewport[0], "height": viewport[1]})
            self._page.expose_function("worldletKey", self._hear)
            self._page.add_init_script(_LISTEN)
            self._cdp = self._page.context.new_cdp_session(self._page)
            if not stepped:
                self._start_screencast()
                self.latency = self._measure_latency()
            self._load(url)
            self.title = self._page.title() or url
            self._box = self._find(selector)
            self._events.clear()
        except BaseException:
            self.close()
            raise

    def now(self) -> float:
        """Return seconds since 1970, or since the page was loaded where it is stepped."""
        return self._time if self._stepped else time.time()

    def grab(self, due: float) -> Grab | None:
        """Return the picture of the moment ``due``; raises SourceClosed where the page is gone."""
        with _open_page():
            if self._stepped:
                return self._step(due)
            if time.time() - due > MOST_BEHIND_SECONDS:
                due = time.time() - SETTLE_SECONDS
            self._page.wait_for_timeout(1)  # however late it is: what the browser sent is taken in only here
            while (left := due + SETTLE_SECONDS - time.time()) > 0:
                self._page.wait_for_timeout(max(1.0, left * 1000))
            fresh = self._show(due)
            assert self._pixels is not None
            return Grab(due, self._pixels, fresh)

    def events(self) -> list[KeyEvent]:
        """Return the key events that the page saw since the last call."""
        events, self._events = sorted(self._events, key=lambda event: event.time), []
        return events

    def hold(self, codes: Collection[str]) -> None:
        """Press and release keys in the page until exactly these are held."""
        with _open_page():
            for code in sorted(self._held - set(codes)):
                self._page.keyboard.up(code)
                self._note_key(code, False)
            for code in sorted(set(codes) - self._held):
                self._page.keyboard.down(code)
                self._note_key(code, True)
        self._held = set(codes)

    def close(self) -> None:
        """Close the browser."""
        with suppress(Exception):  # Ctrl-C ends the browser too, in any order
            self._playwright.stop()

    def _load(self, url: str) -> None:
        from playwright.sync_api import Error

        page = self._page
        if self._stepped:
            page.clock.install()
        try:
            page.goto(url, wait_until="load", timeout=_LOAD_MS)
        except Error as error:
            raise ValueError(f"the page {url} does not load: {error.message.splitlines()[0]}") from error
        if self._stepped:
            page.clock.pause_at(page.evaluate("Date.now()") + 1000)

    def _find(self, selector: str) -> dict[str, float]:
        """Return where the game is on the page: x, y, width, height; the window grows where it does not fit."""
        page = self._page
        found = page.query_selector(selector) if selector else page.evaluate_handle(_LARGEST_CANVAS).as_element()
        if selector and found is None:
            raise ValueError(f"the page has no element {selector!r}: give the CSS selector of the game's element")
        size = page.viewport_size
        assert size is not None
        if found is None:
            return {"x": 0, "y": 0, **size}
        found.scroll_into_view_if_needed()
        box = found.bounding_box()
        if box is not None and (box["x"] + box["width"] > size["width"] or box["y"] + box["height"] > size["height"]):
            right, bottom = int(box["x"] + box["width"]), int(box["y"] + box["height"])
            page.set_viewport_size({"width": max(size["width"], right), "height": max(size["height"], bottom)})
            box = found.bounding_box()
        if box is None or min(box["width"], box["height"]) < 1:
            raise ValueError(f"the element {selector or 'canvas'!r} of the page cannot be seen")
        found.focus()  # some games listen on their canvas
        return {name: round(value) for name, value in box.items()}

    def _start_screencast(self) -> None:
        self._cdp.on("Page.screencastFrame", self._receive)
        self._cdp.send("Page.startScreencast", {"format": "png", "everyNthFrame": 1})
        deadline = time.time() + _LOAD_MS / 1000
        while not self._shots:
            if time.time() > deadline:
                raise ValueError("the browser sends no pictures of the page: try --stepped")
            self._page.wait_for_timeout(10)

    def _measure_latency(self) -> float:
        """Return the median time in seconds from a key to the stamp of the first picture that shows it.

        It is taken on a page of ours that draws as games do, once per animation frame.
        """
        self._page.goto("data:text/html," + urllib.parse.quote(_RESPOND))
        self._box = {"x": 0, "y": 0, "width": 64, "height": 64}
        delays = []
        for trial in range(_TRIALS):
            self._page.wait_for_timeout(40 + 7 * trial)  # so that keys fall anywhere between two pictures
            self._events.clear()
            self._page.keyboard.down("KeyA")
            delay, deadline = None, time.time() + 1
            while delay is None and time.time() < deadline:
                self._page.wait_for_timeout(20)
                delay = self._response()
            self._page.keyboard.up("KeyA")
            self._shots.clear()
            delays += [] if delay is None else [delay]
        if len(delays) < _TRIALS / 2:
            raise ValueError("the browser is too slow to show what is pressed: use --stepped, or stop other programs")
        return float(np.median(delays))

    def _response(self) -> float | None:
        """Return the time from the last key to the first picture that turned white, if both are there."""
        pressed = next((event.time for event in self._events if event.down), None)
        if pressed is None:
            return None
        after = (shot for shot in self._shots if shot[0] > pressed)
        return next((drawn - pressed for drawn, data in after if self._cut(data)[32, 32, 0] > 127), None)

    def _receive(self, message: dict[str, Any]) -> None:
        with suppress(self._error):  # the last pictures come while the browser closes
            self._cdp.send("Page.screencastFrameAck", {"sessionId": message["sessionId"]})
        drawn = float(message["metadata"]["timestamp"])
        if drawn <= self._last_due:
            self.late += 1
        self._shots.append((drawn, message["data"]))

    def _show(self, due: float) -> bool:
        """Decode the last picture drawn by ``due``, and tell whether it is another than before."""
        before = self._shown
        while self._shots and (self._shots[0][0] <= due or self._shown is None):
            self._shown = self._shots.popleft()
        self._last_due = due
        assert self._shown is not None
        if self._shown is before:
            return False
        self._pixels = self._cut(self._shown[1])
        return True

    def _step(self, due: float) -> Grab:
        before = round(self._time * 1000)
        self._time = due
        if (milliseconds := round(due * 1000) - before) > 0:
            self._page.clock.run_for(milliseconds)
        shot = self._cdp.send("Page.captureScreenshot", {"format": "png", "clip": {**self._box, "scale": 1}})
        image = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
        return Grab(due, np.asarray(image))

    def _cut(self, data: str) -> NDArray[np.uint8]:
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        left, top = int(self._box["x"]), int(self._box["y"])
        return np.asarray(image)[top : top + int(self._box["height"]), left : left + int(self._box["width"])]

    def _hear(self, code: str, down: bool, milliseconds: float) -> None:
        if not self._stepped:
            self._events.append(KeyEvent(code, down, milliseconds / 1000))

    def _note_key(self, code: str, down: bool) -> None:
        if self._stepped:  # its time stands still meanwhile, so that the page cannot tell when
            self._events.append(KeyEvent(code, down, self._time))


@contextmanager
def _open_page() -> Iterator[None]:
    from playwright.sync_api import Error

    try:
        yield
    except Error as error:
        raise SourceClosed(f"the page was closed ({error.message.splitlines()[0]})") from error


def _start_playwright() -> Any:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise ImportError("Capturing a web game needs the capture extra: pip install 'worldlet[capture]'") from error
    return sync_playwright().start()


def _launch(playwright: Any, show: bool) -> Any:
    from playwright.sync_api import Error

    names = ("chromium", "chromium-browser", "google-chrome")
    installed = next(filter(None, map(shutil.which, names)), None)
    # Chromium refuses to run as root in its sandbox; the other switches keep its time true when it is not looked at.
    switches = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    switches += ["--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--mute-audio"]
    try:
        return playwright.chromium.launch(executable_path=installed, headless=not show, args=switches)
    except Error as error:
        if show and not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY") and os.name == "posix":
            raise ValueError("there is no screen to show the page on: let a player press the keys (--demo)") from error
        advice = "install one with 'playwright install chromium', or your system's package 'chromium'"
        raise ValueError(f"no browser could be started ({error.message.splitlines()[0]}): {advice}") from error
