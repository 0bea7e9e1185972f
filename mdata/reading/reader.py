"""The store for Python: which series there are, and their candles."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from operator import index
from pathlib import Path
from typing import NamedTuple, Self, SupportsIndex

from mdata.clock import SystemClock
from mdata.domain.interval import Range
from mdata.domain.series import Series, name_of
from mdata.domain.suggest import did_you_mean
from mdata.domain.timeframe import Timeframe
from mdata.domain.times import iso, parse_instant
from mdata.errors import NotThereError, UsageError
from mdata.exchange import registry
from mdata.reading.candles import Candles
from mdata.reading.look import at_hand, read
from mdata.store import coverage
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.snapshot import look

Instant = str | datetime | SupportsIndex


class StoredSeries(NamedTuple):
    """A stored series: the range from its oldest to its newest answer (ms UTC; None: none yet), and its candles."""

    exchange: str
    symbol: str
    timeframe: str
    start: int | None
    end: int | None
    candles: int


@dataclass(frozen=True, slots=True)
class Reader:
    """A store, read-only; each call reads one snapshot, and nothing stays open between two calls."""

    path: Path

    def series(self) -> list[StoredSeries]:
        """Return what is stored, by symbol and then from fine to coarse."""
        return look(self.path, _series)

    def candles(
        self, symbol: str, timeframe: str, start: Instant | None = None, end: Instant | None = None
    ) -> Candles:
        """Return the candles that open in `[start, end)`, and the verdict on that range.

        A time is text as on the command line (`2024-03`, `-7d`; UTC), an aware datetime, or ms UTC. The default start
        is the wanted start of the series; the default end is the end of the newest answer. A given range is never
        clipped: what is beyond the data is unknown, and what is before the exchange's first candle is empty.
        """
        return self._read(Asked.of(symbol, timeframe, start, end))

    def chunks(
        self,
        symbol: str,
        timeframe: str,
        start: Instant | None = None,
        end: Instant | None = None,
        *,
        intervals: int = 50_000,
    ) -> Iterator[Candles]:
        """Yield a range in parts of `intervals` intervals, to use little memory; each part has its own verdict."""
        if intervals < 1:
            raise UsageError("a part needs at least one interval")
        asked = Asked.of(symbol, timeframe, start, end)
        return self._chunks(asked, self._range(asked), intervals)

    def _chunks(self, asked: "Asked", within: Range, intervals: int) -> Iterator[Candles]:
        begin = within.start
        while begin < within.end:
            part = Range(begin, min(asked.timeframe.shift(begin, intervals), within.end))
            yield self._read(asked, part)
            begin = part.end

    def _range(self, asked: "Asked") -> Range:
        return look(self.path, asked.within)

    def _read(self, asked: "Asked", within: Range | None = None) -> Candles:
        """Return the candles of a range, by default the requested one, from one snapshot."""
        return look(self.path, partial(asked.read, within=within))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: there is nothing to close."""


class Asked(NamedTuple):
    """A request for candles, made at `now` (ms UTC); `pair` is as the settings write it."""

    pair: str
    timeframe: Timeframe
    start: int | None
    end: int | None
    now: int

    @classmethod
    def of(cls, symbol: str, timeframe: str, start: Instant | None, end: Instant | None) -> Self:
        """Return the request; raise UsageError if an argument is invalid."""
        now = SystemClock().now()
        asked = cls(_symbol(symbol), _timeframe(timeframe), _instant(start, now), _instant(end, now), now)
        if asked.start is not None and asked.end is not None and asked.start > asked.end:
            raise UsageError(f"the range ends at {iso(asked.end)}, before it begins at {iso(asked.start)}")
        return asked

    def find(self, connection: Connection) -> Series:
        """Return the stored series; if there is none, raise NotThereError, which suggests a similar name."""
        venue, symbol = registry.resolve(self.pair)
        series = table.find(connection, venue, symbol, self.timeframe)
        if series is None:
            name, stored = name_of(venue, symbol, self.timeframe), [one.name for one in table.every(connection)]
            raise NotThereError(
                f"no candles of {name} are stored{did_you_mean(name, stored)}; "
                f"run `mdata backfill --symbol {self.pair} --timeframe {self.timeframe.name}` to fetch them"
            )
        return series

    def read(self, connection: Connection, within: Range | None = None) -> Candles:
        """Return the candles of a range, by default the requested one."""
        return read(connection, self.find(connection), within or self.within(connection))

    def within(self, connection: Connection) -> Range:
        """Return the requested range, aligned."""
        return self.range(at_hand(connection, self.find(connection), self.now))

    def range(self, usual: Range) -> Range:
        """Return the requested range, aligned; a start or an end that is not given is taken from `usual`."""
        grid = self.timeframe
        start = usual.start if self.start is None else grid.ceil(self.start)
        end = max(start, usual.end) if self.end is None else grid.ceil(self.end)
        return Range(min(start, end), end)


def _series(connection: Connection) -> list[StoredSeries]:
    found = []
    for series in table.every(connection):
        start, end = coverage.hull(connection, series.id) or (None, None)
        count = sum(segment.candles for segment in coverage.segments(connection, series.id))
        found.append(StoredSeries(series.exchange, series.symbol, series.timeframe.name, start, end, count))
    return found


def _symbol(text: str) -> str:
    try:
        return registry.parse_symbol(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _timeframe(text: str) -> Timeframe:
    from mdata.config.values import timeframe

    try:
        return timeframe(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _instant(given: Instant | None, now: int) -> int | None:
    if given is None:
        return None
    if isinstance(given, datetime):
        if given.tzinfo is None:
            raise UsageError(f"{given.isoformat()} has no time zone; write {given.isoformat()}Z as text, or give one")
        text = given.isoformat()
    else:
        text = given if isinstance(given, str) else str(index(given)).zfill(13)
    try:
        return parse_instant(text, now)
    except ValueError as error:
        raise UsageError(str(error)) from error
