"""What all WebSocket connections of the sandbox share: the feed, the limit of connects, and a log."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from mdata.clock import Clock
from mdata.sandbox.channels import Feed, Revision
from mdata.sandbox.limit import RateCount, RateRule
from mdata.sandbox.market import Market


@dataclass(frozen=True, slots=True)
class StreamRule:
    """How many connects a minute are allowed, with a minute of refusal beyond them, and channels per connection.

    Bitfinex documents 25 or 30 channels; 36 were accepted in 2026.
    """

    connects: RateRule = field(default_factory=lambda: RateRule(per_minute=20, ban_seconds=60.0, extends=False))
    channels: int = 25


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the log of connections: when (ms UTC; seconds of boot time), on which, and what.

    `status` is an HTTP status for a handshake, a closing code for a close, otherwise 0 or the code of the error.
    """

    at: int
    boottime: float
    connection: int
    what: str
    status: int
    key: str | None


class Stream:
    """The exchange's WebSocket side, for any number of connections, each in a thread of its own."""

    def __init__(self, market: Market, clock: Clock, rule: StreamRule) -> None:
        self.clock, self.feed, self.rule = clock, Feed(market), rule
        self.log: list[Happening] = []
        self.rng = random.Random(market.seed)
        self.server_id = str(UUID(int=self.rng.getrandbits(128), version=4))
        self._connects, self._connections = RateCount(rule.connects), 0
        self._listening: set[socket.socket] = set()
        self._guard = threading.Lock()

    def admit(self) -> tuple[int, int]:
        """Return the number of a new connection, and the HTTP status with which its handshake is to be answered."""
        with self._guard:
            self._connections += 1
            return self._connections, 429 if self._connects.refuses(self.clock.boottime()) else 101

    def note(self, connection: int, what: str, status: int = 0, key: str | None = None) -> None:
        """Write a line of the log."""
        self.log.append(Happening(self.clock.now(), self.clock.boottime(), connection, what, status, key))

    def revise(self, revisions: list[Revision]) -> None:
        """Tell the channels concerned that these candles have changed."""
        self.feed.revisions.extend(revisions)
        self.wake()

    @contextmanager
    def listening(self) -> Iterator[socket.socket]:
        """Give a socket that becomes readable whenever something unforeseen has happened."""
        woken, waker = socket.socketpair()
        waker.setblocking(False)  # noqa: FBT003 - the standard library's form
        with woken, waker:
            self._listening.add(waker)
            try:
                yield woken
            finally:
                self._listening.discard(waker)

    def wake(self) -> None:
        """Let every connection look at once what has happened."""
        for waker in list(self._listening):
            try:
                waker.send(b"!")
            except OSError:
                self._listening.discard(waker)
