"""The shared part of all WebSocket connections of the sandbox: the feed, the limit of connects, and a log."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

from mdata.clock import Clock
from mdata.sandbox.channels import MarketFeed, Revision, Subject
from mdata.sandbox.limit import RateCount, RateRule
from mdata.sandbox.market import Market
from mdata.sandbox.wsfaults import StreamFault


@dataclass(frozen=True, slots=True)
class StreamRule:
    """The limits: connects per minute, with a minute of refusal beyond them, and channels per connection.

    Bitfinex documents 25 or 30 channels; 36 were accepted in 2026.
    """

    connects: RateRule = field(default_factory=lambda: RateRule(per_minute=20, ban_seconds=60.0, extends=False))
    channels: int = 25


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the log of connections: when (ms UTC; seconds of boot time), on which one, and what happened.

    `status` is an HTTP status for a handshake, a closing code for a close, otherwise 0 or the code of the error.
    """

    at: int
    boottime: float
    connection: int
    what: str
    status: int
    key: str | None


class Stream:
    """The exchange's WebSocket side, for any number of connections, each in its own thread."""

    def __init__(self, market: Market, clock: Clock, rule: StreamRule) -> None:
        self.clock, self.feed, self.rule = clock, MarketFeed(market), rule
        self.faults: list[StreamFault] = []
        self.log: list[Happening] = []
        self.rng = random.Random(market.seed)
        self.server_id = str(UUID(int=self.rng.getrandbits(128), version=4))
        self._connects, self._connections = RateCount(rule.connects), 0
        self._listening: set[socket.socket] = set()
        self._guard = threading.Lock()

    def admit(self) -> tuple[int, int]:
        """Return the number of a new connection, and the HTTP status of the answer to its handshake."""
        with self._guard:
            self._connections += 1
            return self._connections, self._status(self.clock.now())

    def _status(self, now: int) -> int:
        if self._connects.refuses(self.clock.boottime()):
            return 429
        if self.is_closed(now):
            return 503
        refusing = self._next_handshake("ws-refuse", now)
        return int(refusing.parameters["status"]) if refusing else 101

    def closing_code(self) -> int | None:
        """Return the code with which a new connection is closed at once, or None."""
        with self._guard:
            closing = self._next_handshake("ws-accept-close", self.clock.now())
            return closing.parameters["code"] if closing else None

    def _next_handshake(self, kind: str, now: int) -> StreamFault | None:
        """Return the fault of this kind for the next handshake, and count it."""
        for fault in self.faults:
            if fault.kind == kind and fault.begun(now) is not None and fault.parameters["handshakes"]:
                fault.parameters["handshakes"] -= 1
                return fault
        return None

    def is_closed(self, now: int) -> bool:
        """Whether the exchange, REST included, is closed for maintenance at `now` (ms UTC)."""
        return any(fault.is_closed(now) for fault in self.faults)

    def is_resuming(self, now: int) -> bool:
        """Whether the exchange is open again at `now`, but has not announced it yet."""
        return any(fault.is_resuming(now) for fault in self.faults)

    def lasting(self, kind: str, subject: Subject, now: int) -> tuple[StreamFault, int] | None:
        """Return a fault of this kind that affects a channel at `now`, and since when."""
        for fault in self.faults:
            if fault.kind == kind and fault.concerns(subject) and (begun := fault.begun(now)) is not None:
                return fault, begun
        return None

    def order(self, faults: list[StreamFault]) -> None:
        """Replace the faults."""
        self.faults = faults
        self.wake()

    def note(self, connection: int, what: str, status: int = 0, key: str | None = None) -> None:
        """Write a line of the log."""
        self.log.append(Happening(self.clock.now(), self.clock.boottime(), connection, what, status, key))

    def revise(self, revision: Revision) -> None:
        """Notify the channels of a series that a candle has changed."""
        self.feed.revisions.append(revision)
        self.wake()

    @contextmanager
    def listening(self) -> Iterator[socket.socket]:
        """Yield a socket that becomes readable whenever faults or candles have been changed."""
        woken, waker = socket.socketpair()
        waker.setblocking(False)  # noqa: FBT003 - the standard library's form
        with woken, waker:
            self._listening.add(waker)
            try:
                yield woken
            finally:
                self._listening.discard(waker)

    def wake(self) -> None:
        """Wake every connection so that it checks for events at once."""
        for waker in list(self._listening):
            # A full socket wakes its connection anyway; a closed one has nothing left to wake.
            with suppress(OSError):
                waker.send(b"!")
