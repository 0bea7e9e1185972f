"""`chart`: the candles of a range in as many intervals as fit, and the verdict on them."""

from typing import NamedTuple

from mdata.config import Settings
from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.domain.timeframe import Timeframe
from mdata.domain.view import aligned, buckets, choose
from mdata.exchange import registry
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.engine import Store
from mdata.store.view import CandleView, span, view


class ChartWish(NamedTuple):
    """What to show: from when to when (ms UTC), in which intervals (None: whatever fits), and at most how many."""

    since: int | None
    until: int | None
    timeframe: Timeframe | None
    most: int


class Chart(NamedTuple):
    """What was found: the series, its buckets, the range that is shown, and the candles in it."""

    series: Series
    bucket: Timeframe
    shown: Range
    view: CandleView


def look(store: Store, settings: Settings, name: str, wish: ChartWish, now: int) -> Chart | None:
    """Return what there is of a pair; None if no stored timeframe of it can be shown in this way.

    `name` is the pair as the settings write it.
    """
    with store.read() as connection:
        series = _source(connection, name, wish.timeframe)
        if series is None:
            return None
        whole = span(connection, series, series.wanted(now, settings.settle))
        bucket, shown = _frame(series.timeframe, whole, wish)
        return Chart(series, bucket, shown, view(connection, series, whole, shown, bucket))


def _source(connection: Connection, name: str, timeframe: Timeframe | None) -> Series | None:
    """Return the coarsest series whose candles are of this timeframe or add up to it; None if there is none.

    Without a timeframe, return the finest series of the pair.
    """
    found = [one for one in table.every(connection) if (one.venue, one.symbol) == registry.resolve(name)]
    if timeframe is None:
        return found[0] if found else None
    return next((one for one in reversed(found) if timeframe in buckets(one.timeframe)), None)


def _frame(source: Timeframe, whole: Range, wish: ChartWish) -> tuple[Timeframe, Range]:
    """Return the intervals and the range: the newest part of what is asked for that fits."""
    end = max(whole.start, whole.end if wish.until is None else wish.until)
    grid = wish.timeframe
    if grid is None:
        grid = source if wish.since is None else choose(source, Range(min(wish.since, end), end), wish.most)
    end = grid.ceil(end)
    start = grid.shift(end, -wish.most)
    if wish.since is not None:
        start = max(start, wish.since)
    return grid, aligned(grid, Range(max(start, min(whole.start, end)), end))
