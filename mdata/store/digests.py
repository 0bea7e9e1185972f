"""The table `digests`: what `verify` has read of a month, to detect changes that were not made by mdata.

A digest is the SHA-256 of the month's rows, ascending by open time. Each row is a little-endian 64-bit integer (ms
UTC) and five 64-bit floats (open, high, low, close, volume). Equal digests mean equal candles, in any two stores.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import starmap
from struct import Struct
from typing import NamedTuple

from mdata.domain.candle import COLUMNS
from mdata.domain.interval import Range, count_within
from mdata.domain.series import Series
from mdata.domain.timeframe import month_index, month_start
from mdata.store import candles, coverage
from mdata.store.connection import Connection

_ROW = Struct("<q5d")
_ROWS_AT_A_TIME = 10_000


class Digest(NamedTuple):
    """A month (its begin, ms UTC), how many candles it contains, and their digest (None: being computed)."""

    month: int
    candles: int
    digest: bytes | None


def month_of(series: Series, month: int) -> Range:
    """Return the intervals that open in the month that begins at `month` (ms UTC)."""
    grid = series.timeframe
    return Range(grid.ceil(month), grid.ceil(month_start(month_index(month) + 1)))


def final_months(connection: Connection, series: Series, but: Sequence[Range] = ()) -> Iterator[int]:
    """Yield the begin (ms UTC, ascending) of every month that is completely final and has lost no candle.

    Segments that overlap one of the ranges `but` are left out.
    """
    lost = candles.lost(connection, series.id)
    for segment in coverage.segments(connection, series.id):
        if segment.kind != "final" or any(map(segment.range.overlaps, but)):
            continue
        index = month_index(segment.start)
        while (month := month_start(index)) < segment.end:
            part = month_of(series, month)
            index += 1
            if part.start < part.end and segment.range.contains(part) and not count_within(lost, [part]):
                yield month


def compute(connection: Connection, series: Series, month: int) -> Digest:
    """Read a month, and return its digest."""
    rows = connection.execute(
        f"""SELECT {", ".join(COLUMNS)} FROM candles
            WHERE series_id = ? AND open_time >= ? AND open_time < ? ORDER BY open_time""",
        (series.id, *month_of(series, month)),
    )
    total, count = sha256(), 0
    while found := rows.fetchmany(_ROWS_AT_A_TIME):
        total.update(b"".join(starmap(_ROW.pack, found)))
        count += len(found)
    return Digest(month, count, total.digest())


def of(connection: Connection, series_id: int) -> dict[int, Digest]:
    """Return the digests of a series by their months."""
    rows = connection.execute("SELECT month, candles, digest FROM digests WHERE series_id = ?", (series_id,))
    return {row[0]: Digest(*row) for row in rows.fetchall()}


def announce(connection: Connection, series_id: int, months: list[int], now: int) -> None:
    """Record that digests of these months are being computed (`now`, ms UTC); a job that writes there drops them."""
    connection.executemany(
        f"INSERT OR IGNORE INTO digests VALUES ({series_id:d}, ?, 0, NULL, {now:d})", [(month,) for month in months]
    )


def keep(connection: Connection, series_id: int, found: list[Digest]) -> None:
    """Store the announced digests of months to which no job has written in the meantime."""
    connection.executemany(
        f"UPDATE digests SET candles = ?, digest = ? "
        f"WHERE series_id = {series_id:d} AND month = ? AND digest IS NULL",
        [(one.candles, one.digest, one.month) for one in found],
    )


def drop(connection: Connection, series_id: int, part: Range) -> None:
    """Drop the digests of the months that a changed range touches.

    A digest that is being computed is then not stored.
    """
    first, last = month_start(month_index(part.start)), month_start(month_index(part.end - 1))
    connection.execute("DELETE FROM digests WHERE series_id = ? AND month BETWEEN ? AND ?", (series_id, first, last))


def forget(connection: Connection, series_id: int, before: int) -> None:
    """Delete the digests of months that begin before `before` (ms UTC)."""
    connection.execute("DELETE FROM digests WHERE series_id = ? AND month < ?", (series_id, before))
