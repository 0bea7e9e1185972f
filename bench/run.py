"""The figures that matter, each against its baseline, measured in turn in one run; medians."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mdata.domain.interval import Range
from mdata.domain.query import Page, Query, prove
from mdata.domain.timeframe import MINUTE, TIMEFRAMES
from mdata.exchange import wire
from mdata.store import candles, coverage, pages
from mdata.store import series as table
from mdata.store.engine import SQLITE_VERSION, open_store, sqlite3

MDATA = Path(sys.executable).with_name("mdata")
NOW = time.time_ns() // 60_000_000_000 * 60_000
M1 = TIMEFRAMES["1m"]
SQL_PER_SERIES = """SELECT count(*) FROM (SELECT open_time - lag(open_time) OVER (ORDER BY open_time) AS step
                    FROM candles WHERE series_id = ?) WHERE step <> 60000"""


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def ratio(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the median ratio of two measured in turn, and the median of the first in seconds."""
    pairs = [(seconds(one), seconds(other)) for _ in range(rounds)]
    return statistics.median(a / b for a, b in pairs), statistics.median(a for a, _ in pairs)


def generate(path: Path, per_series: int, count: int) -> None:
    """Make a store of `count` series, dense and final, ending now; 1,000 candles are deleted by hand."""
    with open_store(path) as store:
        start = NOW - per_series * MINUTE
        for number in range(count):
            with store.write() as connection:
                symbol = f"tA{chr(65 + number // 10)}{number % 10}USD"
                table.introduce(connection, symbol, M1, first_candle=start, asked_at=NOW, wanted_start=start)
                series = table.find(connection, symbol, M1)
                assert series is not None
                table.move_frontier(connection, series.id, NOW, NOW)
                rows = ((start + i * MINUTE, 1.5, 2.5, 0.5, 1.25, 3.0) for i in range(per_series))
                candles.upsert(connection, series.id, rows)  # type: ignore[arg-type]
                coverage.add(connection, series.id, Range(start, NOW), "final", per_series)
        store.checkpoint()


def delete_by_hand(path: Path, gaps: int, count: int, per_series: int) -> None:
    connection = sqlite3.connect(path)
    start, step = NOW - per_series * MINUTE, per_series // (gaps // count + 1)
    for series in range(1, count + 1):
        times = [(series, start + (i + 1) * step * MINUTE) for i in range(gaps // count)]
        connection.executemany("DELETE FROM candles WHERE series_id = ? AND open_time = ?", times)
    connection.commit()
    connection.close()


def environ(folder: Path, path: Path, count: int) -> dict[str, str]:
    symbols = ",".join(f"A{chr(65 + number // 10)}{number % 10}USD" for number in range(count))
    return {
        "PATH": os.environ["PATH"], "HOME": str(folder), "DATABASE_PATH": str(path), "SYMBOLS": symbols,
        "RATE_LIMIT_STATE_PATH": str(folder / "rate.json"),
    }  # fmt: skip


def process(arguments: list[str], env: dict[str, str]) -> Callable[[], object]:
    return lambda: subprocess.run(arguments, env=env, check=True, capture_output=True)


def ingest(folder: Path, rounds: int) -> tuple[float, float]:
    """Compare a page's whole way into the store with JSON, tuples and a bare executemany."""
    pages_made = [
        json.dumps(
            [[NOW - (10_000 * (n + 1) - i) * MINUTE, 1.5, 1.25, 2.5, 0.5, 3.25 + i] for i in range(10_000)]
        ).encode()
        for n in range(rounds)
    ]
    store = open_store(folder / "ingest.db")
    with store.write() as connection:
        table.introduce(connection, "tBTCUSD", M1, first_candle=0, asked_at=NOW, wanted_start=0)
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    bare.execute("CREATE TABLE c (s INTEGER, t INTEGER, o REAL, h REAL, l REAL, c REAL, v REAL, PRIMARY KEY (s, t)) "
                 "STRICT, WITHOUT ROWID")  # fmt: skip
    waiting = iter(pages_made)
    body = b""

    def ours() -> None:
        nonlocal body
        body = next(waiting)
        payload = wire.decode(body)
        query = Query("tBTCUSD", M1, Range(payload[0][0], payload[-1][0] + MINUTE), newest_first=False)
        page: Page = wire.read_page(query, payload, NOW + 10**9)
        with store.write() as connection:
            series = table.find(connection, "tBTCUSD", M1)
            assert series is not None
            pages.apply_page(connection, series, page, prove(page), 0, "bench")

    def theirs() -> None:
        rows = [(1, r[0], r[1], r[3], r[4], r[2], r[5]) for r in json.loads(body)]
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany("INSERT INTO c VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        bare.execute("COMMIT")

    found = ratio(ours, theirs, rounds)
    store.close()
    bare.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the large store")
    quick = parser.parse_args().quick
    lines: list[str] = []

    def line(goal: str, require: str, measured: str) -> None:
        lines.append(f"| {goal} | {require} | {measured} |")
        print(lines[-1], flush=True)

    with tempfile.TemporaryDirectory(prefix="mdata-bench-") as name:
        folder = Path(name)
        # What `pip install` does for users, and an editable installation may not have.
        process([sys.executable, "-m", "compileall", "-q", "mdata"], dict(os.environ))()
        python = process([sys.executable, "-c", "pass"], dict(os.environ))
        small = folder / "small.db"
        generate(small, 50_000, 20)
        env = environ(folder, small, 20)
        found, took = ratio(process([str(MDATA), "status", "--json"], env), python, 11)
        line(
            "`status --json` ÷ `python -c pass` (1 M candles, 20 series)",
            "≤ 8",
            f"{found:.1f} ({took * 1000:.0f} ms)",
        )
        process([str(MDATA), "detect-gaps"], env)()
        found, took = ratio(process([str(MDATA), "detect-gaps"], env), python, 11)
        line("job with nothing due (`detect-gaps`) ÷ pass", "≤ 8", f"{found:.1f} ({took * 1000:.0f} ms)")
        found, took = ingest(folder, 40)
        line("ingest of a page ÷ (JSON + tuples + bare executemany)", "≤ 1.35", f"{found:.2f} ({took * 1000:.0f} ms)")
        if not quick:
            large = folder / "large.db"
            generate(large, 525_600, 20)
            env = environ(folder, large, 20)
            found, took = ratio(
                process([str(MDATA), "status", "--json"], env),
                process([str(MDATA), "status", "--json"], environ(folder, small, 20)), 9,
            )  # fmt: skip
            line("`status` at 10.5 M ÷ at 1 M candles", "≤ 1.3", f"{found:.2f} ({took * 1000:.0f} ms)")
            delete_by_hand(large, 1000, 20, 525_600)
            begin = seconds(process([str(MDATA), "detect-gaps"], env))
            line("`detect-gaps`, first run, 10.5 M candles, 1,000 deleted by hand", "–", f"{begin * 1000:.0f} ms")
            found, took = ratio(process([str(MDATA), "detect-gaps"], env), python, 9)
            line("`detect-gaps`, process, 1,000 gaps listed ÷ pass", "≤ 15", f"{found:.1f} ({took * 1000:.0f} ms)")
            connection = sqlite3.connect(large)
            lag = seconds(lambda: [connection.execute(SQL_PER_SERIES, (i,)).fetchone() for i in range(1, 21)])
            connection.close()
            line("SQL LAG per series over the same store", "–", f"{lag * 1000:.0f} ms")
    head = ["| figure | require | measured |", "|---|---|---|"]
    about = (
        f"Measured {time.strftime('%Y-%m-%d', time.gmtime())} by `make bench` on {os.cpu_count()} cores, "
        f"Python {sys.version.split()[0]}, SQLite {SQLITE_VERSION}; medians, both sides in turn in one run."
    )
    if not quick:
        Path("docs/performance.md").write_text("\n".join(["# Performance", "", about, "", *head, *lines, ""]))


if __name__ == "__main__":
    main()
