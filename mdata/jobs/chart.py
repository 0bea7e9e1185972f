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
    """What to show: from when to when (ms UTC), in which intervals, at most how many; None: whatever fits."""

    since: int | None
    until: int | None
    timeframe: Timeframe | None
    most: int


class Chart(NamedTuple):
    """What was found: from which series, in which intervals, and the range that they make up."""

    series: Series
    bucket: Timeframe
    shown: Range
    view: CandleView


def look(store: Store, settings: Settings, name: str, wish: ChartWish, now: int) -> Chart | None:
    """Return what there is of a pair, None where nothing is stored of it in a timeframe that serves.

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
    """Return the series that has these candles itself, else the coarsest whose candles add up to them."""
    found = [one for one in table.every(connection) if (one.venue, one.symbol) == registry.resolve(name)]
    if timeframe is None:
        return found[0] if found else None
    return next((one for one in reversed(found) if timeframe in buckets(one.timeframe)), None)


def _frame(source: Timeframe, whole: Range, wish: ChartWish) -> tuple[Timeframe, Range]:
    """Return intervals and range: the newest part of what is asked for that there is room for."""
    end = max(whole.start, whole.end if wish.until is None else wish.until)
    grid = wish.timeframe
    if grid is None:
        grid = source if wish.since is None else choose(source, Range(min(wish.since, end), end), wish.most)
    end = grid.ceil(end)
    start = grid.shift(end, -wish.most)
    if wish.since is not None:
        start = max(start, wish.since)
    return grid, aligned(grid, Range(max(start, min(whole.start, end)), end))
