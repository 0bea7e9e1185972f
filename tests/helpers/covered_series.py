"""A series with coverage of every kind, written by hand."""

from typing import Any

from conftest import DAY, NOW

from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.domain.timeframe import MINUTE, TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import candles, coverage
from mdata.store import series as table
from mdata.store.connection import Connection

M1 = TIMEFRAMES["1m"]


SETTLE = 120_000


def new_series(connection: Connection, symbol: str, timeframe: str = "1m", **known: Any) -> Series:
    grid = TIMEFRAMES[timeframe]
    table.introduce(connection, BITFINEX, symbol, grid, known.get("wanted_start", grid.floor(NOW - DAY)))
    found = table.find(connection, BITFINEX, symbol, grid)
    assert found is not None
    table.begins_at(connection, found.id, known.get("first_candle", grid.floor(NOW - 365 * DAY)), NOW)
    return table.find(connection, BITFINEX, symbol, grid) or found


def cover(connection: Connection, series: Series, part: Range, kind: coverage.CoverageKind, times: list[int]) -> None:
    candles.upsert(connection, series.id, [(time, 2.0, 3.0, 1.0, 2.0, 5.0) for time in times])
    coverage.add(connection, series.id, part, kind, len(times))


def covered_to(connection: Connection, symbol: str, end: int, last: int | None = None) -> Series:
    start = M1.floor(NOW - 100 * DAY)
    series = new_series(connection, symbol, wanted_start=start)
    cover(connection, series, Range(start, M1.floor(end)), "final", [M1.floor(last or end - MINUTE)])
    return series
