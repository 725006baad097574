"""A desktop window under X11: pictures of its place on the screen by mss, keys by the X server's own record of them.

Keys count, and pictures are taken, only while the window has the keyboard: what is typed elsewhere is nobody's
business, and another window may cover the game then.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.data.capture.source import Grab, KeyEvent, SourceClosed

_NO_FOCUS, _POINTER_ROOT = 0, 1
_NAMES = {
    **{"Left": "ArrowLeft", "Right": "ArrowRight", "Up": "ArrowUp", "Down": "ArrowDown"},
    **{"space": "Space", "Return": "Enter", "Escape": "Escape", "Tab": "Tab", "BackSpace": "Backspace"},
    **{"Shift_L": "ShiftLeft", "Shift_R": "ShiftRight", "Control_L": "ControlLeft", "Control_R": "ControlRight"},
    **{"Alt_L": "AltLeft", "Alt_R": "AltRight", "Delete": "Delete", "Insert": "Insert", "Home": "Home", "End": "End"},
    **{"Page_Up": "PageUp", "Page_Down": "PageDown", "minus": "Minus", "equal": "Equal", "comma": "Comma"},
    **{"period": "Period", "slash": "Slash", "semicolon": "Semicolon", "apostrophe": "Quote", "grave": "Backquote"},
    **{"bracketleft": "BracketLeft", "bracketright": "BracketRight", "backslash": "Backslash"},
    **{f"F{number}": f"F{number}" for number in range(1, 13)},
    **{f"{number}": f"Digit{number}" for number in range(10)},
    **{letter: f"Key{letter.upper()}" for letter in "abcdefghijklmnopqrstuvwxyz"},
}
"""DOM codes of X11 key names; letters go by what stands on the key."""
_KEYSYMS = {code: name for name, code in _NAMES.items()}


class WindowSource:
    """The first window whose title or class contains ``title``, whatever the case.

    With ``focus`` it is given the keyboard, so that injected keys reach it. Raises ValueError where there is no X11
    screen or no such window, and names those there are; ImportError where the extra is not installed.
    """

    def __init__(self, title: str, focus: bool) -> None:
        self.late = 0
        self.latency: float | None = None
        self._xlib, mss = _require()
        self._display = _open_display(self._xlib)
        self._held: dict[str, int] = {}  # key codes of the keys that we hold down
        self._active = False
        self._listener: _Listener | None = None
        self._screen: Any = None
        try:
            self._window = self._find(title)
            self.title = _title(self._window) or title
            self._listener = _Listener(self._xlib, self._display)
            self._screen, self._screen_error = mss.MSS(), mss.ScreenShotError
            if focus:
                self._window.configure(stack_mode=self._xlib.X.Above)
                self._window.set_input_focus(self._xlib.X.RevertToParent, self._xlib.X.CurrentTime)
                self._display.sync()
        except BaseException:
            self.close()
            raise

    def now(self) -> float:
        """Return the seconds of a clock that nobody sets."""
        return time.monotonic()

    def grab(self, due: float) -> Grab | None:
        """Wait until ``due`` and copy the window's part of the screen, or None while it has no keyboard.

        Raises SourceClosed where the window is gone.
        """
        time.sleep(max(0.0, due - time.monotonic()))
        with self._open_window():
            area = self._area()  # asked first: a window that is gone has no keyboard either
            active = self._has_keyboard()
        assert self._listener is not None
        if not active and self._active:
            self._listener.release(time.monotonic())
        self._active = active
        if area is None or not active:
            return None
        before = time.monotonic()
        try:
            shot = self._screen.grab(area)
        except self._screen_error as error:
            raise SourceClosed(f"the screen of {self.title!r} was closed") from error
        taken = (before + time.monotonic()) / 2
        pixels: NDArray[np.uint8] = np.frombuffer(shot.bgra, np.uint8).reshape(shot.height, shot.width, 4)
        return Grab(taken, np.ascontiguousarray(pixels[:, :, 2::-1]))

    def events(self) -> list[KeyEvent]:
        """Return the key events since the last call; none of what was typed while another window had the keyboard."""
        assert self._listener is not None
        events = self._listener.take()
        return events if self._active else [event for event in events if not event.down]

    def hold(self, codes: Collection[str]) -> None:
        """Press and release keys until exactly these are held, as a keyboard would."""
        from Xlib.ext import xtest

        # Looked up before any is touched: an unknown key must not leave others half-way.
        wanted = {code: self._keycode(code) for code in sorted(set(codes))}
        with self._open_window():
            for code in sorted(self._held.keys() - wanted.keys()):
                xtest.fake_input(self._display, self._xlib.X.KeyRelease, self._held.pop(code))
            for code in sorted(wanted.keys() - self._held.keys()):
                self._held[code] = wanted[code]
                xtest.fake_input(self._display, self._xlib.X.KeyPress, wanted[code])
            self._display.sync()

    def close(self) -> None:
        """Release what is held and close the connections."""
        try:
            with contextlib.suppress(Exception):  # the X server may be gone, and then nothing is held
                if self._held:
                    self.hold(())
            if self._listener:
                self._listener.close()
            with contextlib.suppress(Exception):  # a screen that cannot be closed has nothing more to give
                if self._screen:
                    self._screen.close()
        finally:
            _hang_up(self._display)

    def _find(self, title: str) -> Any:
        windows = list(_windows(self._xlib, self._display.screen().root))
        wanted = title.lower()
        for window, words in windows:
            if wanted in words.lower():
                return window
        names = sorted({words for _, words in windows})
        there = f"the windows are {', '.join(names)}" if names else "there are no windows on this screen"
        raise ValueError(f"no window has {title!r} in its title: {there}")

    def _has_keyboard(self) -> bool:
        """Tell whether keys reach the window: it or a part of it has the focus, or the focus follows the pointer."""
        focus = self._display.get_input_focus().focus
        if focus == _POINTER_ROOT:
            return True
        with contextlib.suppress(self._xlib.error.BadWindow):  # whatever had the focus may just have been closed
            while focus not in (_NO_FOCUS, None) and not isinstance(focus, int):
                if focus.id == self._window.id:
                    return True
                focus = focus.query_tree().parent
        return False

    def _area(self) -> dict[str, int] | None:
        """Return the part of the window that is on the screen, or None where it is hidden."""
        if self._window.get_attributes().map_state != self._xlib.X.IsViewable:
            return None
        size = self._window.get_geometry()
        corner = self._window.translate_coords(self._display.screen().root, 0, 0)
        # The root sees the window's corner at the negative of where the window sees the root's.
        left, top = -corner.x, -corner.y
        screen = self._display.screen()
        right, bottom = (
            min(left + size.width, screen.width_in_pixels),
            min(top + size.height, screen.height_in_pixels),
        )
        left, top = max(0, left), max(0, top)
        if right - left < 8 or bottom - top < 8:
            return None
        return {"left": left, "top": top, "width": right - left, "height": bottom - top}

    def _keycode(self, code: str) -> int:
        keysym = self._xlib.XK.string_to_keysym(_KEYSYMS.get(code, code))
        keycode = self._display.keysym_to_keycode(keysym) if keysym else 0
        if not keycode:
            raise ValueError(f"this keyboard has no key {code!r}: choose another in --keys")
        return int(keycode)

    @contextmanager
    def _open_window(self) -> Iterator[None]:
        error = self._xlib.error
        try:
            yield
        except (error.BadWindow, error.BadDrawable, error.BadMatch, error.ConnectionClosedError) as gone:
            raise SourceClosed(f"the window {self.title!r} was closed") from gone


class _Listener:
    """Hears every key of the X server in a thread of its own; the times are the server's, brought to our clock."""

    def __init__(self, xlib: Any, display: Any) -> None:
        from Xlib.ext import record

        self._xlib, self._display = xlib, display
        self._codes = {xlib.XK.string_to_keysym(name): code for name, code in _NAMES.items()}
        self._lock = threading.Lock()
        self._heard: list[tuple[str, bool, float]] = []
        self._offset = np.inf  # of our clock to the server's: the least delay that was ever seen
        self._connection = _open_display(xlib)
        if not self._connection.has_extension("RECORD"):
            raise ValueError("this X server does not tell of keys (it lacks the RECORD extension)")
        keys = {"device_events": (xlib.X.KeyPress, xlib.X.KeyRelease)}
        nothing: dict[str, Any] = {name: (0, 0) for name in ("core_requests", "core_replies", "delivered_events")}
        nothing |= {"ext_requests": (0, 0, 0, 0), "ext_replies": (0, 0, 0, 0), "errors": (0, 0)}
        ranges = [{**nothing, **keys, "client_started": False, "client_died": False}]
        self._context = self._connection.record_create_context(0, [record.AllClients], ranges)
        self._connection.sync()  # the other connection, which ends it, must find it there
        self._thread = threading.Thread(target=self._listen, name="keys", daemon=True)
        self._thread.start()

    def take(self) -> list[KeyEvent]:
        """Return what was heard since the last call."""
        with self._lock:
            heard, self._heard = self._heard, []
        return [KeyEvent(code, down, time) for code, down, time in heard]

    def release(self, now: float) -> None:
        """Note that every key is released, as far as the window is told."""
        with self._lock:
            self._heard.append(("", False, now))

    def close(self) -> None:
        """Stop listening."""
        end = time.monotonic() + 5
        while self._thread.is_alive() and time.monotonic() < end:  # it may not have begun to listen yet
            with contextlib.suppress(Exception):  # the X server may be gone, and then the thread ends by itself
                self._display.record_disable_context(self._context)
                self._display.sync()
            self._thread.join(0.2)

    def _listen(self) -> None:
        try:
            with contextlib.suppress(self._xlib.error.ConnectionClosedError):
                self._connection.record_enable_context(self._context, self._hear)
                self._connection.record_free_context(self._context)
        finally:
            _hang_up(self._connection)

    def _hear(self, reply: Any) -> None:
        from Xlib.protocol import rq

        now, data = time.monotonic(), reply.data
        if reply.category != 0 or reply.client_swapped:  # only what the server itself sends
            return
        while data:
            event, data = rq.EventField(None).parse_binary_value(data, self._connection.display, None, None)
            if event.type not in (self._xlib.X.KeyPress, self._xlib.X.KeyRelease):
                continue
            self._offset = min(self._offset, now - event.time / 1000)
            code = self._codes.get(self._connection.keycode_to_keysym(event.detail, 0))
            if code:
                down = event.type == self._xlib.X.KeyPress
                with self._lock:
                    self._heard.append((code, down, event.time / 1000 + self._offset))


def _windows(xlib: Any, parent: Any) -> Iterator[tuple[Any, str]]:
    """Yield every window that can be seen and has a title or class, with its words, parents before their parts."""
    for window in parent.query_tree().children:
        with contextlib.suppress(xlib.error.BadWindow):
            if window.get_attributes().map_state == xlib.X.IsViewable:
                words = [_title(window), *(window.get_wm_class() or ())]
                if any(words):
                    yield window, " ".join(filter(None, words))
                yield from _windows(xlib, window)


def _title(window: Any) -> str:
    name = window.get_wm_name()
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""


def _hang_up(display: Any) -> None:
    """Close a connection, and its socket even where the server is gone."""
    with contextlib.suppress(Exception):
        display.close()
    display.display.socket.close()


def _open_display(xlib: Any) -> Any:
    try:
        return xlib.display.Display()
    except (xlib.error.DisplayError, OSError) as error:
        wayland = "; under Wayland, run the game and the recorder under Xwayland or Xvfb"
        more = wayland if os.environ.get("WAYLAND_DISPLAY") else ""
        raise ValueError(
            f"windows are captured from an X11 screen, and DISPLAY leads to none ({error}){more}"
        ) from error


def _require() -> tuple[Any, Any]:
    """Return python-xlib and mss; ImportError that names the extra where one is not installed."""
    try:
        import mss
        import Xlib
        import Xlib.display
        import Xlib.error
        import Xlib.X
        import Xlib.XK
    except ImportError as error:
        raise ImportError("Capturing a window needs the capture extra: pip install 'worldlet[capture]'") from error
    return Xlib, mss
