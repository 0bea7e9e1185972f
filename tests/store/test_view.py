"""The view `ohlcv`: the same rows for everybody, with the right types, at the price of a look at the key."""

import subprocess
from pathlib import Path

import pytest
from conftest import Folder
from sqlite_utils import Database

from mdata.domain.timeframe import TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.reading.formats import COLUMNS
from mdata.store import candles
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.migrations import migrations
from mdata.store.opening import open_store
from mdata.store.schema import APPLICATION_ID, SCHEMA_VERSION
from mdata.store.sqlite import sqlite3

RECIPES = Path(__file__).parents[2] / ".envs" / "recipes" / "bin" / "python"
ROWS = [(60_000 * minute, 1.5, 2.5, 0.5, 1.25, 9.0 + minute) for minute in range(3)]


def first_release(path: Path) -> None:
    """Make a store as the first release did."""
    connection = sqlite3.connect(path, isolation_level=None, factory=Connection)
    migrations.apply(Database(connection, recursive_triggers=False), stop_before="m004_typed_view")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute("PRAGMA user_version=1")
    table.introduce(connection, BITFINEX, "tBTCUSD", TIMEFRAMES["1m"], wanted_start=0)
    candles.upsert(connection, 1, ROWS)
    connection.close()


def test_a_store_of_the_first_release_gets_the_new_view(tmp_path: Path) -> None:
    path = tmp_path / "mdata.db"
    first_release(path)
    before = _rows(path)
    with open_store(path) as store:
        assert store.connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert _rows(path) == before
    assert [row[3:5] for row in before] == [(60_000 * n, f"1970-01-01T00:0{n}:00Z") for n in range(3)]


def _rows(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM ohlcv").fetchall()
    connection.close()
    return rows


@pytest.mark.parametrize("columns", ["*", "count(*)", "time, close"])
def test_a_series_is_found_by_the_key(tmp_path: Path, columns: str) -> None:
    with open_store(tmp_path / "mdata.db") as store:
        plan = store.connection.execute(
            f"EXPLAIN QUERY PLAN SELECT {columns} FROM ohlcv WHERE symbol = 'tBTCUSD' AND timeframe = '1m' "
            "AND open_time >= 60000"
        ).fetchall()
    steps = [step[3] for step in plan]
    assert "SEARCH candles USING PRIMARY KEY (series_id=? AND open_time>?)" in steps
    # The text is worked out for those rows only of which somebody wants it.
    assert any("SCALAR SUBQUERY" in step for step in steps) == (columns != "count(*)")


TYPES = """
import sys
import duckdb
from duckdb_extensions import import_extension

import_extension("sqlite_scanner")
db = duckdb.connect()
db.execute("LOAD sqlite_scanner")
db.execute(f"ATTACH '{sys.argv[1]}' AS mdata (TYPE sqlite, READ_ONLY)")
print([row[1] for row in db.execute("DESCRIBE mdata.ohlcv").fetchall()])
found = db.execute("SELECT max(volume), max(open_time), max(time) FROM mdata.ohlcv WHERE symbol = 'tBTCUSD'")
print(found.fetchone())
"""


@pytest.mark.skipif(not RECIPES.exists(), reason="DuckDB is not installed: run `make recipes`")
def test_duckdb_sees_numbers_as_numbers(tmp_path: Path) -> None:
    first_release(tmp_path / "mdata.db")
    with open_store(tmp_path / "mdata.db"):
        pass
    ended = subprocess.run(
        [RECIPES, "-c", TYPES, tmp_path / "mdata.db"], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    types, largest = ended.stdout.splitlines()
    assert types == str(["VARCHAR"] * 3 + ["BIGINT", "VARCHAR"] + ["DOUBLE"] * 5)
    # As text, 9.0 would be more than 11.0.
    assert largest == str((11.0, 120_000, "1970-01-01T00:02:00Z"))


def test_sqlite_itself_tells_the_types(folder: Folder) -> None:
    folder.run("backfill", "--max-requests", "2")
    found = {name: kind for _, name, kind, *_ in folder.rows("PRAGMA table_info(ohlcv)")}
    assert list(found) == list(COLUMNS)
    assert {found[name] for name in ("open", "high", "low", "close", "volume")} == {"REAL"}
    assert found["open_time"] == "INTEGER"
