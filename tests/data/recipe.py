"""How the stores of older releases were made: this file runs as a test of the release that it is copied into.

    tests/data/make.sh COMMIT > tests/data/NAME.sql

Everything that a store can hold is in it: several series, one without any candle, a long silence, gaps open, given
up and repaired, candles lost and put back by hand, revisions, refused rows, what cleanup removed, a run that died.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from conftest import DAY, NOW, with_settings

from mdata.domain.interval import Range
from mdata.jobs.backfill import backfill
from mdata.jobs.cleanup import cleanup
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.repair import repair
from mdata.jobs.update import update
from mdata.sandbox.faults import Fault
from mdata.sandbox.market import Pair
from mdata.store.sqlite import sqlite3

HOUR = 3_600_000


def test_make_it(context, sandbox, clock):
    pairs = sandbox.market.pairs
    pairs["tSPAUSD"] = replace(pairs["tSPAUSD"], holes=(Range(NOW - 30 * HOUR, NOW - 20 * HOUR),))
    pairs["tNILUSD"] = Pair("tNILUSD", listed=NOW + 1000 * DAY)
    given = context(SYMBOLS="BTCUSD,SPAUSD,NILUSD", TIMEFRAMES="5m,1D", BACKFILL_DAYS="3")
    path = given.store.path

    def sql(statement, *values):
        with sqlite3.connect(path) as connection:
            rows = connection.execute(statement, values).fetchall()
        connection.close()
        return rows

    backfill(given)
    ((btc,),) = sql("SELECT id FROM series WHERE symbol = 'tBTCUSD' AND timeframe = '5m'")
    clock.advance(2 * HOUR)
    update(given)
    times = [time for (time,) in sql("SELECT open_time FROM candles WHERE series_id = ? ORDER BY open_time", btc)]

    def delete(first, count, series=btc):
        sql("DELETE FROM candles WHERE series_id = ? AND open_time BETWEEN ? AND ?", series, times[first],
            times[first + count - 1])  # fmt: skip

    # Given up: eight answers that proved nothing.
    delete(600, 2)
    detect_gaps(given)
    sandbox.faults = [Fault("shifted")]
    for _ in range(12):
        repair(given)
        clock.advance(9 * DAY)
        if sql("SELECT 1 FROM data_gaps WHERE status = 'failed'"):
            break
    sandbox.faults = []
    clock.wall = NOW + 3 * HOUR
    # Repaired, with a revision and a candle that the exchange does not have any more.
    sandbox.market.revised["tBTCUSD", "5m", times[201]] = (times[201], 9.0, 9.0, 9.0, 9.0, 9.0)
    sandbox.market.revised["tBTCUSD", "5m", times[203]] = None
    delete(200, 1)
    delete(202, 1)
    delete(204, 1)
    detect_gaps(given)
    repair(given)
    # Refused: an interval stays unknown; the newest candle has not settled.
    clock.advance(HOUR + 90_000)
    sandbox.faults = [
        Fault("spoil", symbol="tBTCUSD", timeframe="5m", parameters={"row": 4, "column": 3, "value": 0})
    ]
    update(given)
    sandbox.faults = []
    # Open, with an attempt.
    delete(300, 3)
    detect_gaps(given)
    sandbox.faults = [Fault("empty", times=1)]
    repair(given, retry_failed=False)
    sandbox.faults = []
    cleanup(with_settings(given, retention_days_by_timeframe={"5m": 2}))
    # Lost, and not yet a gap; put back by hand; deleted, put back and deleted again.
    delete(400, 5)
    kept = sql("SELECT * FROM candles WHERE series_id = ? AND open_time BETWEEN ? AND ?", btc, times[420], times[424])
    for _ in range(2):
        delete(420, 5)
        for row in kept:
            sql("INSERT INTO candles VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
    again = sql(
        "SELECT * FROM candles WHERE series_id = ? AND open_time BETWEEN ? AND ?", btc, times[450], times[454]
    )
    delete(450, 5)
    for row in again:
        sql("INSERT INTO candles VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
    delete(450, 5)
    columns = "command, started_at, outcome, pid, host, boot_id, version"
    sql(f"INSERT INTO ingestion_jobs ({columns}) VALUES ('backfill', ?, 'running', 1, 'here', 'b', '0')", clock.now())
    sql("UPDATE ingestion_jobs SET pid = 1")
    given.store.close()
    dump(path, Path(os.environ["OLD_STORE"]))


def dump(path, to):
    """Write the store as SQL, with the standard library's SQLite: the other one cannot."""
    code = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
for name in ("application_id", "user_version"):
    print(f"PRAGMA {name}={connection.execute('PRAGMA ' + name).fetchone()[0]};")
for line in connection.iterdump():
    print(line)
"""
    with to.open("w", encoding="utf-8") as stream:
        subprocess.run([sys.executable, "-c", code, path], check=True, stdout=stream)
