"""Requests: how many a full backfill needs, and how much of the shared budget is used while work is left."""

import math
import os
import subprocess
import time
from pathlib import Path

from bench.measure import QUIET, Spread, number
from bench.start import MDATA
from bench.stores import END, NOW, made_up
from bench.table import Row
from mdata.clock import RehearsalClock
from mdata.domain.query import PAGE_LIMIT
from mdata.domain.timeframe import DAY, MINUTE
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import RateRule, Sandbox
from mdata.store.engine import sqlite3

_SPEED = 5
# What Bitfinex documents: 30 requests in any minute.
_RULE = RateRule(per_minute=30)
# Evenly spaced, and just within what mdata sends in a minute: 27.
_DELAY = 2.25


def rows(folder: Path, days: int, pages: int) -> list[Row]:
    """Backfill a dense and a sparse pair of so many days, then measure one process and eight at the true limit."""
    return [
        requests(folder, days, "dense", 1.0),
        requests(folder, days, "sparse", 0.1),
        *_share(folder, 1, pages),
        *_share(folder, 8, pages // 8 + 1),
    ]


def requests(folder: Path, days: int, name: str, density: float) -> Row:
    pair = Pair("tBTCUSD", listed=END - 2 * days * DAY, density=density)
    path, rehearsal = folder / f"{name}.db", _rehearsal(1)
    with Sandbox(Market({pair.symbol: pair}), RehearsalClock(*rehearsal)) as sandbox:
        env = _environ(path, sandbox, rehearsal, BACKFILL_DAYS=str(days), RATE_LIMIT_DELAY="0")
        process = subprocess.Popen([MDATA, "backfill"], env=env, **QUIET)
        assert process.wait() == 0
        asked = len(sandbox.requests)
    connection = sqlite3.connect(path)
    (stored,) = connection.execute("SELECT count(*) FROM candles").fetchone()
    connection.close()
    least = math.ceil(stored / PAGE_LIMIT)
    told = f"{asked} for {stored:,} rows, {days} days of a {name} pair"
    goal = f"requests of a full backfill beyond ceil(rows ÷ 10,000), {name}"
    return Row(goal, 0.1 * least + 3, 1, Spread.of([asked - least]), told)


def _share(folder: Path, processes: int, pages: int) -> list[Row]:
    """Let processes with a store each share one budget, at ten times the speed of life."""
    count, shared = pages * PAGE_LIMIT, folder / f"budget-{processes}"
    shared.mkdir()
    market = Market({}, recorded={("tBTCUSD", "1m"): list(made_up(END - count * MINUTE, count))})
    rehearsal = _rehearsal(_SPEED)
    clock = RehearsalClock(*rehearsal)
    with Sandbox(market, clock, rule=_RULE) as sandbox:
        settings = {"BACKFILL_DAYS": str(count // 1440), "RATE_LIMIT_DELAY": str(_DELAY), "RATE_LIMIT_BURST": "1"}
        running = []
        for number_of in range(processes):
            env = _environ(shared / f"{number_of}.db", sandbox, rehearsal, **settings)
            running.append(subprocess.Popen([MDATA, "backfill"], env=env, **QUIET))
        # The first to end has no work left: what comes later is another question.
        while all(process.poll() is None for process in running):
            time.sleep(0.02)
        ended = clock.boottime()
        for process in running:
            process.terminate()
            process.wait()
        asked = sandbox.requests
    at = [one.boottime for one in asked if one.boottime <= ended]
    # The beginning belongs to starting up.
    at = at[processes:]
    used = (len(at) - 1) * _DELAY / (at[-1] - at[0])
    refused = sum(one.status == 429 for one in asked)
    what = f"{processes} process{'es' if processes > 1 else ''}"
    told = f"{len(at)} requests in {number(at[-1] - at[0])} s, {_SPEED} times as fast as life"
    return [
        Row(f"share of the shared budget used while work is left, {what}", 0.95, 0.99, Spread.of([used]), told,
            at_least=True),
        Row(f"requests over the limit of 30 a minute, {what}", 0, 0, Spread.of([refused])),
    ]  # fmt: skip


def _rehearsal(speed: float) -> tuple[int, float, float]:
    return NOW, time.clock_gettime(time.CLOCK_BOOTTIME), speed


def _environ(path: Path, sandbox: Sandbox, rehearsal: tuple[int, float, float], **settings: str) -> dict[str, str]:
    """Return the environment of a process with a store at `path`, whose folder shares one rate budget."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(path.parent),
        "DATABASE_PATH": str(path),
        "RATE_LIMIT_STATE_PATH": str(path.with_name("rate-limit.json")),
        "SYMBOLS": "BTCUSD",
        "BITFINEX_REST_URL": sandbox.rest_url,
        "BITFINEX_WS_URL": sandbox.ws_url,
        "MDATA_REHEARSAL": ",".join(map(repr, rehearsal)),
        **settings,
    }
