"""Small jobs that a person waits for, at the default budget, with 0.2 s per answer and the real rate limit."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

from bench.measure import Spread, number
from bench.start import process
from bench.stores import END, NOW, SERIES, Store, generate, made_up, symbol
from bench.table import Row
from mdata.clock import RehearsalClock
from mdata.domain.timeframe import HOUR, MINUTE
from mdata.sandbox.market import Market
from mdata.sandbox.server import RateRule, Sandbox

_SERIES = 10
_GAPS = 5
# Far enough apart that no two of the gaps fit on one page.
_APART = 12_000
_LATENCY = 0.2


def rows(folder: Path, rounds: int) -> list[Row]:
    """Measure an `update` of ten series, and a `repair` of five gaps far from one another."""
    return [update(folder, rounds), repair(folder, rounds)]


def update(folder: Path, rounds: int) -> Row:
    store = generate(folder / "fresh.db", 1440)
    return _measure(store, "update", _SERIES, rounds, f"`update` of ten series, {_LATENCY} s per answer, seconds")


def repair(folder: Path, rounds: int) -> Row:
    store = generate(folder / "torn.db", _APART * (_GAPS + 1), holes=_GAPS * SERIES)
    process(store.environ(SYMBOLS=symbol(0)), "detect-gaps")()
    return _measure(store, "repair", 1, rounds, f"`repair` of five requests, {_LATENCY} s per answer, seconds")


def _measure(store: Store, command: str, series: int, rounds: int, goal: str) -> Row:
    names = [symbol(one) for one in range(series)]
    count = store.minutes + 60
    recorded = {
        (name, "1m"): list(made_up(END - store.minutes * MINUTE, count, one)) for one, name in enumerate(names)
    }
    took, told = [], ""
    for _ in range(rounds):
        copy = replace(store, path=store.path.with_name(f"{command}.db"))
        shutil.copy(store.path, copy.path)
        # An hour later, so that there is something to fetch.
        origin = NOW + HOUR, time.clock_gettime(time.CLOCK_BOOTTIME), 1.0
        market, rule = Market({}, recorded=recorded), RateRule(per_minute=30)
        with Sandbox(market, RehearsalClock(*origin), rule=rule, latency=_LATENCY) as sandbox:
            env = copy.environ(
                SYMBOLS=",".join(names),
                RATE_LIMIT_STATE_PATH=str(copy.path.with_name(f"{command}-{len(took)}") / "rate-limit.json"),
                BITFINEX_REST_URL=sandbox.rest_url,
                MDATA_REHEARSAL=",".join(map(repr, origin)),
            )
            took.append(process(env, command)().wall)
            refused = sum(one.status != 200 for one in sandbox.requests)
            told = f"{number(len(sandbox.requests))} requests, {refused} refused"
    return Row(goal, 4, 3, Spread.of(took), told)
