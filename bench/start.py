"""Start-up: whole processes compared with `python -c pass`, and a backfill up to its first request."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.measure import PYTHON, QUIET, Cost, Spread, against, cost, in_turn, number, walls
from bench.stores import END, Store
from bench.table import Row

MDATA = Path(sys.executable).with_name("mdata")
NOTHING_DUE = ("update", "backfill", "repair", "detect-gaps")


def process(environ: Mapping[str, str], *arguments: str) -> Callable[[], Cost]:
    """Return a work that runs `mdata` with these arguments and returns what it took; it must succeed."""

    def run() -> Cost:
        found = cost([MDATA, *arguments], environ, Path(environ["HOME"]))
        if found.exit != 0:
            raise RuntimeError(f"mdata {' '.join(arguments)} ended with {found.exit}")
        return found

    return run


def nothing() -> Cost:
    """Run Python without any work."""
    return cost([*PYTHON, "pass"])


def rows(with_gaps: Store, whole: Store, rounds: int) -> list[Row]:
    """Measure how long a command takes to start, or to find nothing to do."""
    passed, status = in_turn(rounds, nothing, process(with_gaps.environ(), "status", "--json"))
    found, processor = against(status, passed)
    took = Spread.of(walls(status)).median
    goals = [
        Row("`status --json` ÷ `python -c pass` (1 M candles, 20 series, 1,000 gaps)", 8, 6, found,
            f"{processor}; {took * 1000:.0f} ms"),
        Row("5 s (one run of the predecessor) ÷ `status`", 30, 60, Spread.of([5 / one for one in walls(status)]),
            at_least=True),
    ]  # fmt: skip
    passed, *idle = in_turn(
        rounds, nothing, *(process(whole.environ(), command, "--json") for command in NOTHING_DUE)
    )
    ratios = {command: against(one, passed) for command, one in zip(NOTHING_DUE, idle, strict=True)}
    slowest, processor = max(ratios.values(), key=lambda found: found[0].median)
    told = ", ".join(f"`{command}` {found.median:.1f}" for command, (found, _) in ratios.items())
    goals.append(Row("a job with nothing to do ÷ pass (the slowest of four)", 8, 6, slowest, f"{processor}; {told}"))
    passed, first = in_turn(rounds, nothing, lambda: first_request(whole))
    found, processor = against(first, passed)
    told = f"{processor}; {number(Spread.of(walls(first)).median * 1000)} ms"
    return [*goals, Row("`backfill` up to its first request ÷ pass", 17, 12, found, told)]


def first_request(store: Store) -> Cost:
    """Return what a backfill takes from its start until its first request arrives."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        env = store.environ(
            BITFINEX_REST_URL=f"http://127.0.0.1:{server.getsockname()[1]}/v2",
            RATE_LIMIT_DELAY="0",
            # An hour later, so that there is something to fetch.
            MDATA_REHEARSAL=f"{END + 3_600_000},{time.clock_gettime(time.CLOCK_BOOTTIME)!r},1.0",
        )
        begin = time.perf_counter()
        running = subprocess.Popen([MDATA, "backfill"], env=env, cwd=store.path.parent, **QUIET)
        connection, _ = server.accept()
        with connection:
            connection.recv(1)
            taken = time.perf_counter() - begin
            running.kill()
            _, _, used = os.wait4(running.pid, 0)
            running.returncode = -9
    return Cost(taken, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, 0)
