"""Where each millisecond goes: one page from the socket to the disk, and one `status` from start to end."""

import gzip
import json
import os
import socket
import statistics
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.ingest import bare_database, bodies, query_of, with_series
from bench.measure import PYTHON, Cost, cost, in_turn, number
from bench.start import nothing, process
from bench.stores import END, M1
from bench.stores import Store as Generated
from mdata.clock import SystemClock
from mdata.domain.evidence import judge
from mdata.domain.query import Page
from mdata.domain.timeframe import MINUTE
from mdata.exchange.bitfinex import wire
from mdata.exchange.bitfinex.rest import Rest
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import candles, pages
from mdata.store import series as table
from mdata.store.engine import Store
from mdata.store.known import read_known
from mdata.store.sqlite import sqlite3

PAGE_HEAD = ["a page of 10,000 candles", "ms", "floor, ms", "what the floor is"]
START_HEAD = ["`status --json`, 20 series, 1,000 gaps", "processor, ms", "in all", "÷ pass"]

_STAGES = {
    "receive": "the same bytes from a bare socket, decompressed",
    "parse": "`json.loads`",
    "validate": "tuples, without checking their values",
    "prove": "–",
    "lock and begin": "BEGIN IMMEDIATE alone",
    "bind and step": "plain INSERTs into a table without triggers, in a file that cannot give space back",
    "ledger": "–",
    "commit": "the same amount to the same disk",
}
_NOW = END + 10 * MINUTE
_UNCOMPILED = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/nonexistent"}


class _Laps:
    """How long each named stage took, ms."""

    def __init__(self) -> None:
        self._found: dict[str, list[float]] = {}

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.add(name, begin)

    def add(self, name: str, begin: float) -> None:
        self._found.setdefault(name, []).append((time.perf_counter() - begin) * 1000)

    def median(self, name: str) -> float:
        return statistics.median(self._found.get(name, [0.0]))


def page(folder: Path, count: int) -> list[list[str]]:
    """Return the stages of a page's life, each beside its floor: medians of `count` pages."""
    laps = _Laps()
    store, alone = with_series(folder / "life.db", "tBTCUSD"), with_series(folder / "alone.db", "tBTCUSD")
    bare = bare_database(folder / "floor.db")
    for body in bodies(count):
        payload = wire.decode(body)
        found = wire.read_page(query_of(payload), payload, _NOW)
        with _serving(gzip.compress(body, 6)) as port:
            rest = Rest(f"http://127.0.0.1:{port}/v2", SystemClock(), print)
            rest.pairs(_nothing)  # opens the connection, which then stays open
            with laps.lap("whole answer"):
                rest.candles(found.query, _nothing)
            rest.close()
            _receive_bare(laps, port)
        _read(laps, body)
        _store(laps, store, found)
        with alone.write() as connection, laps.lap("bind and step"):
            candles.upsert(connection, 1, found.candles)
        _store_bare(laps, bare, found)
    for one in (store, alone, bare):
        one.close()
    ours = {name: laps.median(name) for name in _STAGES}
    ours["receive"] = laps.median("whole answer") - ours["parse"] - ours["validate"]
    ours["ledger"] = laps.median("apply") - ours["bind and step"]
    floors = {name: laps.median(f"floor of {name}") for name in _STAGES}
    rows = [[name, number(ours[name]), number(floors[name]), why] for name, why in _STAGES.items()]
    total, floor = sum(ours.values()), sum(floors.values())
    return [*rows, ["**in all**", number(total), number(floor), f"÷ floor: {total / floor:.2f}"]]


def _nothing() -> None:
    pass


def _read(laps: _Laps, body: bytes) -> None:
    with laps.lap("parse"):
        payload = wire.decode(body)
    with laps.lap("floor of parse"):
        again = json.loads(body)
    del again  # which takes time too, as it does later for the other one
    query = query_of(payload)
    with laps.lap("validate"):
        found = wire.read_page(query, payload, _NOW)
    with laps.lap("floor of validate"):
        tuples = [(row[0], row[1], row[3], row[4], row[2], row[5]) for row in reversed(payload)]
    assert len(tuples) == len(found.candles)


def _store(laps: _Laps, store: Store, found: Page) -> None:
    begin = time.perf_counter()
    with store.write() as connection:
        laps.add("lock and begin", begin)
        series = table.find(connection, BITFINEX, "tBTCUSD", M1)
        assert series is not None
        known = read_known(connection, series, found, 0)
        with laps.lap("prove"):
            judge(found, known, 0)
        with laps.lap("apply"):
            pages.apply_page(connection, series, found, 0, "bench")
        begin = time.perf_counter()
    laps.add("commit", begin)


def _store_bare(laps: _Laps, bare: sqlite3.Connection, found: Page) -> None:
    bound = [(1, *candle) for candle in found.candles]
    with laps.lap("floor of lock and begin"):
        bare.execute("BEGIN IMMEDIATE")
    with laps.lap("floor of bind and step"):
        bare.executemany("INSERT INTO candles VALUES (?, ?, ?, ?, ?, ?, ?)", bound)
    with laps.lap("floor of commit"):
        bare.execute("COMMIT")


def _receive_bare(laps: _Laps, port: int) -> None:
    with laps.lap("floor of receive"), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
        zlib.decompress(received.partition(b"\r\n\r\n")[2], wbits=31)


@contextmanager
def _serving(packed: bytes) -> Iterator[int]:
    """Serve the list of pairs, and then one compressed answer to every request, from a separate process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = os.fork()
        if child == 0:
            _serve(server, packed)
        yield server.getsockname()[1]
        os.kill(child, 9)
        os.waitpid(child, 0)


def _serve(server: socket.socket, packed: bytes) -> None:
    pairs = gzip.compress(b'[["BTCUSD"],[]]')
    while True:
        connection, _ = server.accept()
        with connection:
            while asked := connection.recv(65_536):
                body = pairs if b"/conf/" in asked else packed
                head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)
                if b"HTTP/1.0" in asked:
                    break


def start(store: Generated, rounds: int) -> list[list[str]]:
    """Return the stages of a `status`: processes that each go one step further, in turn; medians."""
    modules = "import mdata.cli.main, mdata.cli.commands.status, mdata.jobs.status, mdata.json_views, json"
    steps: dict[str, Callable[[], Cost]] = {
        "Python itself (`python -c pass`)": nothing,
        "import typer": _code("import typer"),
        "import what all commands share": _code("import mdata.cli.main"),
        "import what `status` needs": _code(modules),
        "options, settings, open, ask, JSON": process(store.environ(), "status", "--json"),
    }
    costs = in_turn(rounds, *steps.values())
    uncompiled = in_turn(3, process(store.environ(**_UNCOMPILED), "status", "--json"))
    *measured, last = (statistics.median(cost.cpu for cost in one) * 1000 for one in [*costs, *uncompiled])
    rows, before = [], 0.0
    for name, reached in zip(steps, measured, strict=True):
        rows.append([name, number(reached - before), number(reached), number(reached / measured[0])])
        before = reached
    return [*rows, ["the same without compiled modules", "–", number(last), number(last / measured[0])]]


def _code(imports: str) -> Callable[[], Cost]:
    # It exits as mdata does: at once.
    return lambda: cost([*PYTHON, f"{imports}; import os; os._exit(0)"])
