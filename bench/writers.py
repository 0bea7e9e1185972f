"""A small writer beside a bulk writer: how long it waits for the lock of the other."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.ingest import with_series
from bench.measure import Spread, number, ratio
from bench.stores import END, made_up
from bench.table import Row
from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.timeframe import MINUTE
from mdata.errors import NotNowError
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import candles, coverage
from mdata.store.engine import Store
from mdata.store.opening import open_store

_SERIES = [f"tA{letter}AUSD" for letter in "ABCDEFGHIJKLMNOPQRST"]
_PAUSE = 0.05


def rows(folder: Path, rounds: int, duration: float) -> list[Row]:
    """Let one process write pages back to back, and another the newest minute of 20 series each 50 ms.

    Beside the bulk writer, a small write waits for the lock; alone, it shows how slow the disk can be.
    """
    alone = _p99(_run(folder / "alone.db", duration, "small")["small"]["times"])
    beside = [_run(folder / f"beside-{turn}.db", duration, "bulk", "small") for turn in range(rounds)]
    holds = [Spread.of(found["bulk"]["times"]).median for found in beside]
    p99s = [_p99(found["small"]["times"]) for found in beside]
    writes = sum(len(found["small"]["times"]) for found in beside)
    told = (
        f"{number(Spread.of(p99s).median * 1000)} ms against {number(Spread.of(holds).median * 1000)} ms, "
        f"{writes:,} small writes; alone {number(alone * 1000)} ms"
    )
    errors = sum(one["errors"] for found in beside for one in found.values())
    goal = "small writer p99 next to a continuous bulk writer ÷ time that one page holds the lock"
    return [Row(goal, 3, 2, ratio(p99s, holds), told), Row("“locked” errors", 0, 0, Spread.of([errors]))]


def _run(path: Path, duration: float, *roles: str) -> dict[str, dict[str, Any]]:
    """Let processes of these roles write into a new store; return for how long each time, and errors."""
    with_series(path, "tBULKUSD", *_SERIES).close()
    # Earlier measurements have left work for the disk, which is not to be measured here.
    os.sync()
    command, ends = [sys.executable, "-m", "bench.writers"], str(time.time() + 1.5 + duration)
    running = {
        role: subprocess.Popen([*command, role, str(path), ends], stdout=subprocess.PIPE, text=True) for role in roles
    }
    return {role: json.loads(process.communicate()[0]) for role, process in running.items()}


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def _bulk(store: Store, ends: float) -> tuple[list[float], int]:
    """Write pages that were prepared before taking the lock; return how long each held the lock, and errors."""
    holds, errors, page = [], 0, 0
    while time.time() < ends:
        start = END - (page + 1) * BITFINEX.page_rows * MINUTE
        held = list(made_up(start, BITFINEX.page_rows))
        try:
            with store.write() as connection:
                begin = time.perf_counter()
                candles.upsert(connection, 1, held)
                coverage.add(connection, 1, Range(start, start + BITFINEX.page_rows * MINUTE), "final", len(held))
            # The commit and its checkpoint are part of it.
            holds.append(time.perf_counter() - begin)
        except NotNowError:
            errors += 1
        page += 1
    return holds, errors


def _small(store: Store, ends: float) -> tuple[list[float], int]:
    """Write a candle of each series; return how long each write took, the wait for the lock included, and errors."""
    took, errors, minute = [], 0, 0
    while time.time() < ends:
        candle: Candle = next(made_up(END + minute * MINUTE, 1))
        begin = time.perf_counter()
        try:
            with store.write() as connection:
                for number_of in range(2, len(_SERIES) + 2):
                    candles.upsert(connection, number_of, [candle])
            took.append(time.perf_counter() - begin)
        except NotNowError:
            errors += 1
        minute += 1
        time.sleep(_PAUSE)
    return took, errors


if __name__ == "__main__":
    with open_store(Path(sys.argv[2])) as opened:
        measured, failed = (_bulk if sys.argv[1] == "bulk" else _small)(opened, float(sys.argv[3]))
    print(json.dumps({"times": measured, "errors": failed}))
