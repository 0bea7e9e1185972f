"""Protocols for the connections to an exchange, by REST and by stream."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mdata.domain.candle import Candle
from mdata.domain.claim import Claim, Faulty
from mdata.domain.query import Page, Query
from mdata.domain.timeframe import Timeframe


class Exchange(Protocol):
    """What a job may request; each call is one request, and calls `on_send` when the request leaves."""

    def candles(self, query: Query, on_send: Callable[[], None]) -> Page:
        """Ask for candles."""
        ...

    def first_candle(self, symbol: str, timeframe: Timeframe, on_send: Callable[[], None]) -> Page:
        """Ask for the oldest candle: a page of one, or of none."""
        ...

    def pairs(self, on_send: Callable[[], None]) -> set[str]:
        """Ask for the symbols of all listed pairs."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Line(Protocol):
    """An open connection of a stream; only its session knows the form of its messages."""

    def subscribe(self, keys: list[str]) -> None:
        """Ask for channels."""
        ...

    def receive(self, seconds: float) -> Any | None:
        """Return the next message, or None if none comes within `seconds` of real time."""
        ...


class Refusal(Protocol):
    """Why the exchange refuses a channel; `is_unknown`: it does not have the channel."""

    @property
    def text(self) -> str:
        """Return the exchange's message."""
        ...

    @property
    def code(self) -> int:
        """Return the exchange's error code."""
        ...

    @property
    def is_unknown(self) -> bool:
        """Return whether the exchange does not have the channel."""
        ...


class ShownChannel(Protocol):
    """What one channel has shown; instants are the exchange's time, ms UTC."""

    start: int | None
    has_snapshot: bool
    refused: list[Faulty]

    def due(self, now: int) -> list[Claim]:
        """Return what may be stored at `now` and is not stored yet."""
        ...

    def due_at_its_end(self, now: int) -> list[Claim]:
        """Return what may be stored at `now`, when the channel has ended: no late update can come any more."""
        ...

    def mark(self, claims: list[Claim]) -> None:
        """Record that these claims were stored."""
        ...

    @property
    def newest(self) -> Candle | None:
        """Return the newest candle that was shown, usually the forming one."""
        ...


class OpenSession(Protocol):
    """One connection, from its opening to its end; `opened_at` and `heard_at` are seconds of boot time."""

    opened_at: float
    heard_at: float | None

    @property
    def channels(self) -> Mapping[str, ShownChannel]:
        """Return the channels by their keys."""
        ...

    @property
    def refused(self) -> Mapping[str, Refusal]:
        """Return the subscriptions that the exchange refuses, by their keys."""
        ...

    @property
    def subscribed(self) -> list[str]:
        """Return the keys of the channels that are subscribed to."""
        ...

    @property
    def is_answered(self) -> bool:
        """Whether every subscription has been answered, one way or the other."""
        ...

    def has_more(self, now: int) -> bool:
        """Whether there is still something to store at `now` (ms UTC) after the connection has ended."""
        ...

    def take(self, message: Any, at: int, boottime: float) -> None:
        """Take one message; `at` is the exchange's time, ms UTC."""
        ...

    def fault(self, boottime: float) -> str | None:
        """Return why the connection should be given up now, or None while it works."""
        ...
