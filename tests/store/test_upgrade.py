"""Stores that older releases left are upgraded, and come out whole.

`data/*.sql` are such stores, made by `data/make.sh` with the code of their time; `data/recipe.py` says what is in
them.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from adversary import Life, MakeLife, exchange, life
from conftest import DAY, NOW, SetClock, stored
from old_stores import DATA, STORES, shape

from mdata.domain.interval import Range
from mdata.domain.timeframe import HOUR, MINUTE
from mdata.sandbox.market import Pair
from mdata.sandbox.server import Sandbox
from mdata.store.opening import open_store
from mdata.store.schema import SCHEMA_VERSION
from mdata.store.sqlite import sqlite3

__all__ = ["exchange", "life"]

# When the recipe was done.
DONE = NOW + 4 * HOUR + 90_000
# Counts are made right, and what was believed of the first candle is asked again soon.
CHANGED = {("coverage", "candles"), ("series", "first_asked_at")}
Rows = list[tuple[Any, ...]]
Load = Callable[[str], Life]


@pytest.fixture
def load(life: MakeLife, exchange: Sandbox, clock: SetClock) -> Load:
    """Puts an old store where the settings say, beside the exchange that it was made with."""

    def put(name: str) -> Life:
        pairs, clock.wall = exchange.market.pairs, DONE
        pairs["tSPAUSD"] = replace(pairs["tSPAUSD"], holes=(Range(NOW - 30 * HOUR, NOW - 20 * HOUR),))
        pairs["tNILUSD"] = Pair("tNILUSD", listed=NOW + 1000 * DAY)
        given = life("tBTCUSD,tSPAUSD", "3", TIMEFRAMES="5m,1D")
        connection = sqlite3.connect(given.database)
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.executescript((DATA / f"{name}.sql").read_text())
        # What the exchange had changed when the recipe was done.
        rows = connection.execute("SELECT open_time, kind FROM candle_revisions").fetchall()
        for time, kind in rows:
            changed = (time, 9.0, 9.0, 9.0, 9.0, 9.0) if kind == "changed" else None
            exchange.market.revised["tBTCUSD", "5m", time] = changed
        connection.close()
        return given

    return put


def tables(given: Life) -> dict[str, tuple[list[str], Rows]]:
    """Return the columns and rows of every table."""
    names = [name for (name,) in given.sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {}
    for name in names:
        columns = [column for (column,) in given.sql("SELECT name FROM pragma_table_info(?)", name)]
        found[name] = columns, given.sql(f"SELECT {', '.join(columns)} FROM {name}")
    return found


def test_there_are_old_stores() -> None:
    assert len(STORES) >= 2


@pytest.mark.parametrize("name", STORES)
def test_everything_is_kept(load: Load, name: str) -> None:
    given = load(name)
    before = tables(given)
    open_store(given.database).close()
    assert given.sql("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    after = tables(given)
    for table, (columns, rows) in before.items():
        if table == "_sqlite_migrations":
            continue
        kept = [column for column in columns if (table, column) not in CHANGED]
        chosen = [[columns.index(column) for column in kept], [after[table][0].index(column) for column in kept]]
        old, new = (
            sorted((tuple(row[place] for place in places) for row in held), key=repr)
            for places, held in zip(chosen, (rows, after[table][1]), strict=True)
        )
        assert new == old, table
    assert given.sql("PRAGMA integrity_check") == [("ok",)]
    assert given.sql("PRAGMA foreign_key_check") == []


@pytest.mark.parametrize("name", STORES)
def test_the_schema_is_that_of_a_new_store(load: Load, name: str, tmp_path: Path) -> None:
    given = load(name)
    open_store(given.database).close()
    open_store(tmp_path / "new.db").close()
    assert shape(given.database) == shape(tmp_path / "new.db")


@pytest.mark.parametrize("name", STORES)
def test_an_upgrade_is_done_once(load: Load, name: str) -> None:
    given = load(name)
    open_store(given.database).close()
    once = tables(given)
    open_store(given.database).close()
    assert tables(given) == once


@pytest.mark.parametrize("name", STORES)
def test_good_candles_are_vouched_for_as_before(load: Load, name: str) -> None:
    """The first triggers counted a candle twice that was deleted, put back and deleted again."""
    given = load(name)
    checked = given.do("verify", "--json")
    assert checked.json["verified"]["doubts"] == []
    assert checked.json["verified"]["intervals"] == 0
    assert checked.exit == 0, checked.err
    wrong = given.sql(
        """SELECT * FROM coverage WHERE candles <> (SELECT count(*) FROM candles WHERE series_id = coverage.series_id
           AND open_time >= start_time AND open_time < end_time AND NOT EXISTS (SELECT 1 FROM lost_candles AS lost
           WHERE lost.series_id = candles.series_id AND lost.open_time = candles.open_time))"""
    )
    assert wrong == []


@pytest.mark.parametrize("name", STORES)
def test_the_upgraded_store_lives_on(load: Load, name: str) -> None:
    given = load(name)
    if SCHEMA_VERSION > 1:
        for command in ("status", "export", "gaps", "jobs"):
            ended = given.do(command)
            assert ended.exit == 78, "who only reads changes nothing"
            assert "run `mdata backfill` once" in ended.err
    given.do("backfill")
    given.do("detect-gaps")
    given.do("repair", "--retry-failed")
    for _ in range(3):
        given.clock.advance(HOUR)
        given.round()
    for symbol in ("tBTCUSD", "tSPAUSD"):
        for timeframe in ("5m", "1D"):
            missing, _, differing = given.wrong(symbol, timeframe)
            assert (missing, differing) == ((), ()), (symbol, timeframe)
    said = given.says()
    assert (said.complete, said.healthy, said.export) == (True, True, 0)
    assert ("missing",) in given.sql("SELECT kind FROM candle_revisions"), "what was noted before stays as it was"


@pytest.mark.parametrize("name", STORES)
def test_a_pair_without_a_candle_is_not_called_complete_by_an_upgrade(load: Load, name: str) -> None:
    given = load(name)
    given.folder.settings["SYMBOLS"] = "NILUSD"
    given.do("backfill")
    assert not given.says().complete


@pytest.mark.parametrize("name", STORES)
def test_a_first_candle_that_was_believed_once_is_asked_again_within_a_week(load: Load, name: str) -> None:
    given = load(name)
    ((start, number),) = given.sql(
        "SELECT wanted_start, id FROM series WHERE symbol = 'tBTCUSD' AND timeframe = '1D'"
    )
    # As one answer that was two days too late left it.
    given.sql("UPDATE series SET first_candle = ? WHERE id = ?", start + 2 * DAY, number)
    given.sql("UPDATE coverage SET start_time = ?, candles = 1 WHERE series_id = ?", start + 2 * DAY, number)
    given.sql("DELETE FROM candles WHERE series_id = ? AND open_time < ?", number, start + 2 * DAY)
    given.sql("DELETE FROM lost_candles WHERE series_id = ?", number)
    given.sql("UPDATE coverage SET candles = 1 WHERE series_id = ?", number)
    given.calm(7.5)
    assert given.wrong("tBTCUSD", "1D") == ((), (), ())
    assert stored(given.database, "tBTCUSD", "1D")[0][0] == start
    assert given.clock.now() - DONE < 8 * DAY + MINUTE
