import base64
import io

import httpx
import numpy as np
import pytest
from PIL import Image

import worldlet
from worldlet.server.limits import ServerLimits
from worldlet.server.page import static_files


def picture(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_the_seed_example_runs_as_written(served):
    requests = httpx
    base = served.url

    # Create session
    response = requests.post(f"{base}/session/create", json={"prompt": "forest with a lake"})
    session_id = response.json()["session_id"]

    # Step with action
    response = requests.post(f"{base}/session/step", json={"session_id": session_id, "action": 0})
    frame_data = response.json()["frame"]

    assert base64.b64decode(frame_data).startswith(b"\x89PNG")
    assert picture(frame_data).shape == (16, 24, 3)
    assert response.json()["session_id"] == session_id
    assert response.json()["metrics"]["frame_index"] == 1
    assert response.json()["metrics"]["fps"] > 0


def test_frames_are_those_of_the_engine_and_follow_their_action(served):
    """Time convention: the reply to action t is frame t+1, made by that action and no later one."""
    actions = [3, 3, 6, 0, 4]
    created = served.create(seed=11)
    session = served.engine.open(seed=11)
    assert np.array_equal(picture(created["frame"]), session.frame)
    for index, action in enumerate(actions):
        reply = served.post("/session/step", {"session_id": created["session_id"], "action": action}).json()
        assert np.array_equal(picture(reply["frame"]), session.step(action).frame)
        assert reply["metrics"]["frame_index"] == index + 1
        assert reply["metrics"]["action"] == action


def test_an_action_changes_the_next_frame(served):
    frames = []
    for action in (0, 7):
        id = served.create(seed=11)["session_id"]
        frames.append(served.post("/session/step", {"session_id": id, "action": action}).json()["frame"])
    assert frames[0] != frames[1]


def test_actions_may_be_named(served):
    by_name, by_number = served.create(seed=5), served.create(seed=5)
    first = served.post("/session/step", {"session_id": by_name["session_id"], "action": "right_up"}).json()
    second = served.post("/session/step", {"session_id": by_number["session_id"], "action": 7}).json()
    assert first["frame"] == second["frame"]
    assert first["metrics"]["action_name"] == "right_up"


def test_a_prompt_says_what_it_can_do(served):
    start = served.create(prompt="a frozen lake under snow")["start"]
    assert start["theme"] == "snow"
    assert "a prompt only picks the starting frame" in start["chosen"]


def test_a_seed_left_out_is_drawn_and_told(served):
    created = served.create()
    again = served.create(seed=created["start"]["seed"])
    assert again["frame"] == created["frame"]
    assert len({served.create()["start"]["seed"] for _ in range(4)}) > 1


def test_theme_is_kept(served):
    assert served.create(theme="cave")["start"]["theme"] == "cave"


def test_worlds_and_health(served):
    (world,) = httpx.get(served.url + "/worlds").json()["worlds"]
    assert world["name"] == "tiny" and world["fps"] == 30 and world["frame_size"] == [16, 24]
    assert world["action_names"][7] == "right_up"
    assert world["key_bindings"]["right_up"][0] == ["KeyD", "KeyW"]
    assert world["themes"] == ["cave", "grass", "snow"]
    assert world["starts"][1]["caption"] == "a snowy hill with a frozen lake"
    health = httpx.get(served.url + "/health").json()
    assert health["status"] == "ok" and health["version"] == worldlet.__version__


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "words"),
    [
        ("/session/step", {"session_id": "gone", "action": 0}, 404, "unknown_session", "POST /session/create"),
        ("/session/step", {"session_id": "ID", "action": 8}, 422, "bad_action", "0 to 7"),
        ("/session/step", {"session_id": "ID", "action": -1}, 422, "bad_action", "0 to 7"),
        ("/session/step", {"session_id": "ID", "action": "rihgt"}, 422, "bad_action", "right"),
        ("/session/step", {"session_id": "ID", "action": 1.5}, 422, "bad_action", "whole number"),
        ("/session/step", {"session_id": "ID", "action": True}, 422, "bad_action", "whole number"),
        ("/session/step", {"session_id": "ID"}, 422, "bad_action", "action"),
        ("/session/step", {"action": 0}, 422, "bad_fields", "'session_id' is missing"),
        ("/session/create", {"promt": "x"}, 422, "bad_fields", "'promt'"),
        ("/session/create", {"seed": "seven"}, 422, "bad_fields", "'seed'"),
        ("/session/create", {"seed": -1}, 422, "bad_fields", "'seed'"),
        ("/session/create", {"theme": "moon"}, 422, "bad_request", "cave, grass, snow"),
        ("/session/create", {"world": "doom"}, 404, "unknown_world", "tiny"),
        ("/session/create", [1, 2], 422, "bad_fields", "body"),
        ("/session/gone/close", None, 404, "unknown_session", "POST /session/create"),
        ("/nowhere", None, 404, "not_found", "/nowhere"),
    ],
)
def test_errors_say_what_to_do(served, path, body, status, code, words):
    if isinstance(body, dict) and body.get("session_id") == "ID":
        body = {**body, "session_id": served.create()["session_id"]}
    response = served.post(path, body)
    reply = response.json()
    assert (response.status_code, reply["type"], reply["code"]) == (status, "error", code), reply
    assert words in reply["message"]


def test_a_body_that_is_not_json(served):
    response = httpx.post(
        served.url + "/session/step", content=b'{"session_id": ', headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (422, "bad_json")


def test_a_long_body_is_refused(serve):
    with serve(ServerLimits(message_bytes=2000)) as small:
        response = small.post("/session/create", {"prompt": "x" * 3000})
        assert (response.status_code, response.json()["code"]) == (413, "too_large")
        assert small.post("/session/create", {"prompt": "x" * 900}).status_code == 200


@pytest.mark.parametrize("how", ["post", "delete"])
def test_closing_frees_the_session(served, how):
    id = served.create()["session_id"]
    before = httpx.get(served.url + "/health").json()["sessions"]
    close = {
        "post": lambda: served.post(f"/session/{id}/close"),
        "delete": lambda: httpx.delete(f"{served.url}/session/{id}"),
    }
    response = close[how]()
    assert response.json() == {"session_id": id, "closed": True}
    assert httpx.get(served.url + "/health").json()["sessions"] == before - 1
    assert served.post("/session/step", {"session_id": id, "action": 0}).status_code == 404


def test_a_full_server_says_so_and_takes_a_freed_place(serve):
    with serve(ServerLimits(sessions=2)) as small:
        ids = [small.create()["session_id"] for _ in range(2)]
        response = small.post("/session/create", {})
        assert (response.status_code, response.json()["code"]) == (503, "full")
        small.post(f"/session/{ids[0]}/close")
        small.create()
        assert small.post("/session/step", {"session_id": ids[1], "action": 0}).status_code == 200


def test_an_idle_session_makes_room(serve):
    with serve(ServerLimits(sessions=1, idle_seconds=0.0)) as small:
        first = small.create()["session_id"]
        second = small.create()["session_id"]
        assert small.post("/session/step", {"session_id": first, "action": 0}).status_code == 404
        assert small.post("/session/step", {"session_id": second, "action": 0}).status_code == 200


def test_the_page_and_all_it_loads_are_served(served):
    page = httpx.get(served.url + "/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    for name in static_files():
        file = httpx.get(f"{served.url}/static/{name}")
        assert file.status_code == 200 and file.content
        # Nothing comes from another host.
        assert not [line for line in file.text.splitlines() if "https://" in line or "//cdn" in line]
    assert httpx.get(served.url + "/favicon.ico").headers["content-type"] == "image/svg+xml"
    assert httpx.get(served.url + "/static/..%2fapp.py").status_code == 404
