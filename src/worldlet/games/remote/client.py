"""Our side: a game in a child process, which looks like any Gymnasium environment."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from worldlet.games.remote import messages

CHILD = Path(__file__).with_name("child.py")
OURS_ALONE = ("PYTHONPATH", "PYTHONHOME", "LD_PRELOAD")
"""Variables that a child does not inherit: Procgen dies of a preloaded allocator (jemalloc), which training likes."""
PATIENCE_SECONDS = 300.0
"""A game that does not answer for so long, for each action that it was asked, is taken for hung."""
_ANSWER_BYTES = 2**22  # of frames that are asked for at once, whatever their size


_PIPE_BYTES = 2**16  # what a pipe holds: a frame comes with one read


class GameCrash(ValueError):
    """A game in a child process raised, hung or died; the message says which and ends with its last words."""


class GameGone(GameCrash):
    """The process of a game ended or hung: how many of the actions it was asked it still did, nobody knows."""


class RemoteGame(gymnasium.Env[np.ndarray, np.int64]):
    """The game `env_id` played by another Python, `python`; frames uint8 (H, W, 3), actions Discrete(n).

    The child ends with `close`, and when this process ends, however it ends.

    Raises:
        ValueError: where the game cannot be made with these options.
        GameCrash: from any call, where the child fails.
    """

    def __init__(self, python: Path | str, env_id: str, options: dict[str, Any]) -> None:
        if not os.access(python, os.X_OK):
            raise ValueError(f"there is no Python interpreter at {python}: give the path of an environment's own")
        self._env_id = env_id
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the child is)
        environment = {key: value for key, value in os.environ.items() if key not in OURS_ALONE}
        self._child = subprocess.Popen(
            [str(python), str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            bufsize=_PIPE_BYTES,
            env={**environment, "PYTHONWARNINGS": "ignore"},
        )
        self._to_child, self._from_child = cast(BinaryIO, self._child.stdin), cast(BinaryIO, self._child.stdout)
        self._end = weakref.finalize(self, _end, self._child, self._said)
        try:
            made = self._ask(messages.MAKE, messages.pack_values({"game": env_id, "options": options}), messages.MADE)
        except BaseException:
            self.close()
            raise
        facts = messages.unpack_values(made)
        self._size: tuple[int, int] = tuple(facts["size"])
        self.metadata = facts["metadata"]
        self.observation_space = Box(0, 255, (*self._size, 3), np.uint8)
        self.action_space = Discrete(facts["actions"])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin the level of `seed`."""
        super().reset(seed=seed)
        payload = messages.pack_values({"seed": None if seed is None else int(seed)})
        frame, *_, info = messages.unpack_frames(self._ask(messages.RESET, payload, messages.FRAMES), self._size)[0]
        return frame, info

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one frame."""
        return next(self.play([action]))

    def play(self, actions: Sequence[int | np.integer]) -> Iterator[messages.Step]:
        """Yield what `step` returns for one action after another, and end where the game does.

        Many of them are done in one go, which costs far less than asking for each; where one fails, the frames before
        it come first.
        """
        at_once = max(1, _ANSWER_BYTES // (3 * self._size[0] * self._size[1]))
        for begin in range(0, len(actions), at_once):
            asked = [int(action) for action in actions[begin : begin + at_once]]
            payload = self._ask(messages.PLAY, messages.pack_actions(asked), messages.FRAMES, len(asked))
            steps = messages.unpack_frames(payload, self._size)
            yield from steps
            if any(steps[-1][2:4]):
                return
            if len(steps) < len(asked):
                self._ask(messages.PLAY, b"", messages.FRAMES)  # raises why

    def close(self) -> None:
        """End the child; calling it again changes nothing."""
        self._end()

    def _ask(self, kind: bytes, payload: bytes, wanted: bytes, steps: int = 1) -> bytes:
        patience = PATIENCE_SECONDS * steps
        try:
            messages.send(self._to_child, kind, payload)
            if os.name == "posix" and not select.select([self._from_child], [], [], patience)[0]:
                self.close()  # an answer that came later would be taken for that to the next question
                raise GameGone(f"the game {self._env_id} has not answered for {patience:.0f} s")
            got, reply = messages.receive(self._from_child)
        except (EOFError, OSError, ValueError) as error:
            if isinstance(error, GameCrash):
                raise
            raise GameGone(f"the process of the game {self._env_id} ended{self._last_words()}") from error
        if got == messages.FAILED:
            told = messages.unpack_values(reply)
            if kind == messages.MAKE or told["kind"] == "ValueError":
                raise ValueError(told["message"])
            raise GameCrash(f"the game {self._env_id} raised {told['kind']}: {told['message']}")
        assert got == wanted, f"the child answered {got!r} and not {wanted!r}"
        return reply

    def _last_words(self) -> str:
        if self._said.closed:
            return " because it was closed"
        try:
            code = self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = None
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        cause = f" by signal {-code}" if code is not None and code < 0 else f" with exit code {code}"
        return cause + (f": {lines[-1].strip()}" if lines else "")


def _end(child: subprocess.Popen[bytes], said: BinaryIO) -> None:
    """End a child: its pipe first, so that it may leave by itself, then by force."""
    for pipe in (child.stdin, child.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except OSError:  # unsent bytes to a child that is gone
            pass
    try:
        child.wait(timeout=1)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    said.close()
