"""What a timer costs: start-up compared with a bare Python, the shared state, and the delay of the stream.

    .venv/bin/python bench/scheduling.py [--minutes 5]

Prints the figures that docs/SCHEDULING.md gives. Processor times, and their ratios, are valid on a busy machine too.
"""

import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mdata.clock import SystemClock
from mdata.domain.priority import Priority
from mdata.ratelimit import RateLimit
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox
from mdata.store.sqlite import sqlite3

MDATA = str(Path(sys.executable).with_name("mdata"))
PAIRS = [f"t{name}USD" for name in ("BTC", "ETH", "SOL", "LTC")]


def cost(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Return the processor time and the wall time of one run, ms."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, env=env, capture_output=True, check=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000, wall * 1000


def start_up(env: dict[str, str], rounds: int) -> None:
    runs = {
        "python -c pass": [sys.executable, "-c", "pass"],
        **{
            name: [MDATA, *name.split()] for name in ("update", "backfill", "detect-gaps", "repair", "status --check")
        },
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, command in runs.items():
            found[name].append(cost(command, env))
    bare = statistics.median(cpu for cpu, _ in found["python -c pass"])
    print("| run with nothing to do | processor | × bare Python | wall, fastest |\n|---|---|---|---|")
    for name, figures in found.items():
        cpu = statistics.median(cpu for cpu, _ in figures)
        print(f"| `{name}` | {cpu:.0f} ms | {cpu / bare:.1f} | {min(wall for _, wall in figures):.0f} ms |")


def shared_state(folder: Path, rounds: int) -> None:
    limit = RateLimit(folder / "state.json", 0.0, 60.0, SystemClock(), random.Random(1).uniform)
    began = time.monotonic()
    for _ in range(rounds):
        limit.acquire(Priority.UPDATE, lambda: True)
        limit.sent()
        limit.answered()
    print(f"\nshared rate budget: {(time.monotonic() - began) / rounds * 1e6:.0f} µs for a request's slot")


def lateness(env: dict[str, str], database: Path, minutes: int) -> None:
    """Stream on the real clock, and see how long after its close each candle can be read by others."""
    process = subprocess.Popen([MDATA, "stream", "--for", f"{minutes * 60 + 20}s", "-q"], env=env)
    began, seen, delays = time.time(), set(), []
    while process.poll() is None:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        rows = connection.execute(
            "SELECT symbol, open_time FROM ohlcv WHERE open_time > ?", (int((began - 60) * 1000),)
        ).fetchall()
        connection.close()
        now = time.time()
        for row in rows:
            if row not in seen:
                seen.add(row)
                closed = row[1] / 1000 + 60
                if closed > began + 5:
                    delays.append(now - closed)
        time.sleep(0.02)
    delays.sort()
    print(
        f"\nstream, {len(delays)} candles of {len(PAIRS)} series in {minutes} min: readable after the close by "
        f"{statistics.median(delays):.2f} s (median), {delays[-1]:.2f} s (slowest)"
    )


def main() -> None:
    minutes = int(sys.argv[sys.argv.index("--minutes") + 1]) if "--minutes" in sys.argv else 5
    with tempfile.TemporaryDirectory() as name, Sandbox(Market({pair: Pair(pair) for pair in PAIRS})) as sandbox:
        folder = Path(name)
        database = folder / "mdata.db"
        env = {
            "PATH": os.environ["PATH"], "HOME": name, "SYMBOLS": ",".join(PAIRS), "DATABASE_PATH": str(database),
            "RATE_LIMIT_STATE_PATH": str(folder / "rate-limit.json"), "RATE_LIMIT_DELAY": "0", "BACKFILL_DAYS": "30",
            "BITFINEX_REST_URL": sandbox.rest_url, "BITFINEX_WS_URL": sandbox.ws_url,
        }  # fmt: skip
        subprocess.run([MDATA, "backfill", "-q"], env=env, check=True)
        # No candle closes during the measurement.
        idle = {**env, "TIMEFRAMES": "1M", "DATABASE_PATH": str(folder / "idle.db")}
        subprocess.run([MDATA, "backfill", "-q"], env=idle, check=True)
        start_up(idle, 15)
        shared_state(folder, 2000)
        if minutes:
            lateness(env, database, minutes)


if __name__ == "__main__":
    main()
