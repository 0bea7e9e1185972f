"""How cost grows with the store: the same work at 1, 5 and 10 million candles, always with the same gaps."""

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench.measure import cost, in_turn, number, walls
from bench.start import MDATA, process
from bench.stores import END, M1, NOW, SERIES, Store, made_up, symbol
from mdata.clock import RehearsalClock
from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.query import Page, Query
from mdata.domain.timeframe import DAY, MINUTE, Timeframe
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox
from mdata.store import pages
from mdata.store import series as table
from mdata.store.opening import open_store
from mdata.store.sqlite import sqlite3

_READ = 40_000
_SERIES = 7  # any of them
_NUMBERS = {symbol(number_of): number_of for number_of in range(SERIES)}


def head(stores: list[Store]) -> list[str]:
    """Return the columns: one for each store."""
    return ["work", *(f"{store.rows / 1e6:.1f} M candles" for store in stores), "largest ÷ smallest"]


def rows(stores: list[Store], rounds: int) -> list[list[str]]:
    """Measure the stores in turn; they are changed by that."""
    sizes = [store.path.stat().st_size / store.rows for store in stores]
    found = {"file, bytes per candle": sizes}
    for command, more in (("status", ()), ("detect-gaps", ()), ("verify", ("--dry-run",))):
        runs = [process(store.environ(), command, "--json", *more) for store in stores]
        costs = in_turn(rounds, *runs)
        found[f"`{command}`, ms"] = [statistics.median(walls(one)) * 1000 for one in costs]
    reading = [partial(_export, store) for store in stores]
    found[f"`export` of {_READ:,} minutes, ms"] = _medians(rounds, reading)
    found["ingest of a page, ms"] = _medians(rounds, [ingests(store, rounds + 1).__next__ for store in stores])
    for work in (_repair, _cleanup):
        figures = [work(store) for store in stores]
        found |= {name: [figure[name] for figure in figures] for name in figures[0]}
    return [[name, *map(number, values), number(values[-1] / values[0])] for name, values in found.items()]


def _medians(rounds: int, works: list[Callable[[], float]]) -> list[float]:
    return [statistics.median(one) * 1000 for one in in_turn(rounds, *works)]


def _export(store: Store) -> float:
    """Write the middle of a series into a CSV file."""
    start = END - (store.minutes // 2 + _READ // 2) * MINUTE
    within = ("--since", str(start), "--until", str(start + _READ * MINUTE), "--output", str(store.path) + ".csv")
    found = cost([MDATA, "export", "--symbol", symbol(3), *within], store.environ())
    assert found.exit == 3, "gaps are in it"
    return found.wall


def ingests(store: Store, count: int) -> Iterator[float]:
    """Yield the seconds of applying pages that are older than all others of their series."""
    with open_store(store.path) as opened:
        for number_of in range(count):
            end = END - (store.minutes + number_of * BITFINEX.page_rows) * MINUTE
            held = list(made_up(end - BITFINEX.page_rows * MINUTE, BITFINEX.page_rows, _SERIES))
            query = Query(BITFINEX, symbol(_SERIES), M1, Range(held[0][0], end), newest_first=True, limit=10_000)
            page = Page(query, held, (), BITFINEX.page_rows, NOW)
            begin = time.perf_counter()
            with opened.write() as connection:
                series = table.find(connection, BITFINEX, query.symbol, M1)
                assert series is not None
                table.want_again_from(connection, series.id, query.range.start)
                series = table.find(connection, BITFINEX, query.symbol, M1) or series
                pages.apply_page(connection, series, page, 0, "bench")
            yield time.perf_counter() - begin


class _Made(Market):
    """An exchange that has the same candles as the stores."""

    def walk(
        self, name: str, _: Timeframe, within: Range, now: int, *, newest_first: bool = False
    ) -> Iterator[Candle]:
        start, end = max(within.start, 0), min(within.end, now)
        first, count = M1.ceil(start), M1.count(M1.ceil(start), M1.ceil(end))
        found = list(made_up(first, count, _NUMBERS[name]))
        yield from reversed(found) if newest_first else found


def _repair(store: Store) -> dict[str, float]:
    """Run `repair` for ten requests against an exchange that has what is missing."""
    env = store.environ()
    wall, boot, speed = env["MDATA_REHEARSAL"].split(",")
    clock = RehearsalClock(int(wall), float(boot), float(speed))
    market = _Made({name: Pair(name, listed=0) for name in _NUMBERS})
    with Sandbox(market, clock) as sandbox:
        env |= {"BITFINEX_REST_URL": sandbox.rest_url, "BITFINEX_WS_URL": sandbox.ws_url, "RATE_LIMIT_DELAY": "0"}
        begin = time.perf_counter()
        ended = subprocess.run([MDATA, "repair", "--json"], env=env, check=False, capture_output=True, text=True)
        taken = time.perf_counter() - begin
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["requests"]) == (3, 10), told
    return {"`repair`, ten requests, ms": taken * 1000, "`repair`, gaps closed": told["gaps_repaired"]}


def _cleanup(store: Store) -> dict[str, float]:
    """Run `cleanup` with a retention that leaves out the oldest five days of every series."""
    days = (END - END % DAY - (END - store.minutes * MINUTE)) // DAY - 5
    env = store.environ(RETENTION_DAYS=str(days))
    before = _count(store)
    taken = process(env, "cleanup", "--yes", "--json")().wall
    removed = before - _count(store)
    return {"`cleanup`, ms": taken * 1000, "`cleanup`, µs for each candle removed": taken / removed * 1e6}


def _count(store: Store) -> int:
    connection = sqlite3.connect(store.path)
    (count,) = connection.execute("SELECT sum(candles) FROM coverage").fetchone()
    connection.close()
    return int(count)
