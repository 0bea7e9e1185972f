"""Start-up: whole processes against `python -c pass`, and a backfill up to its first request."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.measure import QUIET, Spread, cost, in_turn, ratio
from bench.stores import END, Store
from bench.table import Row

MDATA = Path(sys.executable).with_name("mdata")
NOTHING_DUE = ("update", "backfill", "repair", "detect-gaps")


def process(environ: Mapping[str, str], *arguments: str) -> Callable[[], float]:
    """Return a work that runs `mdata` with these arguments and returns its seconds; it has to end well."""

    def run() -> float:
        found = cost([MDATA, *arguments], environ, Path(environ["HOME"]))
        if found.exit != 0:
            raise RuntimeError(f"mdata {' '.join(arguments)} ended with {found.exit}")
        return found.wall

    return run


def nothing() -> float:
    """Run Python for nothing."""
    return cost([sys.executable, "-c", "pass"]).wall


def rows(with_gaps: Store, whole: Store, rounds: int) -> list[Row]:
    """Measure how long it takes until a command has begun, or found nothing to do."""
    env = with_gaps.environ()
    passed, status = in_turn(rounds, nothing, process(env, "status", "--json"))
    found = [
        Row("`status --json` ÷ `python -c pass` (1 M candles, 20 series, 1,000 gaps)", 8, 6, ratio(status, passed),
            f"{Spread.of(status).median * 1000:.0f} ms"),
        Row("5 s (a run of what mdata replaces) ÷ `status`", 30, 60, Spread.of([5 / one for one in status]),
            at_least=True),
    ]  # fmt: skip
    env = whole.environ()
    passed, *idle = in_turn(rounds, nothing, *(process(env, command, "--json") for command in NOTHING_DUE))
    ratios = dict(zip(NOTHING_DUE, (ratio(one, passed) for one in idle), strict=True))
    slowest = max(ratios, key=lambda command: ratios[command].median)
    all_of_them = ", ".join(f"`{command}` {spread.median:.1f}" for command, spread in ratios.items())
    found.append(Row("a job with nothing due ÷ pass (the slowest of four)", 8, 6, ratios[slowest], all_of_them))
    passed, first = in_turn(rounds, nothing, lambda: first_request(whole))
    goal = "`backfill` up to its first request ÷ pass"
    found.append(Row(goal, 17, 12, ratio(first, passed), f"{Spread.of(first).median * 1000:.0f} ms"))
    return found


def first_request(store: Store) -> float:
    """Return the seconds from the start of a backfill until its first request has come."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        env = store.environ(
            BITFINEX_REST_URL=f"http://127.0.0.1:{server.getsockname()[1]}/v2",
            RATE_LIMIT_DELAY="0",
            # An hour later: there is something to ask.
            MDATA_REHEARSAL=f"{END + 3_600_000},{time.clock_gettime(time.CLOCK_BOOTTIME)!r},1.0",
        )
        begin = time.perf_counter()
        running = subprocess.Popen([MDATA, "backfill"], env=env, cwd=store.path.parent, **QUIET)
        connection, _ = server.accept()
        with connection:
            connection.recv(1)
            taken = time.perf_counter() - begin
            running.kill()
            os.waitpid(running.pid, 0)
            running.returncode = -9
    return taken
