"""A dream beside its real game, over REST and the socket: a tiny game and the tiny world, both played again apart."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tiny_game import TinyGame
from websockets.sync.client import connect

from tests.server.conftest import PATIENCE, Player, Served, serving
from worldlet.engine.beside import HELD_OUT_SEEDS, Beside
from worldlet.server.beside import BesideTable
from worldlet.server.launch import open_beside
from worldlet.server.limits import ServerLimits
from worldlet.server.messages import PAIR, PAIR_EVENTS, PAIR_HEADER, VERSION

H, W = 16, 24
THEMES = ("snow", "lava")


class FragileGame(TinyGame):
    """Fails at action 6, as a game does whose process has died."""

    def step(self, action: int) -> Any:
        if action == 6:
            raise ValueError("the game has crashed: restart it")
        return super().step(action)


class Both:
    """A server of pairs, and all real games that it opened."""

    def __init__(self, served: Served, games: list[TinyGame]) -> None:
        self.served = served
        self.games = games
        self.opened: list[str] = []

    def create(self, **wishes: Any) -> dict[str, Any]:
        reply = self.post("/session/create", wishes)
        assert reply.status_code == 200, reply.text
        self.opened.append(reply.json()["session_id"])
        return reply.json()

    def close_all(self) -> None:
        while self.opened:
            self.post(f"/session/{self.opened.pop()}/close")

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return httpx.post(f"{self.served.url}/beside{path}", json=body, timeout=PATIENCE)

    def play(self, session_id: str) -> Any:
        return connect(f"ws://{self.served.address}/beside/ws/{session_id}", max_size=None, open_timeout=PATIENCE)

    def apart(self, seed: int) -> Beside:
        """The same pair, played by hand."""
        both = Beside(self.served.engine, lambda theme: TinyGame(themes=THEMES))
        both.restart(seed)
        return both


@pytest.fixture
def both(running):
    yield running
    running.close_all()


@pytest.fixture(scope="module")
def running(tiny_engine):
    games: list[TinyGame] = []

    def open_game(theme: str | None) -> TinyGame:
        games.append(FragileGame(themes=THEMES, theme=theme))
        return games[-1]

    table = BesideTable({"tiny": tiny_engine}, ServerLimits(), open_game)
    with serving(tiny_engine, ServerLimits(), beside=table) as served:
        yield Both(served, games)
    assert games and all(game.closed for game in games)  # none outlives the server


def picture(data: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def pair_of_stream(player: Player) -> dict[str, Any]:
    data = player.socket.recv(timeout=PATIENCE)
    assert isinstance(data, bytes), data
    fields = dict(zip((name for name, _ in PAIR_HEADER), PAIR.unpack_from(data), strict=True))
    player.send("ack", sequence=fields["sequence"])
    return {**fields, "picture": np.frombuffer(data[PAIR.size :], np.uint8).reshape(2 * H, W, 3)}


def test_rest_steps_both_with_the_same_action(both):
    created = both.create(seed=7)
    apart = both.apart(7)
    look = apart.look()
    assert np.array_equal(picture(created["frame"]), np.concatenate([look.real, look.dream]))
    assert created["start"]["level_seed"] == created["start"]["seed"] == 7
    for action in (3, 0, 7):
        reply = both.post("/session/step", {"session_id": created["session_id"], "action": action}).json()
        pair = apart.step(action)
        assert np.array_equal(picture(reply["frame"]), np.concatenate([pair.real, pair.dream]))
        assert reply["metrics"]["psnr_db"] == round(pair.psnr_db, 3)
        assert reply["metrics"]["frame_index"] == reply["metrics"]["age"] == pair.index
    assert "hero_pixels" not in reply["metrics"] and "hero_lost" not in reply["metrics"]


def test_the_stream_carries_pairs_that_obey_the_held_keys(both):
    created = both.create(seed=3)
    with both.play(created["session_id"]) as socket:
        player = Player(socket)
        welcome = player.ask("hello", version=VERSION)
        assert welcome["world"]["themes"] == list(THEMES)  # those of the game, not of the world's starts
        player.send("keys", held=["KeyD"], stamp=5)
        assert player.ask("stream", fps=100, format="rgb", window=4)["streaming"]
        pairs = [pair_of_stream(player) for _ in range(12)]
    apart = both.apart(3)
    expected = {0: apart.look()} | {index: apart.step("right") for index in range(1, pairs[-1]["frame_index"] + 1)}
    assert [pair["sequence"] for pair in pairs] == list(range(1, 13))
    for pair in pairs:
        assert pair["stamp"] == 5 and pair["action"] == 3
        assert (pair["height"], pair["width"]) == (2 * H, W)
        wanted = expected[pair["frame_index"]]
        assert np.array_equal(pair["picture"], np.concatenate([wanted.real, wanted.dream]))
        assert pair["psnr_db"] == pytest.approx(wanted.psnr_db, abs=1e-3)
        assert np.isnan(pair["hero_pixels"]) and pair["level_seed"] == 3 and pair["age"] == pair["frame_index"]


def test_sync_step_and_restart_over_the_socket(both):
    created = both.create(seed=1)
    apart = both.apart(1)
    with both.play(created["session_id"]) as socket:
        player = Player(socket)
        for action in (3, 3, 0, 1):
            player.ask("step_once", action=action)
            apart.step(action)
        reply, pair = player.ask("sync"), apart.sync()
        assert np.array_equal(picture(reply["data"]), np.concatenate([pair.real, pair.dream]))
        assert (reply["metrics"]["frame_index"], reply["metrics"]["age"], reply["metrics"]["event"]) == (4, 0, "sync")
        started = player.ask("restart", seed=2, theme="lava")
        assert both.games[-1].theme == "lava" and both.games[-1].level_seed == 2
        assert started["start"]["level_seed"] == 2 and started["metrics"]["frame_index"] == 0
        started = player.ask("restart")
        assert started["start"]["level_seed"] in HELD_OUT_SEEDS


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"type": "rewind"}, "cannot be rewound"),
        ({"type": "snapshot"}, "cannot be rewound, saved or forked"),
        ({"type": "restore", "data": ""}, "with `worldlet play`"),
        ({"type": "fork"}, "forked"),
        ({"type": "restart", "prompt": "a cave"}, "a prompt picks no level"),
        ({"type": "restart", "theme": "sea"}, "no theme 'sea': it has snow, lava"),
    ],
)
def test_what_a_real_game_cannot_do_is_refused_and_play_goes_on(both, message, told):
    with both.play(both.create(seed=4)["session_id"]) as socket:
        player = Player(socket)
        reply = player.ask(**message)
        assert reply["type"] == "error" and reply["code"] == "bad_request" and told in reply["message"]
        assert player.ask("step_once", action=0)["metrics"]["frame_index"] == 1


def test_a_game_that_crashes_is_said_and_opened_anew_by_the_next_restart(both):
    with both.play(both.create(seed=4)["session_id"]) as socket:
        player = Player(socket)
        assert "the game has crashed" in player.ask("step_once", action=6)["message"]
        opened = len(both.games)
        assert player.ask("restart", seed=4)["type"] == "started"
        assert len(both.games) == opened + 1 and both.games[-2].closed
        assert player.ask("step_once", action=0)["metrics"]["frame_index"] == 1


def test_closing_a_session_frees_its_game_and_games_are_few(both):
    created = both.create(seed=4)
    game = both.games[-1]
    assert not game.closed
    assert both.post(f"/session/{created['session_id']}/close").json()["closed"] and game.closed
    replies = [both.post("/session/create", {"seed": seed}) for seed in range(9)]
    assert replies[-1].status_code == 503 and replies[-1].json()["code"] == "full"
    assert both.post("/session/create", {"prompt": "a cave"}).json()["code"] == "bad_request"
    for reply in replies:
        if reply.status_code == 200:
            both.post(f"/session/{reply.json()['session_id']}/close")


def test_a_dream_alone_has_nothing_to_sync_with_and_no_such_page(served):
    with served.play(served.create()["session_id"]) as player:
        reply = player.ask("sync")
    assert reply["code"] == "bad_request" and "--beside" in reply["message"]
    assert httpx.get(served.url + "/beside").status_code == 404


def test_events_are_those_of_the_engine():
    from worldlet.engine.beside import EVENTS

    assert PAIR_EVENTS == EVENTS


def test_a_world_whose_game_does_not_fit_is_refused_before_anything_is_served(tiny_engine):
    """The tiny world names the platformer as its game, whose frames are larger."""
    with pytest.raises(ValueError, match="16x24 pixels"):
        open_beside({"tiny": tiny_engine}, ServerLimits())
