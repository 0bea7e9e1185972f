"""A request to the exchange and its parsed answer; `evidence` decides what the answer proves."""

from itertools import pairwise
from math import isclose
from typing import NamedTuple

from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.timeframe import Timeframe
from mdata.domain.venue import Venue

# How many of the nearest stored candles a request includes: usually, and after an answer that contained none of them.
WITNESSES, MORE_WITNESSES = 3, 500


class Query(NamedTuple):
    """One request for candles: an aligned range, from which end rows are counted, and at most how many.

    `is_open`: the request names no start, so that a row from before the range can come back and enclose its older
    end.
    """

    venue: Venue
    symbol: str
    timeframe: Timeframe
    range: Range
    newest_first: bool
    limit: int
    is_open: bool = False

    @property
    def form(self) -> str:
        """Return from which end and from which instant rows are counted: answers of one form may share a mistake."""
        return f"desc {self.range.end}" if self.newest_first else f"asc {self.range.start}"

    @property
    def within(self) -> Range:
        """Return the range in which rows of the answer may be."""
        reaches_before = self.is_open or self.venue.lower == "containing"
        return Range(0, self.range.end) if reaches_before else self.range


def fitted(query: Query) -> Query:
    """Return a request as its exchange can answer it.

    If the exchange always keeps the same end of an answer that does not fit on a page, a request that counts rows
    from the other end is shortened to the intervals that fit. If the exchange refuses ranges that are too long, every
    request is shortened.
    """
    venue, grid, (start, end) = query.venue, query.timeframe, query.range
    keeps_newest = {"newest": True, "oldest": False}.get(venue.anchor, query.newest_first)
    if venue.anchor != "refuses" and keeps_newest == query.newest_first:
        return query
    if query.newest_first:
        oldest = grid.shift(end, -venue.page_rows)
        start = oldest if query.is_open else max(start, oldest)
    else:
        end = min(end, grid.shift(start, venue.page_rows))
    return query._replace(range=Range(start, end), newest_first=keeps_newest, limit=venue.page_rows, is_open=False)


class RefusedRow(NamedTuple):
    """A rejected row: its text (shortened), why it cannot be a candle, and which range stays unknown."""

    open_time: int | None
    text: str
    reason: str
    unknown: Range | None


class Page(NamedTuple):
    """One parsed answer: its candles (ascending, inside the requested range), its refused rows, its number of rows.

    `asked_at` (ms UTC) is the earlier of two times: when the request was sent by the local clock, and the answer's
    own date. `silent` (ascending) are the open times of rows that say that nothing was traded.
    """

    query: Query
    candles: list[Candle]
    refused: tuple[RefusedRow, ...]
    rows: int
    asked_at: int
    silent: tuple[int, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether the answer has as many rows as requested, so that there may be more beyond its last one."""
        return self.rows >= self.query.limit

    @property
    def span(self) -> Range | None:
        """Return the range from the oldest row to the newest one; None without rows."""
        grid = self.query.timeframe
        refused = (row.open_time for row in self.refused)
        times = [time for time in refused if time is not None and grid.is_aligned(time)]
        if self.candles:
            times += (self.candles[0][0], self.candles[-1][0])
        if self.silent:
            times += (self.silent[0], self.silent[-1])
        return Range(min(times), grid.next(max(times))) if times else None

    @property
    def times(self) -> list[int]:
        """Return the open times of the intervals that have rows, ascending."""
        times = [row[0] for row in self.candles]
        return sorted([*times, *self.silent]) if self.silent else times

    @property
    def holes(self) -> list[Range]:
        """Return the ranges (ascending) without rows, on an exchange that sends one for every interval."""
        if not self.query.venue.writes_silence:
            return []
        grid, times = self.query.timeframe, self.times
        return [Range(grid.next(one), other) for one, other in pairwise(times) if grid.next(one) < other]

    @property
    def refusal(self) -> str:
        """The message about rejected rows: how many, and the first one."""
        first, count = self.refused[0], len(self.refused)
        told = "a row was rejected" if count == 1 else f"{count} rows were rejected, the first one"
        return f"{told}: {first.reason}: {first.text}"


def is_same(candle: Candle, other: Candle) -> bool:
    """Whether two candles are equal.

    The exchange adds up volumes as floats, whose last digits may differ from one answer to the next; such a
    difference is no change.
    """
    return candle == other or (candle[:5] == other[:5] and isclose(candle[5], other[5], rel_tol=1e-9))
