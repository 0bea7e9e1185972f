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
from mdata.domain.interval import Range
from mdata.domain.timeframe import DAY, HOUR, MINUTE
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import RateRule, Sandbox
from mdata.store.sqlite import sqlite3

_SPEED = 5
# The documented limit of Bitfinex: 30 requests in any minute.
_RULE = RateRule(per_minute=30)
# Evenly spaced, and just within mdata's own limit of 27 a minute.
_DELAY = 2.25


def rows(folder: Path, days: int, pages: int) -> list[Row]:
    """Backfill some days of a dense and a sparse pair, then measure one process and eight at the real limit."""
    return [
        requests(folder, days, "dense", 1.0, 3),
        requests(folder, days, "sparse", 0.1, 4),
        *steady(folder),
        *_share(folder, 1, pages),
        *_share(folder, 8, pages // 8 + 1),
    ]


def requests(folder: Path, days: int, name: str, density: float, most: int) -> Row:
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
    least = math.ceil(stored / BITFINEX.page_rows)
    told = f"{asked} for {stored:,} rows, {days} days of a {name} pair"
    goal = f"requests of a full backfill beyond ceil(rows ÷ 10,000), {name}"
    return Row(goal, most, 1, Spread.of([asked - least]), told)


def steady(folder: Path) -> list[Row]:
    """Run backfill each hour for a day, for a pair that trades and for one that has not traded for 40 days."""
    silent = Range(END - 40 * DAY, END + 40 * DAY)
    pairs = {"live": Pair("tBTCUSD", listed=END - 90 * DAY), "dead": Pair("tETHUSD", END - 90 * DAY, holes=(silent,))}
    found = []
    for name, pair in pairs.items():
        path, origin = folder / f"steady-{name}.db", _rehearsal(1)
        asked = []
        for hour in range(26):
            clock = (origin[0] + hour * HOUR, *origin[1:])
            with Sandbox(Market({pair.symbol: pair}), RehearsalClock(*clock)) as sandbox:
                symbol = pair.symbol.removeprefix("t")
                env = _environ(path, sandbox, clock, BACKFILL_DAYS="60", RATE_LIMIT_DELAY="0", SYMBOLS=symbol)
                assert subprocess.run([MDATA, "backfill"], env=env, check=False, **QUIET).returncode == 0
                asked.append(len(sandbox.requests))
        # The first two runs fetch candles, and ask again about doubtful answers.
        told, most = f"{sum(asked[2:])} in 24 runs, an hour apart", 1 if name == "live" else 1 / 24
        goal = f"requests per hour and series, once all is there, a {name} pair"
        found.append(Row(goal, most, most, Spread.of([sum(asked[2:]) / 24]), told))
    return found


def _share(folder: Path, processes: int, pages: int) -> list[Row]:
    """Let processes with a store each share one budget, at ten times real time."""
    count, shared = pages * BITFINEX.page_rows, folder / f"budget-{processes}"
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
        # The first process that ends has no work left; only the time before that is measured.
        while all(process.poll() is None for process in running):
            time.sleep(0.02)
        ended = clock.boottime()
        for process in running:
            process.terminate()
            process.wait()
        asked = sandbox.requests
    at = [one.boottime for one in asked if one.boottime <= ended]
    # The first part is start-up.
    at = at[processes:]
    used = (len(at) - 1) * _DELAY / (at[-1] - at[0])
    refused = sum(one.status == 429 for one in asked)
    what = f"{processes} process{'es' if processes > 1 else ''}"
    lasted = number(at[-1] - at[0])
    told = f"{len(at)} requests in {lasted} s of a clock that runs {_SPEED} times as fast as real time"
    return [
        Row(f"share of the shared budget used while work remains, {what}", 0.95, 0.99, Spread.of([used]), told,
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
