"""The child's side: opens the game it is told to and plays what it is sent, until its pipe ends.

It is run as a file by another Python environment, in which Worldlet is not installed. So it finds the package beside
itself without opening the way to the packages that lie around it: they belong to the parent's environment.
"""

import contextlib
import importlib.util
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO


def main() -> None:
    """Serve the parent on the standard streams."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()
    # What a game prints must not get between the messages.
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.path[0] = os.getcwd()  # our own folder would hide games' modules of the same names; theirs may lie here
    _load_worldlet(Path(__file__).resolve().parents[2])
    with contextlib.suppress(EOFError, BrokenPipeError):
        serve(requests, replies)


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer one message after another; a game that raises is reported, and may be made or reset again."""
    from worldlet.games.remote import messages

    game: Any = None
    failure: Exception | None = None  # of an action after others whose frames went out
    while True:
        kind, payload = messages.receive(requests)
        try:
            if kind == messages.PLAY:
                frames, failure = _play(game, messages.unpack_actions(payload), failure)
                messages.send(replies, messages.FRAMES, *frames)
            elif kind == messages.RESET:
                frame, info = game.reset(seed=messages.unpack_values(payload)["seed"])
                messages.send(replies, messages.FRAMES, *messages.pack_frame(frame, info, 0.0, False, False))
            else:
                from worldlet.games.making import make_here

                wanted = messages.unpack_values(payload)
                game = make_here(wanted["game"], **wanted["options"])
                messages.send(replies, messages.MADE, messages.pack_values(_describe(game)))
        except Exception as error:
            # With the trace on standard error, the parent's sentence need only hold what went wrong.
            if not isinstance(error, ValueError):
                traceback.print_exc()
            told = {"message": f"{error}" or type(error).__name__, "kind": type(error).__name__}
            messages.send(replies, messages.FAILED, messages.pack_values(told))


def _play(game: Any, actions: Sequence[int], failure: Exception | None) -> tuple[list[bytes], Exception | None]:
    """Do one action after another until the game ends; return the frames, and the failure of a later action.

    Without actions, what failed before is raised; so is a failure of the first one.
    """
    from worldlet.games.remote import messages

    if not actions and failure is not None:
        raise failure
    frames = list[bytes]()
    for action in actions:
        try:
            frame, reward, terminated, truncated, info = game.step(action)
            packed = messages.pack_frame(frame, info, float(reward), bool(terminated), bool(truncated))
        except Exception as error:
            if not frames:
                raise
            return frames, error
        frames += packed
        if terminated or truncated:
            break
    return frames, None


def _describe(game: Any) -> dict[str, Any]:
    height, width = game.observation_space.shape[:2]
    return {"size": [height, width], "actions": int(game.action_space.n), "metadata": dict(game.metadata)}


def _load_worldlet(package: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "worldlet", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["worldlet"] = module
    spec.loader.exec_module(module)


def _end_with_parent(parent: int) -> None:
    """End even where the game hangs and the closed pipe goes unnoticed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()
