"""The candles of a range, with the ledger's verdict, from one snapshot of the store."""

from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.reading.candles import Candles
from mdata.store import candles, coverage
from mdata.store.columns import columns
from mdata.store.connection import Connection
from mdata.store.verdict import verdict


def read(connection: Connection, series: Series, within: Range) -> Candles:
    """Return the candles and the verdict of an aligned range."""
    found = verdict(connection, series, within)
    return Candles(
        exchange=series.exchange,
        symbol=series.symbol,
        grid=series.timeframe,
        start=within.start,
        end=within.end,
        columns=columns(connection, series.id, within),
        unknown=tuple(found.unknown),
        provisional=tuple(found.provisional),
        unobtainable=tuple(found.unobtainable),
        close_before=_close_before(connection, series, within.start),
    )


def at_hand(connection: Connection, series: Series, now: int) -> Range:
    """Return the range from the wanted start to the end of the newest coverage.

    Intervals that are not fetched *yet* are therefore left out. If nothing is covered, the range ends where the
    interval that contains `now` begins.
    """
    hull, wanted = coverage.hull(connection, series.id), series.wanted(now, 0)
    if hull is not None and hull.end > wanted.start:
        return Range(wanted.start, hull.end)
    return Range(wanted.start, max(wanted))


def _close_before(connection: Connection, series: Series, start: int) -> float | None:
    """Return the last close before `start` (ms UTC) if every interval between is proven empty."""
    time = candles.last_before(connection, series.id, start)
    if time is None or (newest := candles.at(connection, series.id, time)) is None:
        return None
    between = Range(series.timeframe.next(time), start)
    if between.start < between.end and verdict(connection, series, between).proven != [between]:
        return None
    return newest[4]
