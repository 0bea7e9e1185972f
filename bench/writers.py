"""A small writer beside a bulk writer: how long the one waits for what the other holds."""

import json
import subprocess
import sys
import time
from pathlib import Path

from bench.ingest import with_series
from bench.measure import Spread, number
from bench.stores import END, made_up
from bench.table import Row
from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.query import PAGE_LIMIT
from mdata.domain.timeframe import MINUTE
from mdata.errors import NotNowError
from mdata.store import candles, coverage
from mdata.store.engine import Store, open_store

_SERIES = [f"tA{letter}AUSD" for letter in "ABCDEFGHIJKLMNOPQRST"]
_PAUSE = 0.05


def rows(folder: Path, duration: float) -> list[Row]:
    """Let one process write pages back to back, and another the newest minute of 20 series each 50 ms."""
    path = folder / "writers.db"
    with_series(path, "tBULKUSD", *_SERIES).close()
    ends = time.time() + 1.5 + duration
    roles = {
        role: subprocess.Popen(
            [sys.executable, "-m", "bench.writers", role, str(path), str(ends)], stdout=subprocess.PIPE, text=True
        )
        for role in ("bulk", "small")
    }
    found = {role: json.loads(process.communicate()[0]) for role, process in roles.items()}
    holds, waits = Spread.of(found["bulk"]["holds"]), sorted(found["small"]["holds"])
    p99 = waits[int(len(waits) * 0.99)]
    told = f"{number(p99 * 1000)} ms against {number(holds.median * 1000)} ms, {len(waits)} small writes"
    errors = sum(one["errors"] for one in found.values())
    goal = "small writer p99 beside a back-to-back bulk writer ÷ lock hold of one page"
    return [Row(goal, 3, 2, Spread.of([p99 / holds.median]), told), Row("“locked” errors", 0, 0, Spread.of([errors]))]


def _bulk(store: Store, ends: float) -> tuple[list[float], int]:
    """Write pages, made before the lock is asked for; return for how long each held the lock, and errors."""
    holds, errors, page = [], 0, 0
    while time.time() < ends:
        start = END - (page + 1) * PAGE_LIMIT * MINUTE
        held = list(made_up(start, PAGE_LIMIT))
        try:
            with store.write() as connection:
                begin = time.perf_counter()
                candles.upsert(connection, 1, held)
                coverage.add(connection, 1, Range(start, start + PAGE_LIMIT * MINUTE), "final", len(held))
            holds.append(time.perf_counter() - begin)
        except NotNowError:
            errors += 1
        page += 1
    return holds, errors


def _small(store: Store, ends: float) -> tuple[list[float], int]:
    """Write a candle of each series; return how long each write took, the wait for the lock included, and errors."""
    waits, errors, minute = [], 0, 0
    while time.time() < ends:
        candle: Candle = next(made_up(END + minute * MINUTE, 1))
        begin = time.perf_counter()
        try:
            with store.write() as connection:
                for number_of in range(2, len(_SERIES) + 2):
                    candles.upsert(connection, number_of, [candle])
            waits.append(time.perf_counter() - begin)
        except NotNowError:
            errors += 1
        minute += 1
        time.sleep(_PAUSE)
    return waits, errors


if __name__ == "__main__":
    with open_store(Path(sys.argv[2])) as opened:
        measured, failed = (_bulk if sys.argv[1] == "bulk" else _small)(opened, float(sys.argv[3]))
    print(json.dumps({"holds": measured, "errors": failed}))
