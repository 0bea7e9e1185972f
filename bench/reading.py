"""Reading from Python: the cost of the import, and time and memory for candles, compared with other ways."""

import subprocess
from pathlib import Path

from bench.measure import PYTHON, Spread, in_turn, number, ratio
from bench.stores import END, M1, NOW, made_up
from bench.table import Row
from mdata.domain.interval import Range
from mdata.domain.timeframe import MINUTE
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import candles, coverage
from mdata.store import series as table
from mdata.store.opening import open_store

MONTH = 43_200  # minutes
WHOLE = 5_000_000
_AT_A_TIME = 100_000

# Each reads the minutes from `start` on as columns; its imports are not included in the time.
_QUERY = """SELECT open_time, open, high, low, close, volume FROM candles
            WHERE series_id = 1 AND open_time >= {start} AND open_time < {end} ORDER BY open_time"""
WAYS = {
    "mdata": (
        "import mdata, pyarrow; mdata.Reader",
        "found = mdata.open(path).candles('tBTCUSD', '1m', start, end).arrow()",
    ),
    "ADBC": (
        "import pyarrow\nfrom adbc_driver_sqlite import dbapi",
        "c = dbapi.connect(f'file:{path}?mode=ro').cursor(); c.execute(query); found = c.fetch_arrow_table()",
    ),
    "pandas": (
        "import pandas, sqlite3",
        "found = pandas.read_sql_query(query, sqlite3.connect(f'file:{path}?mode=ro', uri=True))",
    ),
    "Polars": (
        "import polars, sqlite3",
        "found = polars.read_database(query, sqlite3.connect(f'file:{path}?mode=ro', uri=True))",
    ),
}
_TIMED = """
import sys, time
path, start, end, rows = sys.argv[1], *map(int, sys.argv[2:])
query = f'''{query}'''
{imports}
begin = time.perf_counter()
{read}
took = time.perf_counter() - begin
assert len(found) == rows, len(found)
print(took)
"""
_PARTS = """
import re, sys, mdata
path, start, end = sys.argv[1], *map(int, sys.argv[2:])
count = sum(len(part) for part in mdata.open(path).chunks('tBTCUSD', '1m', start, end))
# The system's maximum of a process includes the memory of its parent when it was started.
print(int(re.search(r"VmHWM:\\s+([0-9]+)", open("/proc/self/status").read())[1]) / 1024)
"""
_IMPORT = """
import time
begin = time.perf_counter()
import mdata
imported = time.perf_counter()
mdata.open
print((imported - begin) * 1000, (time.perf_counter() - begin) * 1000)
"""


def rows(
    folder: Path, rounds: int, minutes: int = WHOLE, others: tuple[str, ...] = ("ADBC", "pandas", "Polars")
) -> list[Row]:
    """Measure against ADBC, the fastest way to read SQLite into Arrow; `others` are the ways that are installed."""
    store = _store(folder / "reading.db", minutes)
    found = [_imports(rounds)]
    if "ADBC" in others:
        found += [_beside(store, min(MONTH, minutes), "a month of 1m", rounds, others)]
        found += [_beside(store, minutes, f"{minutes:,} candles of 1m", min(rounds, 3), others)]
    part, whole = in_turn(min(rounds, 3), *(lambda m=m: _run(_PARTS, store, m) for m in (minutes // 10, minutes)))
    told = f"{number(Spread.of(whole).median)} MiB"
    return [*found, Row("`chunks()`: peak memory at ten times as many candles", 1.1, 1.05, ratio(whole, part), told)]


def _imports(rounds: int) -> Row:
    """Measure how many milliseconds an import adds to an interpreter that has started, and the first use of it."""

    def run() -> list[float]:
        ended = subprocess.run([*PYTHON, _IMPORT], check=True, capture_output=True, text=True)
        return [float(one) for one in ended.stdout.split()]

    (found,) = in_turn(max(rounds, 3), run)
    used = Spread.of([one[1] for one in found]).median
    took = Spread.of([one[0] for one in found])
    return Row("`import mdata`, ms over a bare interpreter", 5, 1, took, f"with `mdata.open` {number(used)} ms")


def _beside(store: Path, minutes: int, name: str, rounds: int, others: tuple[str, ...]) -> Row:
    ways = ("mdata", *others)
    found = dict(zip(ways, in_turn(rounds, *(lambda w=w: _read(w, store, minutes) for w in ways)), strict=True))
    told = ", ".join(f"{way} {number(Spread.of(took).median * 1000)} ms" for way, took in found.items())
    return Row(f"`candles()`: {name} ÷ ADBC", 3.3, 2.5, ratio(found["mdata"], found["ADBC"]), told)


def _read(way: str, store: Path, minutes: int) -> float:
    imports, read = WAYS[way]
    code = _TIMED.replace("{query}", _QUERY).replace("{imports}", imports).replace("{read}", read)
    return _run(code, store, minutes, str(minutes))


def _run(code: str, store: Path, minutes: int, *more: str) -> float:
    arguments = [*PYTHON, code, str(store), str(END - minutes * MINUTE), str(END), *more]
    return float(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


def _store(path: Path, minutes: int) -> Path:
    """Create a store with one dense series."""
    start = END - minutes * MINUTE
    with open_store(path) as store:
        with store.write() as connection:
            table.introduce(connection, BITFINEX, "tBTCUSD", M1, wanted_start=start)
            table.begins_at(connection, 1, start, NOW)
        for begin in range(start, END, _AT_A_TIME * MINUTE):
            part = Range(begin, min(END, begin + _AT_A_TIME * MINUTE))
            with store.write() as connection:
                candles.upsert(connection, 1, list(made_up(begin, M1.count(*part))))
                coverage.add(connection, 1, part, "final", M1.count(*part))
        store.checkpoint()
    return path
