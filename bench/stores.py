"""Stores to measure on: dense series of generated candles, and their ledger."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.timeframe import MINUTE, TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import candles, coverage
from mdata.store import series as table
from mdata.store.opening import open_store
from mdata.store.sqlite import sqlite3

# All stores end here, and this is the current time for the measured processes.
NOW = 1_767_225_905_000  # 2026-01-01 00:05:05 UTC
M1 = TIMEFRAMES["1m"]
END = M1.closed_end(NOW)
SERIES = 20
YEAR = 525_600  # minutes


@dataclass(frozen=True, slots=True)
class Store:
    """A database of `SERIES` series with the same number of minutes each, and the environment to use it."""

    path: Path
    minutes: int

    @property
    def rows(self) -> int:
        """How many candles it would have without gaps."""
        return self.minutes * SERIES

    def environ(self, **settings: str) -> dict[str, str]:
        """Return the environment of a process that uses this store at `NOW`."""
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path.parent),
            "DATABASE_PATH": str(self.path),
            "RATE_LIMIT_STATE_PATH": str(self.path.with_suffix(".rate")),
            "SYMBOLS": ",".join(symbol(number) for number in range(SERIES)),
            "BACKFILL_DAYS": "0",
            # A clock that almost stands still, only allowed for a rehearsal on loopback; nothing is requested there.
            "MDATA_REHEARSAL": f"{NOW},{boot!r},0.001",
            "BITFINEX_REST_URL": "http://127.0.0.1:9/v2",
            "BITFINEX_WS_URL": "ws://127.0.0.1:9/ws/2",
            **settings,
        }


def symbol(number: int) -> str:
    """Return the name of the series with this number."""
    return f"tA{chr(65 + number // 10)}{number % 10}USD"


def made_up(start: int, count: int, series: int = 0) -> Iterator[Candle]:
    """Yield dense one-minute candles from `start` (ms UTC) on; a minute of a series always has the same candle."""
    for minute in range(start // MINUTE, start // MINUTE + count):
        price = 40_000 + series * 100 + minute % 997 / 10
        yield (minute * MINUTE, price, price + 7.5, price - 7.5, price + 1.25, 0.25 + minute % 89 / 100)


def generate(path: Path, minutes: int, *, holes: int = 0, lost: int = 0) -> Store:
    """Create a store with `holes` unanswered stretches and `lost` deleted candles, spread over its series."""
    store = Store(path, minutes)
    with open_store(path) as opened:
        for number in range(SERIES):
            start = END - minutes * MINUTE
            with opened.write() as connection:
                table.introduce(connection, BITFINEX, symbol(number), M1, wanted_start=start)
                table.begins_at(connection, number + 1, start, NOW)
                series = table.find(connection, BITFINEX, symbol(number), M1)
                assert series is not None
                table.move_frontier(connection, series.id, END, END)
                parts = _parts(start, minutes, holes // SERIES)
                for part in parts:
                    count = M1.count(*part)
                    candles.upsert(connection, series.id, list(made_up(part.start, count, number)))
                    coverage.add(connection, series.id, part, "final", count)
        opened.checkpoint()
    _delete_by_hand(store, lost)
    return store


def _parts(start: int, minutes: int, holes: int) -> list[Range]:
    """Return what is covered: all but `holes` stretches of three minutes, evenly spread."""
    length = minutes // (holes + 1)
    ends = [start + (number + 1) * length * MINUTE for number in range(holes)] + [END]
    starts = [start] + [end + 3 * MINUTE for end in ends[:-1]]
    return [Range(*part) for part in zip(starts, ends, strict=True)]


def _delete_by_hand(store: Store, lost: int) -> None:
    connection = sqlite3.connect(store.path)
    share = lost // SERIES
    step = store.minutes // (share + 1)
    for series in range(1, SERIES + 1):
        # Seven minutes away from the middle between two holes, wherever those are.
        times = [(series, END - (step * (number + 1) + 7) * MINUTE) for number in range(share)]
        connection.executemany("DELETE FROM candles WHERE series_id = ? AND open_time = ?", times)
    connection.commit()
    connection.close()
