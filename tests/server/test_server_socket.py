import asyncio
import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from starlette.websockets import WebSocketState
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from worldlet.server.connection import Connection
from worldlet.server.limits import ServerLimits
from worldlet.server.messages import ERROR_CODES, VERSION
from worldlet.server.sessions import SessionTable
from worldlet.server.stream import RealClock

PATIENCE = 20.0


def picture(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_the_seed_example_in_python(served):
    """The browser's example of the seed, word for word but for the language."""
    session_id = served.create(prompt="forest with a lake")["session_id"]
    displayed = []

    async def example():
        async with connect(f"ws://{served.address}/ws/{session_id}") as ws:
            await ws.send(json.dumps({"type": "action", "action": 0}))
            message = json.loads(await ws.recv())
            displayed.append(message["data"])

    asyncio.run(example())
    assert picture(displayed[0]).shape == (16, 24, 3)


def test_every_action_has_exactly_one_reply_and_nothing_comes_unasked(served):
    """Ten actions sent at once give ten frames in order; the answer after them is the next message."""
    with served.play(served.create()["session_id"]) as player:
        for action in range(8):
            player.send("action", action=action)
        player.send("action", action=99)
        player.send("snapshot")
        replies = [player.receive() for _ in range(10)]
    assert [reply["type"] for reply in replies] == ["frame"] * 8 + ["error", "snapshot"]
    assert [reply["metrics"]["frame_index"] for reply in replies[:8]] == list(range(1, 9))
    assert [reply["metrics"]["action"] for reply in replies[:8]] == list(range(8))


def test_time_convention(served):
    """An action changes the very next frame and none before it: two players differ in action 3 only."""
    frames = []
    for middle in (0, 7):
        with served.play(served.create(seed=3)["session_id"]) as player:
            frames.append([player.ask("action", action=action)["data"] for action in (4, 3, 3, middle, 4)])
    same = [one == other for one, other in zip(*frames, strict=True)]
    assert same[:3] == [True, True, True]
    assert same[3] is False


def test_frames_equal_the_engines(served):
    session = served.engine.open(seed=21)
    with served.play(served.create(seed=21)["session_id"]) as player:
        for action in (3, 3, 7, 0):
            assert np.array_equal(picture(player.ask("action", action=action)["data"]), session.step(action).frame)


BAD = [
    ("{", "bad_json"),
    ("", "bad_json"),
    ("null", "bad_fields"),
    ("[]", "bad_fields"),
    ('"action"', "bad_fields"),
    ("[" * 3000, "bad_json"),
    ('{"type": "action", "action": NaN}', "bad_action"),
    ("{}", "bad_fields"),
    ('{"type": 3}', "unknown_type"),
    ('{"type": "fly"}', "unknown_type"),
    ('{"type": "frame", "data": ""}', "unknown_type"),
    ('{"type": "action"}', "bad_action"),
    ('{"type": "action", "action": 8}', "bad_action"),
    ('{"type": "action", "action": -1}', "bad_action"),
    ('{"type": "action", "action": 1e400}', "bad_action"),
    ('{"type": "action", "action": 10000000000000000000000000000000}', "bad_action"),
    ('{"type": "action", "action": "fly"}', "bad_action"),
    ('{"type": "action", "action": true}', "bad_action"),
    ('{"type": "action", "action": 0, "times": 5}', "bad_fields"),
    ('{"type": "keys", "held": "KeyD"}', "bad_fields"),
    ('{"type": "keys", "held": [1]}', "bad_fields"),
    (json.dumps({"type": "keys", "held": ["KeyD"] * 17}), "bad_fields"),
    ('{"type": "ack", "sequence": -1}', "bad_fields"),
    ('{"type": "hello", "version": 99}', "wrong_version"),
    ('{"type": "stream", "fps": 0}', "bad_fields"),
    ('{"type": "stream", "fps": 999}', "bad_request"),
    ('{"type": "stream", "format": "jpeg"}', "bad_fields"),
    ('{"type": "pause"}', "bad_request"),
    ('{"type": "rewind", "frames": 0}', "bad_fields"),
    ('{"type": "restart", "theme": "moon"}', "bad_request"),
    ('{"type": "restart", "seed": -4}', "bad_fields"),
    ('{"type": "restore", "data": "%%%"}', "bad_snapshot"),
    ('{"type": "restore", "data": "AAAA"}', "bad_snapshot"),
    (b"\x00\x01\x02", "bad_json"),
    ("x" * (5 * 2**20), "too_large"),
]


def test_bad_messages_get_an_error_and_end_nothing(served):
    """One player sends every bad message there is; his session and his neighbour's go on as if nothing was."""
    culprit, neighbour = served.create(seed=1)["session_id"], served.create(seed=2)["session_id"]
    expected = served.engine.open(seed=1)
    with served.play(culprit) as bad, served.play(neighbour) as good:
        for number, (text, code) in enumerate(BAD):
            bad.socket.send(text)
            reply = bad.receive()
            assert (reply["type"], reply.get("code")) == ("error", code), (text[:60], reply)
            assert len(reply["message"]) > 10 and code in ERROR_CODES
            assert good.ask("action", action=3)["metrics"]["frame_index"] == number + 1
        assert np.array_equal(picture(bad.ask("action", action=3)["data"]), expected.step(3).frame)


def test_beyond_what_the_socket_takes_only_that_socket_ends(serve):
    with serve(ServerLimits(message_bytes=1000, socket_bytes=20_000)) as small:
        id, neighbour = small.create()["session_id"], small.create()["session_id"]
        with small.play(neighbour) as good:
            with small.play(id) as bad:
                bad.ask("action", action=1)
                assert bad.ask("restore", data="A" * 5000)["code"] == "too_large"
                bad.socket.send("x" * 50_000)
                with pytest.raises(ConnectionClosed):
                    bad.receive()
            assert good.ask("action", action=1)["type"] == "frame"
            with small.play(id) as again:
                assert again.ask("action", action=1)["metrics"]["frame_index"] == 2


def test_an_unknown_session_is_told_how_to_get_one(served):
    with served.play("gone") as player:
        reply = player.receive()
        assert (reply["type"], reply["code"]) == ("error", "unknown_session")
        assert "POST /session/create" in reply["message"]
        with pytest.raises(ConnectionClosed):
            player.receive()


def test_hello_describes_world_and_session(served):
    created = served.create(seed=4, theme="snow")
    with served.play(created["session_id"]) as player:
        player.ask("action", action=0)
        welcome = player.ask("hello", version=VERSION)
    assert welcome["type"] == "welcome" and welcome["session_id"] == created["session_id"]
    assert welcome["world"]["name"] == "tiny" and welcome["start"] == created["start"]
    assert welcome["frame_index"] == 1


def test_a_session_survives_its_socket(served):
    id = served.create()["session_id"]
    for expected in (1, 2):
        with served.play(id) as player:
            assert player.ask("action", action=0)["metrics"]["frame_index"] == expected


def test_a_second_socket_takes_over(served):
    id = served.create()["session_id"]
    with served.play(id) as first:
        first.ask("action", action=0)
        with served.play(id) as second:
            assert second.ask("action", action=0)["metrics"]["frame_index"] == 2
            assert first.receive()["code"] == "taken_over"
            with pytest.raises(ConnectionClosed):
                first.receive()
            assert second.ask("action", action=0)["metrics"]["frame_index"] == 3


def test_closing_a_session_ends_its_socket_and_stream(served):
    id = served.create()["session_id"]
    with served.play(id) as player:
        player.ask("stream", fps=100, format="rgb")
        player.frame_of_stream()
        served.post(f"/session/{id}/close")
        with pytest.raises(ConnectionClosed):
            while (message := player.receive())["type"] == "binary":
                pass
            assert message["code"] == "unknown_session"
            player.receive()


def test_snapshot_restore_fork_rewind_and_restart(served):
    with served.play(served.create(seed=9)["session_id"]) as player:
        first = [player.ask("action", action=action)["data"] for action in (3, 7)]
        saved = player.ask("snapshot")
        assert saved["size"] == len(base64.b64decode(saved["data"])) and saved["frame_index"] == 2
        forked = player.ask("fork")
        later = [player.ask("action", action=action)["data"] for action in (0, 1, 2)]

        restored = player.ask("restore", data=saved["data"])
        assert (restored["data"], restored["metrics"]["frame_index"]) == (first[1], 2)
        assert [player.ask("action", action=action)["data"] for action in (0, 1, 2)] == later

        back = player.ask("rewind", frames=2)
        assert (back["data"], back["metrics"]["frame_index"]) == (later[0], 3)
        assert player.ask("rewind", frames=1000)["metrics"]["rewindable"] == 0

        with served.play(forked["session_id"]) as twin:
            assert [twin.ask("action", action=action)["data"] for action in (0, 1, 2)] == later

        again = player.ask("restart", seed=9)
        assert again["type"] == "started" and again["start"]["seed"] == 9
        assert [player.ask("action", action=action)["data"] for action in (3, 7)] == first
        assert player.ask("restart", theme="cave")["start"]["theme"] == "cave"
        assert "prompt only picks" in player.ask("restart", prompt="snow")["start"]["chosen"]


def test_a_snapshot_of_another_world_is_refused(served, tmp_path):
    from tiny_world import build_tiny_world

    import worldlet

    other = worldlet.load(build_tiny_world(tmp_path, weight_seed=1)).open(seed=0).snapshot()
    with served.play(served.create()["session_id"]) as player:
        reply = player.ask("restore", data=base64.b64encode(other).decode())
        assert reply["code"] == "bad_snapshot"
        assert player.ask("action", action=0)["metrics"]["frame_index"] == 1


def test_the_stream_sends_frames_only_while_it_is_on(served):
    with served.play(served.create()["session_id"]) as player:
        state = player.ask("stream", fps=100, format="rgb")
        assert state == {
            "type": "state", "streaming": True, "paused": False, "fps": 100.0, "format": "rgb", "window": None,
        }  # fmt: skip
        frames = [player.frame_of_stream() for _ in range(3)]
        assert [frame["sequence"] for frame in frames] == [1, 2, 3]
        assert all((frame["width"], frame["height"]) == (24, 16) for frame in frames)
        assert all(len(frame["picture"]) == 24 * 16 * 3 and frame["format"] == 1 for frame in frames)
        assert player.ask("stream", on=False)["streaming"] is False
        player.send("snapshot")
        player.send("snapshot")
        assert [player.receive()["type"] for _ in range(2)] == ["snapshot", "snapshot"]


def test_stream_frames_are_the_engines_frames(served):
    session = served.engine.open(seed=6)
    with served.play(served.create(seed=6)["session_id"]) as player:
        player.send("keys", held=["KeyD"], stamp=1)
        player.ask("stream", fps=50, format="rgb")
        seen = {}
        while len(seen) < 4:
            frame = player.frame_of_stream()
            seen[frame["frame_index"]] = frame
        for index in range(1, max(seen) + 1):
            expected = session.step("right").frame
            if index in seen:
                assert seen[index]["picture"] == expected.tobytes()
                assert (seen[index]["action"], seen[index]["stamp"]) == (3, 1)


def test_no_frame_of_a_stream_overtakes_the_answer_that_announces_it(tiny_engine):
    """However long the answer takes: were the first frame sent before it, a client would count that one wrong."""

    class SlowSocket:
        client_state = application_state = WebSocketState.CONNECTED

        def __init__(self):
            self.asked = [{"type": "websocket.receive", "text": '{"type": "stream", "fps": 100, "format": "rgb"}'}]
            self.sent = []

        async def receive(self):
            if self.asked:
                return self.asked.pop()
            while len(self.sent) < 3:
                await asyncio.sleep(0.001)
            return {"type": "websocket.disconnect"}

        async def send(self, event):
            self.sent.append("frame" if "bytes" in event else json.loads(event["text"])["type"])

    class SlowAnswers(Connection):
        async def _send(self, message):
            await asyncio.sleep(0.05)  # five frames' time
            await super()._send(message)

    async def run():
        table = SessionTable({"tiny": tiny_engine}, ServerLimits())
        player = await table.create(None, None, 0, None)
        socket = SlowSocket()
        await asyncio.wait_for(SlowAnswers(socket, player, table, RealClock()).serve(), PATIENCE)
        await table.shut_down()
        return socket.sent

    assert asyncio.run(run())[:3] == ["state", "frame", "frame"]


def test_png_stream(served):
    with served.play(served.create()["session_id"]) as player:
        player.ask("stream", fps=100, format="png")
        frame = player.frame_of_stream()
    assert frame["format"] == 0
    assert Image.open(io.BytesIO(frame["picture"])).size == (24, 16)


def test_old_inputs_are_not_queued(served):
    """Keys pressed and let go before a frame was due leave nothing behind: only the latest state matters."""
    with served.play(served.create()["session_id"]) as player:
        player.ask("stream", fps=100, format="rgb")
        player.ask("pause")
        for stamp in range(1, 40):
            player.send("keys", held=["KeyD"] if stamp % 2 else ["KeyA", "KeyW"], stamp=stamp)
        player.send("keys", held=[], stamp=40)
        assert player.ask("pause", paused=False)["paused"] is False
        # A frame made before the pause may still be on its way; it obeys no keys.
        frames = [player.frame_of_stream() for _ in range(5)]
    assert {frame["action"] for frame in frames} == {4}
    assert frames[-1]["stamp"] == 40


def test_held_keys_steer_every_following_frame_until_they_change(served):
    with served.play(served.create()["session_id"]) as player:
        player.ask("stream", fps=100, format="rgb")
        for stamp, (held, action) in enumerate([(["KeyD"], 3), (["KeyD", "KeyW"], 7), ([], 4)], start=1):
            player.send("keys", held=held, stamp=stamp)
            while (frame := player.frame_of_stream())["stamp"] < stamp:
                pass
            assert frame["action"] == action
            assert player.frame_of_stream()["action"] == action


def test_single_steps_while_paused_use_the_held_keys(served):
    session = served.engine.open(seed=8)
    with served.play(served.create(seed=8)["session_id"]) as player:
        player.ask("stream", fps=1)  # the first frame is a second away: the pause comes before it
        assert player.ask("pause")["paused"] is True
        player.send("keys", held=["ArrowRight", "ArrowUp"], stamp=1)
        reply = player.ask("step_once")
        assert reply["metrics"]["action_name"] == "right_up"
        assert np.array_equal(picture(reply["data"]), session.step("right_up").frame)
        assert player.ask("step_once", action="left")["metrics"]["action"] == 2


def test_a_client_that_acknowledges_nothing_is_sent_one_window(served):
    with served.play(served.create()["session_id"]) as player:
        player.ask("stream", fps=100, format="rgb", window=3)
        first = [player.receive() for _ in range(3)]
        while player.ask("snapshot")["frame_index"] < 15:  # meanwhile the world goes on
            pass
        player.send("ack", sequence=1)
        fourth = player.receive()
    assert [frame["sequence"] for frame in first] == [1, 2, 3]
    assert fourth["sequence"] == 4 and fourth["frame_index"] > 10


def test_a_client_that_floods_is_answered_no_faster_than_the_limit(tiny_engine):
    """All is answered, in order; beyond the burst the server reads on only as time goes by."""

    class FloodingSocket:
        client_state = application_state = WebSocketState.CONNECTED

        def __init__(self):
            self.asked = 6
            self.times = []

        async def receive(self):
            self.asked -= 1
            if self.asked < 0:
                return {"type": "websocket.disconnect"}
            return {"type": "websocket.receive", "text": '{"type": "snapshot"}'}

        async def send(self, event):
            self.times.append(clock.now())

    class StoppedClock:
        time = 100.0

        def now(self):
            return self.time

        async def sleep(self, seconds):
            self.time += seconds

    clock = StoppedClock()

    async def run():
        table = SessionTable({"tiny": tiny_engine}, ServerLimits(messages_per_second=2, message_burst=3))
        player = await table.create(None, None, 0, None)
        socket = FloodingSocket()
        await asyncio.wait_for(Connection(socket, player, table, clock).serve(), PATIENCE)
        await table.shut_down()
        return socket.times

    assert asyncio.run(run()) == [100.0, 100.0, 100.0, 100.5, 101.0, 101.5]


class DeafSocket:
    """A client that is connected and reads nothing: whatever is sent to it never gets through."""

    client_state = application_state = WebSocketState.CONNECTED

    async def receive(self):
        await asyncio.Event().wait()

    async def send(self, event):
        await asyncio.Event().wait()


def test_a_client_that_reads_nothing_cannot_hold_its_place(tiny_engine):
    """Closing the session ends the connection although the farewell never arrives."""

    async def run():
        table = SessionTable({"tiny": tiny_engine}, ServerLimits(farewell_seconds=0.01))
        player = await table.create(None, None, 0, None)
        serving = asyncio.create_task(Connection(DeafSocket(), player, table, RealClock()).serve())
        await asyncio.sleep(0)
        assert player.owner is not None
        await table.close(player.id)
        await asyncio.wait_for(serving, PATIENCE)
        assert player.owner is None and len(table) == 0
        await table.shut_down()

    asyncio.run(run())


def test_a_world_that_fails_ends_one_stream_and_says_so(served, monkeypatch, caplog):
    """The socket, the session and every other player stay."""
    culprit, neighbour = served.create()["session_id"], served.create()["session_id"]
    session = served.table.get(culprit).session
    with served.play(culprit) as bad, served.play(neighbour) as good:
        monkeypatch.setattr(session, "step", lambda action: 1 / 0)
        assert bad.ask("stream", fps=100)["streaming"] is True
        reply = bad.receive()
        assert (reply["code"], "ZeroDivisionError" in reply["message"]) == ("internal", False)
        assert "ZeroDivisionError" in caplog.text
        monkeypatch.undo()
        assert bad.ask("action", action=0)["metrics"]["frame_index"] == 1
        assert good.ask("action", action=0)["metrics"]["frame_index"] == 1


def test_no_older_frame_follows_a_jump(served):
    """A frame that waits for room when the player restarts is thrown away, not shown after the restart."""
    with served.play(served.create()["session_id"]) as player:
        player.ask("stream", fps=100, format="rgb", window=1)
        first = player.receive()
        while player.ask("snapshot")["frame_index"] < 10:
            pass
        player.ask("pause")
        assert player.ask("restart", seed=1)["metrics"]["frame_index"] == 0
        player.send("ack", sequence=first["sequence"])
        player.ask("pause", paused=False)
        assert player.receive()["frame_index"] == 1
