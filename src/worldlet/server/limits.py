"""What one client, and all of them together, may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerLimits:
    """The server's settings; every limit has an error message of its own but the rate, which only slows down.

    ``sessions``: how many may be open at once. ``idle_seconds``: an unused session without a socket is freed after
    this time, one with a socket only where its place is needed. ``message_bytes``: the longest message or request
    body that is read (a snapshot in base64 must fit). ``socket_bytes``: above this the socket itself is closed, its
    session stays. ``messages_per_second``, ``message_burst``: faster clients wait. ``workers``: threads that run
    worlds. ``stream_fps``: the fastest stream. ``farewell_seconds``: how long a client is waited for that must go.
    """

    sessions: int = 64
    idle_seconds: float = 300.0
    message_bytes: int = 4 * 2**20
    socket_bytes: int = 32 * 2**20
    messages_per_second: float = 500.0
    message_burst: int = 200
    workers: int = 2
    stream_fps: float = 120.0
    farewell_seconds: float = 2.0


class TokenBucket:
    """Says how long a message must wait so that a client keeps to its rate; time is given, never read."""

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled_at = now

    def delay(self, now: float) -> float:
        """Take one token at time ``now`` (seconds) and return the seconds to wait for it, usually 0."""
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._rate)
