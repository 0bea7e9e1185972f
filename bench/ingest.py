"""The ingest of a page compared with the shortest possible way, and the size of the resulting file."""

import gc
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.measure import Spread, in_turn, number, ratio, seconds
from bench.stores import END, M1
from bench.table import Row
from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.query import Query
from mdata.domain.timeframe import MINUTE
from mdata.exchange.bitfinex import wire
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import candles, pages
from mdata.store import series as table
from mdata.store.engine import Store
from mdata.store.opening import open_store
from mdata.store.sqlite import sqlite3

T = TypeVar("T")

_BARE = """CREATE TABLE candles (series_id INTEGER NOT NULL, open_time INTEGER NOT NULL, open REAL NOT NULL,
           high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL, volume REAL NOT NULL,
           PRIMARY KEY (series_id, open_time)) STRICT, WITHOUT ROWID"""
_TEXT_KEY = """CREATE TABLE candles (exchange TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
               open_time INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL,
               close REAL NOT NULL, volume REAL NOT NULL, PRIMARY KEY (exchange, symbol, timeframe, open_time))"""
_ON_THE_WIRE = ("open_time", "open", "close", "high", "low", "volume")


def bodies(count: int) -> list[bytes]:
    """Return that many full answers as the exchange sends them, newest row first, each older than the one before."""
    rng, found = random.Random(1), []
    for page in range(count):
        rows, price = [], 40_000.0
        for index in range(BITFINEX.page_rows):
            opened, price = price, round(price * (1 + rng.gauss(0, 3e-4)), 1)
            high, low = max(opened, price) + rng.random() * 9, min(opened, price) - rng.random() * 9
            time = END - (BITFINEX.page_rows * (page + 1) - index) * MINUTE
            rows.append([time, opened, price, round(high, 1), round(low, 1), round(rng.expovariate(1 / 3) + 1e-8, 8)])
        found.append(json.dumps(rows[::-1], separators=(",", ":")).encode())
    return found


def query_of(payload: list[list[float]]) -> Query:
    """Return the request that has these rows, newest first, as its answer."""
    return Query(
        BITFINEX,
        "tBTCUSD",
        M1,
        Range(int(payload[-1][0]), int(payload[0][0]) + MINUTE),
        newest_first=True,
        limit=10_000,
    )


def with_series(path: Path, *symbols: str) -> Store:
    """Return a new store that knows these series."""
    store = open_store(path)
    with store.write() as connection:
        for symbol in symbols:
            table.introduce(connection, BITFINEX, symbol, M1, wanted_start=0)
    return store


def ingest(store: Store, body: bytes) -> None:
    """Store an answer in full: JSON, validation, proof, one transaction with the ledger."""
    payload = wire.decode(body)
    page = wire.read_page(query_of(payload), payload, END + 10 * MINUTE)
    with store.write() as connection:
        series = table.find(connection, BITFINEX, "tBTCUSD", M1)
        assert series is not None
        pages.apply_page(connection, series, page, 0, "bench")


def bare_database(path: Path, schema: str = _BARE) -> sqlite3.Connection:
    """Return a database that is as safe as a store, but only contains candles."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(schema)
    return connection


def ingest_bare(connection: sqlite3.Connection, body: bytes) -> None:
    """Parse, build tuples, insert them in one transaction: the minimum that stores the same candles."""
    rows = [(1, row[0], row[1], row[3], row[4], row[2], row[5]) for row in reversed(json.loads(body))]
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO candles VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute("COMMIT")


def rows(folder: Path, count: int) -> list[Row]:
    """Measure the ingest of `count` pages against the bare one and against sqlite-utils."""
    from sqlite_utils import Database

    made = bodies(count + 1)
    store, bare = with_series(folder / "page.db", "tBTCUSD"), bare_database(folder / "bare.db")
    ours, theirs = in_turn(count, _each(made, lambda body: ingest(store, body)),
                           _each(made, lambda body: ingest_bare(bare, body)))  # fmt: skip
    store.close()
    bare.close()

    store, other = with_series(folder / "rows.db", "tBTCUSD"), bare_database(folder / "utils.db", _TEXT_KEY)
    database = Database(other)
    key = {"exchange": "bitfinex", "symbol": "tBTCUSD", "timeframe": "1m"}

    def upsert_all(body: bytes) -> None:
        records = ({**key, **dict(zip(_ON_THE_WIRE, row, strict=True))} for row in reversed(json.loads(body)))
        with database.atomic():
            database["candles"].upsert_all(records, pk=(*key, "open_time"))

    mine, utils = in_turn(count // 2, _each(made, lambda body: ingest(store, body)), _each(made, upsert_all))
    store.close()
    other.close()
    parsed = [_candles(body) for body in made]
    rate = number(BITFINEX.page_rows / Spread.of(mine).median)
    return [
        Row("ingest of a page, validated, with ledger ÷ (JSON + tuples + bare executemany)", 1.35, 1.15,
            ratio(ours, theirs), f"{number(Spread.of(ours).median * 1000)} ms"),
        Row("ingest rows/s ÷ sqlite-utils `upsert_all`", 2.2, 3, ratio(utils, mine), f"{rate} rows/s", at_least=True),
        *_weight(folder, parsed),
        _second_pass(folder, made),
    ]  # fmt: skip


def _each(made: list[T], work: Callable[[T], None]) -> Callable[[], float]:
    """Return a work that takes the next of `made` each time and returns its seconds, without garbage collection."""
    waiting = iter(made)

    def once() -> float:
        item = next(waiting)
        gc.collect()
        return seconds(lambda: work(item))

    return once


def _candles(body: bytes) -> list[Candle]:
    payload = wire.decode(body)
    return wire.read_page(query_of(payload), payload, END + 10 * MINUTE).candles


def _weight(folder: Path, parsed: list[list[Candle]]) -> list[Row]:
    """Measure the file after pages into the past, pages into the future, and rows of 20 series minute by minute."""
    symbols = [f"tA{letter}AUSD" for letter in "ABCDEFGHIJKLMNOPQRST"]
    ascending = [candle for page in reversed(parsed) for candle in page]
    minutes = ascending[: len(ascending) // len(symbols)]
    orders: dict[str, list[tuple[int, list[Candle]]]] = {
        "into the past": [(1, page) for page in parsed],
        "into the future": [(1, page) for page in reversed(parsed)],
        "20 live series": [(series, [candle]) for candle in minutes for series in range(1, len(symbols) + 1)],
    }
    over, each = {}, {}
    for name, order in orders.items():
        path = folder / f"{name.replace(' ', '-')}.db"
        store, count = with_series(path, *symbols), sum(len(page) for _, page in order)
        # One commit instead of many: the order of the rows decides the size, not the transactions.
        with store.write() as connection:
            for series, page in order:
                candles.upsert(connection, series, page)
        store.checkpoint()
        each[name] = path.stat().st_size / count
        store.connection.execute("VACUUM")
        store.checkpoint()
        over[name] = each[name] * count / path.stat().st_size
        store.close()
    other = bare_database(folder / "text-key.db", _TEXT_KEY)
    other.execute("BEGIN")
    for page in reversed(parsed):
        other.executemany("INSERT INTO candles VALUES ('bitfinex', 'tBTCUSD', '1m', ?, ?, ?, ?, ?, ?)", page)
    other.execute("COMMIT")
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    other.close()
    text_key = (folder / "text-key.db").stat().st_size / len(ascending)
    worst, heaviest = max(over, key=lambda name: over[name]), max(each.values())
    told = ", ".join(f"{name} {number(value)}" for name, value in over.items())
    return [
        Row("file ÷ VACUUMed file, for the worst order of inserts", 1.2, 1.12, Spread.of([over[worst]]), told),
        Row("bytes per candle ÷ text-key rowid layout", 0.65, 0.55, Spread.of([heaviest / text_key]),
            f"{number(heaviest)} B against {number(text_key)} B"),
    ]  # fmt: skip


def _second_pass(folder: Path, made: list[bytes]) -> Row:
    """Ingest the same page twice, and measure the log of the second time, with and without the ledger's pages."""
    store = with_series(folder / "twice.db", "tBTCUSD")
    log = store.path.with_name("twice.db-wal")
    held = _candles(made[0])
    ingest(store, made[0])
    store.checkpoint()
    with store.write():
        pass  # every write transaction raises the store's generation
    of_generation = log.stat().st_size
    store.checkpoint()
    with store.write() as connection:
        written = candles.upsert(connection, 1, held)
    of_candles = log.stat().st_size - of_generation
    ingest(store, made[0])
    total = log.stat().st_size
    store.close()
    assert written == 0
    goal = "storing a page again whose rows are all stored: bytes that its candles add to the write-ahead log"
    return Row(goal, 0, 0, Spread.of([of_candles]), f"the ledger adds {number(total)} a page")
