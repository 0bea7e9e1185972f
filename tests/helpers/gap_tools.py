"""Gaps made by deleting candles, and what the ledger says of them."""

from collections.abc import Callable

from conftest import DAY, NOW

from mdata.jobs.repair import repair
from mdata.running.context import Context
from mdata.store.sqlite import sqlite3

MakeContext = Callable[..., Context]


MINUTE = 60_000


TODAY = NOW - NOW % DAY


def delete(context: Context, *open_times: int, symbol: str = "tBTCUSD") -> None:
    """Delete candles as a person with any SQLite tool would."""
    connection = sqlite3.connect(context.store.path)
    connection.executemany(
        "DELETE FROM candles WHERE open_time = ? AND series_id = (SELECT id FROM series WHERE symbol = ?)",
        [(time, symbol) for time in open_times],
    )
    connection.commit()
    connection.close()


def gap_ranges(context: Context, status: str = "open") -> list[tuple[int, int]]:
    rows = context.store.connection.execute(
        "SELECT start_time, end_time FROM data_gaps WHERE status = ? ORDER BY series_id, start_time", (status,)
    )
    return rows.fetchall()


def runs_of(times: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for time in sorted(times):
        if found and found[-1][1] == time:
            found[-1] = (found[-1][0], time + MINUTE)
        else:
            found.append((time, time + MINUTE))
    return found


def repair_fully(context: Context) -> int:
    requests = 0
    while True:
        result = repair(context)
        requests += result.tally.requests
        if result.exit != 3 or result.tally.requests == 0:
            return requests


def counted_wrong(context: Context) -> list[tuple[int, ...]]:
    return context.store.connection.execute(
        """SELECT * FROM coverage WHERE candles <> (SELECT count(*) FROM candles WHERE series_id = coverage.series_id
           AND open_time >= start_time AND open_time < end_time)"""
    ).fetchall()
