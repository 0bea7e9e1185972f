"""`export`: the candles of a range, and whether they are all that there are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from mdata.domain.gaps import missing
from mdata.domain.interval import Range, subtract
from mdata.domain.series import Series
from mdata.jobs.passes import Target, find
from mdata.store import candles, coverage
from mdata.store import series as table
from mdata.store.engine import Connection, Store

Write = Callable[[list[tuple[Any, ...]]], None]

# Intervals of one look at the store: a reader who takes his time must not keep others from emptying its log.
_SLICE = 10_000


class Asked(NamedTuple):
    """From when to when candles are asked for at `now`, ms UTC; None: from the wanted start, to the newest answer."""

    since: int | None
    until: int | None
    now: int


@dataclass(frozen=True, slots=True)
class Exported:
    """What was exported of a series: times are ms UTC, `candles` rows, the rest intervals.

    What is `provisional` may change still. Nothing is stored of a series without `start` and `end`.
    """

    symbol: str
    timeframe: str
    start: int | None = None
    end: int | None = None
    intervals: int = 0
    candles: int = 0
    provisional: int = 0
    unknown: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether the exchange has answered for every interval."""
        return self.start is not None and not self.unknown


def export(store: Store | None, wanted: list[Target], asked: Asked, write: Write) -> list[Exported]:
    """Hand the rows of these series to `write`, oldest first, and return what they are."""
    found = []
    for target in wanted:
        series = None if store is None else find(store, target)
        if store is None or series is None:
            found.append(Exported(target.symbol, target.timeframe.name))
        else:
            found.append(_export(store, series, asked, write))
    return found


def _export(store: Store, series: Series, asked: Asked, write: Write) -> Exported:
    within = _range(store, series, asked)
    rows = provisional = unknown = 0
    for part in _parts(store, series, within):
        write(part.rows)
        rows += len(part.rows)
        provisional, unknown = provisional + part.provisional, unknown + part.unknown
    intervals = series.timeframe.count(*within)
    return Exported(series.symbol, series.timeframe.name, *within, intervals, rows, provisional, unknown)


def _range(store: Store, series: Series, asked: Asked) -> Range:
    """Return the intervals that open in what was asked for, have closed, and do not precede the first candle.

    Where no end is named, what was not fetched yet is no part of it, unless that is all there is.
    """
    grid, hull = series.timeframe, coverage.hull(store.connection, series.id)
    wanted = series.wanted(asked.now, 0)
    start = wanted.start if asked.since is None else max(grid.ceil(asked.since), series.first_candle or wanted.start)
    newest = hull.end if hull else start
    # A local clock that is behind does not undo what has been answered.
    closed = max(grid.closed_end(asked.now), newest)
    end = newest if newest > start else closed
    if asked.until is not None:
        end = min(grid.ceil(asked.until), closed)
    return Range(start, max(start, end))


class _Part(NamedTuple):
    """The rows of a stretch, and how many of its intervals the ledger calls provisional and unknown."""

    rows: list[tuple[Any, ...]]
    provisional: int
    unknown: int


def _parts(store: Store, series: Series, within: Range) -> Iterator[_Part]:
    """Yield a range in parts, each from one look at the store."""
    start = within.start
    while start < within.end:
        stretch = Range(start, min(series.timeframe.shift(start, _SLICE), within.end))
        with store.read() as connection:
            part = _look(connection, series, stretch)
        yield part
        start = stretch.end


def _look(connection: Connection, series: Series, stretch: Range) -> _Part:
    grid, current = series.timeframe, table.find(connection, series.symbol, series.timeframe)
    # Somebody may have had it forgotten meanwhile, and its number may be another's by now.
    if current is None:
        return _Part([], 0, grid.count(*stretch))
    lost = candles.lost(connection, current.id, stretch)
    unknown = missing(grid, stretch, coverage.uncovered(connection, current.id, stretch), lost, stretch)
    provisional = subtract(coverage.clipped(connection, current.id, stretch, "provisional"), unknown)
    return _Part(
        candles.public_rows(connection, current, stretch),
        sum(grid.count(*part) for part in provisional),
        sum(grid.count(*part) for part in unknown),
    )
