"""What a chart shows of a series: its candles in buckets, and the ledger's verdict on them, read at one instant."""

from typing import Any, NamedTuple

from mdata.domain.candle import Candle
from mdata.domain.interval import END_OF_TIME, Range, clip, normal
from mdata.domain.series import Series
from mdata.domain.timeframe import Timeframe
from mdata.domain.view import LedgerRanges, Stretch, stretches
from mdata.store import candles, coverage
from mdata.store.connection import Connection
from mdata.store.doubts import noted

# A chart cannot show more.
_MOST_MARKS = 500


class CandleView(NamedTuple):
    """Candles in buckets, ascending, all verdicts but "final candles", and the open times that were revised."""

    rows: list[Candle]
    stretches: list[Stretch]
    revised: list[tuple[int, str]]


def view(connection: Connection, series: Series, expected: Range, shown: Range, bucket: Timeframe) -> CandleView:
    """Return what there is to show in `shown`, aligned with `bucket`; `expected` is what should be known."""
    rows = bucketed(connection, series, shown, bucket)
    known = ledger(connection, series, shown)
    told = stretches(bucket, shown, expected, [row[0] for row in rows], known)
    return CandleView(rows, told, _revised(connection, series.id, shown))


def span(connection: Connection, series: Series, wanted: Range) -> Range:
    """Return the range in which something is stored, or should be."""
    hull = coverage.hull(connection, series.id)
    if hull is None:
        return wanted
    if wanted.end <= wanted.start:
        return hull
    return Range(min(hull.start, wanted.start), max(hull.end, wanted.end))


def bucketed(connection: Connection, series: Series, shown: Range, bucket: Timeframe) -> list[Candle]:
    """Return the candles of a range, added up to those of `bucket`.

    Each bucket is one statement that reads its slice of the key once. Grouping all rows would sort what is already
    sorted, and take twice as long.
    """
    if bucket == series.timeframe:
        return candles.stored(connection, series.id, shown)
    found: list[Candle] = []
    at: int | None = candles.first_from(connection, series.id, shown.start)
    while at is not None and at < shown.end:
        end = bucket.next(at)
        row = connection.execute(
            """SELECT (SELECT open FROM candles WHERE series_id = ?1 AND open_time = ?2), max(high), min(low),
                      (SELECT close FROM candles WHERE series_id = ?1 AND open_time < ?3
                       ORDER BY open_time DESC LIMIT 1), sum(volume)
               FROM candles WHERE series_id = ?1 AND open_time >= ?2 AND open_time < ?3""",
            (series.id, at, end),
        ).fetchone()
        found.append((bucket.floor(at), *row))
        at = candles.first_from(connection, series.id, end)
    return found


def ledger(connection: Connection, series: Series, shown: Range) -> LedgerRanges:
    """Return what the ledger says about a range."""
    grid = series.timeframe
    lost = normal(Range(grid.floor(time), grid.next(time)) for time in candles.lost(connection, series.id, shown))
    return LedgerRanges(
        normal(coverage.clipped(connection, series.id, shown, "final")),
        normal(coverage.clipped(connection, series.id, shown, "provisional")),
        lost,
        clip(noted(connection, series.id, "doubts", "kind = 'silence'"), *shown),
        clip(noted(connection, series.id, "unobtainable"), *shown),
    )


def state(connection: Connection, series: Series) -> tuple[Any, ...]:
    """Return a value that differs once candles of a series have been added, removed or changed.

    If another program overwrites the values of a candle, only `verify` notices that.
    """
    last = candles.last_before(connection, series.id, END_OF_TIME)
    revised = connection.execute("SELECT max(id) FROM candle_revisions WHERE series_id = ?", (series.id,))
    return (
        series,
        coverage.segments(connection, series.id),
        candles.marks(connection, series.id),
        None if last is None else candles.at(connection, series.id, last),
        revised.fetchone(),
        *(noted(connection, series.id, table) for table in ("doubts", "unobtainable")),
    )


def _revised(connection: Connection, series_id: int, shown: Range) -> list[tuple[int, str]]:
    rows = connection.execute(
        """SELECT open_time, kind FROM candle_revisions
           WHERE series_id = ? AND open_time >= ? AND open_time < ? ORDER BY id DESC LIMIT ?""",
        (series_id, *shown, _MOST_MARKS),
    )
    return sorted(set(rows.fetchall()))
