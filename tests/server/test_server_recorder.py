"""A person records in the page: nothing unasked, every frame as it was shown, saved whenever the page goes."""

import contextlib
import json
import shutil
import threading
import time
from concurrent.futures import CancelledError

import gymnasium
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient

from tests.data.fake_games import FakeGame
from worldlet.data.record import RecordConfig
from worldlet.data.shards import read_episodes, read_manifest
from worldlet.server.launch import listen
from worldlet.server.messages import FRAME_HEADER, HEADER
from worldlet.server.recorder import create_recorder

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """A client's end of the recorder's socket."""

    def __init__(self, socket):
        self.socket = socket
        self.game = self.text()

    def text(self):
        """Return the next JSON message, passing over frames."""
        while isinstance(message := self.receive(), tuple):
            pass
        return message

    def receive(self):
        event = self.socket.receive()
        if event.get("text") is not None:
            return json.loads(event["text"])
        assert event.get("bytes") is not None, event
        names = (name for name, _ in FRAME_HEADER)
        header = dict(zip(names, HEADER.unpack_from(event["bytes"]), strict=True))
        pixels = np.frombuffer(event["bytes"], np.uint8, offset=HEADER.size)
        self.send("ack", sequence=header["sequence"])
        return header, pixels.reshape(header["height"], header["width"], 3)

    def send(self, type, **fields):
        self.socket.send_text(json.dumps({"type": type, **fields}))

    def ask(self, type, **fields):
        """Send a message and return the status that answers it, passing over those of the play."""
        self.send(type, **fields)
        while True:
            reply = self.text()
            if reply["type"] == "error" or type != "pause" or reply["paused"] == fields["paused"]:
                return reply

    def frames(self, count):
        """Return so many frames of the play."""
        shown = []
        while len(shown) < count:
            if isinstance(message := self.receive(), tuple):
                shown.append(message)
        return shown


def config(folder, **changes):
    settings = {"env": "tests.data.fake_games:Fake-v0", "agent": "human", "frames": 100, "episode_steps": 10}
    return RecordConfig(out=str(folder), **{**settings, **changes})


@contextlib.contextmanager
def recorder(folder, **changes):
    """A recorder over the fake game, and what was called when its player had done."""
    ended = []
    app = create_recorder(config(folder, **changes), lambda: ended.append(True))
    with TestClient(app) as client:
        yield client, ended
    app.state.desk.close()


@contextlib.contextmanager
def connected(client):
    # The test client cancels what the server still has under way when its socket is closed, and raises that here.
    with contextlib.suppress(CancelledError), client.websocket_connect("/record") as socket:
        yield Page(socket)


def test_nothing_is_recorded_before_the_player_begins(tmp_path):
    with recorder(tmp_path / "data") as (client, _), connected(client) as page:
        assert page.game["type"] == "game" and page.game["status"]["paused"]
        assert page.game["action_names"] == ["left", "right", "jump"]
        assert page.game["key_bindings"]["left"] == [["KeyA"]] and page.game["frame_size"] == [16, 24]
        page.send("keys", held=["KeyA"], stamp=1)
        status = page.ask("pause", paused=True)
        assert (status["frames"], status["pending"]) == (0, 0)
    assert read_manifest(tmp_path / "data")["shards"] == []


def test_frames_obey_the_held_keys_and_are_recorded_as_shown(tmp_path):
    with recorder(tmp_path / "data") as (client, ended), connected(client) as page:
        page.send("keys", held=["KeyA"], stamp=7)
        page.ask("pause", paused=False)
        shown = page.frames(12)
        assert page.ask("pause", paused=True)["frames"] == 11
        done = page.ask("finish")
        assert done["finished"] and ended == [True]
    assert all(header["stamp"] == 7 and header["action"] == 0 for header, _ in shown)
    played = list(read_episodes(tmp_path / "data", "train"))
    frames = [played[0].frames_THWC[0], *(frame for piece in played for frame in piece.frames_THWC[1:])]
    for header, picture in shown:
        np.testing.assert_array_equal(picture, frames[header["frame_index"]])
    assert done["frames"] == sum(len(piece.frames_THWC) for piece in played)
    assert read_manifest(tmp_path / "data")["complete"]


def test_a_page_that_goes_saves_and_another_one_goes_on(tmp_path):
    with recorder(tmp_path / "data") as (client, _):
        with connected(client) as page:
            page.ask("pause", paused=False)
            page.frames(3)
        with connected(client) as page:
            status = page.game["status"]
            assert status["paused"] and status["pieces"] == 1 and status["frames"] >= 4
            page.ask("pause", paused=False)
            (header, _), *_ = page.frames(1)
            assert header["frame_index"] == status["frames"]  # the level goes on where it was left
    assert len(list(read_episodes(tmp_path / "data", "train"))) == 2


def test_new_level_keeps_and_discard_throws_away(tmp_path):
    with recorder(tmp_path / "data") as (client, _), connected(client) as page:
        page.ask("pause", paused=False)
        page.frames(3)
        page.ask("pause", paused=True)
        kept = page.ask("new_level")
        assert kept["pieces"] == 1 and kept["split"] == "val"
        assert page.frames(1)[0][0]["frame_index"] == 0  # the new level is shown though the game stands still
        page.ask("pause", paused=False)
        page.frames(3)
        page.ask("pause", paused=True)
        gone = page.ask("discard")
        assert gone["pieces"] == 1 and "thrown away" in gone["note"]
    assert read_manifest(tmp_path / "data")["splits"]["val"]["episodes"] == 0


def test_nonsense_is_answered_and_ends_nothing(tmp_path):
    with recorder(tmp_path / "data") as (client, _), connected(client) as page:
        for text in ("{", '{"type": "fly"}', '{"type": "pause", "paused": "yes"}'):
            page.socket.send_text(text)
            assert page.text()["type"] == "error"
        page.ask("pause", paused=False)
        assert len(page.frames(2)) == 2


def test_a_game_that_crashes_says_so_and_stands_still(tmp_path, monkeypatch):
    with recorder(tmp_path / "data") as (client, _), connected(client) as page:
        page.ask("pause", paused=False)
        page.frames(2)

        def crash(self, action):
            raise ValueError("the game process ended: start the recording again")

        monkeypatch.setattr(FakeGame, "step", crash)
        while (reply := page.text())["type"] != "error":
            pass
        assert "game process ended" in reply["message"]
        assert page.text()["paused"]
    assert len(list(read_episodes(tmp_path / "data", "train"))) == 1


def test_the_newest_window_plays(tmp_path):
    with recorder(tmp_path / "data") as (client, _), connected(client) as first, connected(client) as second:
        assert first.text()["code"] == "taken_over"
        second.ask("pause", paused=False)
        second.frames(2)


def test_the_page_and_its_files_are_served(tmp_path):
    with recorder(tmp_path / "data") as (client, _):
        page = client.get("/")
        assert page.status_code == 200 and "record.js" in page.text
        for name in ("record.js", "record.css", "page.js", "style.css"):
            assert client.get(f"/static/{name}").status_code == 200
        assert client.get("/static/none.js").status_code == 404


class OneThreadGame(FakeGame):
    """Like a game with an OpenGL context: only the thread that made it may call it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.thread = threading.get_ident()

    def reset(self, **options):
        assert threading.get_ident() == self.thread, "reset from another thread"
        return super().reset(**options)

    def step(self, action):
        assert threading.get_ident() == self.thread, "stepped from another thread"
        return super().step(action)

    def close(self):
        assert threading.get_ident() == self.thread, "closed from another thread"
        super().close()


gymnasium.register("OneThread-v0", entry_point=OneThreadGame)


def test_the_game_is_opened_played_and_closed_in_one_thread(tmp_path):
    with recorder(tmp_path / "data", env="OneThread-v0") as (client, _), connected(client) as page:
        page.ask("pause", paused=False)
        heard = [page.receive() for _ in range(3)]
        assert not [message for message in heard if not isinstance(message, tuple) and message["type"] == "error"]
        assert page.ask("discard")["type"] == "status"


def test_a_game_that_cannot_be_opened_is_said_and_leaves_the_folder_free(tmp_path):
    with pytest.raises(ValueError, match="cannot be made"):
        create_recorder(config(tmp_path / "data", env="Nowhere-v0"))
    create_recorder(config(tmp_path / "data")).state.desk.close()


@pytest.mark.skipif(CHROMIUM is None, reason="the browser test needs Chromium: apt-get install chromium")
def test_a_person_records_in_a_real_browser(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser test needs playwright")
    ended = threading.Event()
    app = create_recorder(config(tmp_path / "data"), ended.set)
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with sync_api.sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1000, "height": 700})
                errors = []
                page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
                page.on("pageerror", lambda error: errors.append(str(error)))
                page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/")
                until(page, "document.body.dataset.state === 'ready'")
                assert page.text_content("#overlay") == "Press a key of the game to begin"
                page.keyboard.down("a")
                until(page, "document.body.dataset.recording === 'true'")
                until(page, "document.querySelector('#actions .sent')?.dataset.action === 'left'")
                until(page, "Number(document.getElementById('canvas').dataset.frame) >= 12")
                assert page.text_content("#lamp") == "Recording"
                page.keyboard.up("a")
                page.keyboard.press("p")
                until(page, "document.body.dataset.recording === 'false'")
                page.click("#finish")
                until(page, "document.getElementById('overlay').textContent === 'Saved'")
                assert ended.wait(20) and errors == []
                browser.close()
        finally:
            server.should_exit = True
            thread.join(20)
    done = app.state.desk.close()
    assert done.frames >= 13 and read_manifest(tmp_path / "data")["complete"]
    actions = np.concatenate([piece.actions_T for piece in read_episodes(tmp_path / "data", "train")])
    assert set(actions.tolist()) == {0}  # the fake game has no noop, so its first action is rest as well


def until(page, condition):
    """Wait until a JavaScript condition holds."""
    end = time.monotonic() + 60
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never true: {condition}; page: {page.evaluate('document.body.innerText')}"
        page.wait_for_timeout(20)
