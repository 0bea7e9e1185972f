"""`export`: the candles of a range, and whether they are all that there are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.jobs.passes import Target, find
from mdata.store import candles, coverage, overview
from mdata.store.engine import Store

Write = Callable[[list[tuple[Any, ...]]], None]

# Rows of one look at the store: a reader who takes his time must not keep others from emptying its log.
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
    for part, counts in _parts(store, series, within):
        write(part)
        rows += len(part)
        provisional, unknown = provisional + counts.provisional, unknown + counts.unknown
    intervals = series.timeframe.count(*within)
    return Exported(series.symbol, series.timeframe.name, *within, intervals, rows, provisional, unknown)


def _range(store: Store, series: Series, asked: Asked) -> Range:
    """Return the intervals that open in what was asked for, have closed, and do not precede the first candle."""
    grid, hull = series.timeframe, coverage.hull(store.connection, series.id)
    wanted = series.wanted(asked.now, 0)
    start = wanted.start if asked.since is None else max(grid.ceil(asked.since), series.first_candle or wanted.start)
    newest = hull.end if hull else start
    end = newest if asked.until is None else min(grid.ceil(asked.until), grid.closed_end(asked.now))
    return Range(start, max(start, end))


def _parts(store: Store, series: Series, within: Range) -> Iterator[tuple[list[tuple[Any, ...]], overview.Counts]]:
    """Yield a range in parts: rows, and what the ledger says about the stretch that they are from."""
    start = within.start
    while start < within.end:
        with store.read() as connection:
            rows = candles.public_rows(connection, series, Range(start, within.end), _SLICE)
            end = series.timeframe.next(rows[-1][3]) if len(rows) == _SLICE else within.end
            counts, _ = overview.look(connection, series, Range(start, end))
        yield rows, counts
        start = end
