"""`mdata lake`: what is proven is shown, proven again, cleared away, and made into a store again."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from conftest import Ended, Folder, SetClock, with_settings
from deltalake import DeltaTable
from lakes import APRIL, DAY, MAY, in_store, rows_of, versions

from mdata.config import load
from mdata.domain.interval import Range
from mdata.fetching.recheck import recheck
from mdata.jobs import lake as jobs
from mdata.jobs.backfill import backfill
from mdata.jobs.cleanup import cleanup
from mdata.jobs.publish import publish
from mdata.jobs.salvage import salvage
from mdata.running.context import Context
from mdata.sandbox.server import Sandbox
from mdata.store import doubts
from mdata.store.opening import open_store
from mdata.store.sqlite import sqlite3
from mdata.store.verdict import verdict

MakeContext = Callable[..., Context]
JUNE = MAY + 31 * DAY
ALL = {"SYMBOLS": "BTCUSD,SPAUSD,NEWUSD", "TIMEFRAMES": "15m,1h", "BACKFILL_DAYS": "80", "PUBLISH_AFTER_DAYS": "0"}
ONE = "symbol = 'tBTCUSD' AND timeframe = '15m' AND time = '2024-04-06T00:00:00Z'"


def silent(*_: object) -> None:
    pass


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


@pytest.fixture
def given(context: MakeContext, lake: str) -> Context:
    """A store and what was published of it: April, May and some of March, of a new pair some of May."""
    made = context(**ALL)
    assert backfill(made).exit == 0
    assert publish(made, lake)[0].exit == 0
    return made


def test_status_tells_what_is_proven(given: Context, lake: str) -> None:
    found = {(one.symbol, one.timeframe): one for one in jobs.status(lake)}
    assert len(found) == 6
    one = found["tBTCUSD", "15m"]
    assert (one.first, one.last, one.months, one.complete, one.partial, one.missing) == (
        "2024-03", "2024-05", 3, 2, 1, 0
    )  # fmt: skip
    assert one.candles == len(in_store(given.store.path, "tBTCUSD", "15m", 0, JUNE))
    assert one.bytes == sum(path.stat().st_size for path in Path(lake, "candles").glob("*/timeframe=15m/*BTC*/*/*"))
    new = found["tNEWUSD", "15m"]
    assert (new.months, new.complete, new.partial) == (1, 0, 1)


def test_a_sound_lake_is_found_sound(given: Context, lake: str) -> None:
    found = jobs.check(lake, silent)
    rows = sum(len(rows_of(lake, symbol, grid)) for symbol in given.settings.symbols for grid in ("15m", "1h"))
    assert (found.faults, found.series, found.candles) == ((), 6, rows)


def remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()


FAULTS: dict[str, tuple[Callable[[str], Any], list[tuple[str, str]], str]] = {
    "deleted": (lambda lake: DeltaTable(f"{lake}/candles").delete(ONE), [("15m", "2024-04")], "it holds 2879"),
    "changed": (
        lambda lake: DeltaTable(f"{lake}/candles").update(predicate=ONE, updates={"volume": "volume * 1.0000001"}),
        [("15m", "2024-04")], "its candles are not those",
    ),
    "coverage deleted": (
        lambda lake: DeltaTable(f"{lake}/coverage").delete("symbol = 'tBTCUSD' AND month = '2024-04'"),
        [("15m", "2024-04"), ("1h", "2024-04")], "that nothing vouches for",
    ),
    "coverage changed": (
        lambda lake: DeltaTable(f"{lake}/coverage").update(
            predicate="symbol = 'tBTCUSD' AND timeframe = '1h' AND month = '2024-04'", updates={"intervals": "719"}
        ),
        [("1h", "2024-04")], "its coverage counts 719 intervals instead of 720",
    ),
    "a file is gone": (
        lambda lake: remove(Path(lake, "candles").glob("*/timeframe=15m/*BTC*/period=2024-04/*.parquet")),
        [("15m", "2024-04")], "cannot be read",
    ),
    "moved": (
        lambda lake: DeltaTable(f"{lake}/candles").update(
            predicate=ONE, updates={"time": "time + interval '40 days'"}
        ),
        [("15m", "2024-04"), ("15m", "2024-05")], "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", FAULTS)
def test_every_damage_is_named(given: Context, lake: str, how: str) -> None:
    damage, months, said = FAULTS[how]
    damage(lake)
    found = jobs.check(lake, silent).faults
    assert sorted((one.timeframe, one.month) for one in found) == months
    assert {one.symbol for one in found} == {"tBTCUSD"}
    assert all(said in one.reason for one in found)
    assert given.store is not None


@pytest.mark.parametrize("how", FAULTS)
def test_the_next_publish_mends_it(given: Context, lake: str, how: str) -> None:
    FAULTS[how][0](lake)
    assert publish(given, lake)[0].exit == 0
    assert jobs.check(lake, silent).faults == ()
    assert rows_of(lake, "tBTCUSD", "15m") == in_store(given.store.path, "tBTCUSD", "15m", 0, JUNE)


def test_a_year_whose_file_is_gone_is_published_again(given: Context, lake: str) -> None:
    for path in Path(lake, "candles").glob("*/timeframe=1h/*BTC*/*/*.parquet"):
        path.unlink()
    assert publish(given, lake)[1].months == 3
    assert jobs.check(lake, silent).faults == ()


def age(lake: str, days: int) -> None:
    """Make everything that lies in the lake, and its log, as many days older."""
    for path in Path(lake).rglob("*.parquet"):
        then = path.stat().st_mtime - days * 86_400
        os.utime(path, (then, then))
    for path in Path(lake).rglob("*.json"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            for action, key in (
                ("commitInfo", "timestamp"), ("remove", "deletionTimestamp"), ("add", "modificationTime"),
            ):  # fmt: skip
                if action in line and line[action].get(key):
                    line[action][key] -= days * DAY
        path.write_text("\n".join(map(json.dumps, lines)))


def test_vacuum_ends_the_versions_that_it_names(
    given: Context, lake: str, sandbox: Sandbox, clock: SetClock, tmp_path: Path
) -> None:
    old = versions(lake)["candles"]
    changed = (APRIL + 5 * DAY, 9.0, 9.5, 8.5, 9.0, 9.0)
    sandbox.market.revised["tBTCUSD", "15m", changed[0]] = changed
    for _ in range(2):
        clock.advance(DAY)
        recheck(with_settings(given, recheck_days=1))
    publish(given, lake)
    now = 1000 * DAY + int(max(path.stat().st_mtime for path in Path(lake).rglob("*.parquet")) * 1000)
    (first, *_) = jobs.vacuum(lake, 24, now, dry_run=True)
    assert (first.table, first.files) == ("candles", 0), "nothing is old enough by the files' own times"
    age(lake, 40)
    (first, *_) = jobs.vacuum(lake, 30 * 24, now, dry_run=True)
    assert (first.table, first.files, first.parts) == ("candles", 1, ("tBTCUSD 15m 2024-04",))
    assert first.version == versions(lake)["candles"]
    assert changed not in rows_of(lake, "tBTCUSD", "15m", old)
    jobs.vacuum(lake, 30 * 24, now, dry_run=False)
    with pytest.raises(Exception, match=r"No such file|not found"):
        rows_of(lake, "tBTCUSD", "15m", old)
    assert changed in rows_of(lake, "tBTCUSD", "15m")
    assert jobs.check(lake, silent).faults == ()
    assert jobs.vacuum(lake, 30 * 24, now, dry_run=True)[0].files == 0
    assert tmp_path.exists()


def series_rows(path: Path, columns: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(f"SELECT symbol, timeframe, {columns} FROM series ORDER BY 1, 2").fetchall()
    connection.close()
    return found


def test_a_store_is_made_of_what_is_proven(given: Context, lake: str, tmp_path: Path, context: MakeContext) -> None:
    lacking = (APRIL + 20 * DAY, APRIL + 22 * DAY)
    with given.store.write() as connection:
        doubts.cannot_be_had(connection, 1, [Range(*lacking)], given.clock.now())
        connection.execute("UPDATE answered_months SET answered_at = answered_at + 1")
    publish(given, lake)
    path = tmp_path / "fresh.db"
    settings = load(overrides={**ALL, "DATABASE_PATH": str(path)}, environ={"HOME": str(tmp_path)}).settings
    found = salvage(settings, lake, silent, silent)
    assert (found.series, found.faults) == (6, ())
    for symbol in settings.symbols:
        for grid in ("15m", "1h"):
            assert in_store(path, symbol, grid, 0, JUNE) == in_store(given.store.path, symbol, grid, 0, JUNE)
    kept = "first_candle, wanted_start, cleaned_to"
    assert series_rows(path, kept) == series_rows(given.store.path, kept)
    with open_store(path) as store, store.read() as fresh, given.store.read() as known:
        for series in jobs_series(fresh):
            within = Range(series.wanted(JUNE, 0).start, JUNE)
            before = next(one for one in jobs_series(known) if one.name == series.name)
            assert verdict(fresh, series, within) == verdict(known, before, within)
    again = context(**ALL, DATABASE_PATH=str(path))
    before = len(sandbox_requests(again))
    assert backfill(again).exit == 0
    assert in_store(path, "tBTCUSD", "15m", 0, JUNE + DAY) == in_store(
        given.store.path, "tBTCUSD", "15m", 0, JUNE + DAY
    )
    assert before == 0
    assert publish(again, lake)[1].months == 0, "it publishes what is there already"


def jobs_series(connection: Any) -> Any:
    from mdata.store import series

    return series.every(connection)


def sandbox_requests(context: Context) -> list[Any]:
    return context.store.connection.execute("SELECT 1 FROM ingestion_jobs").fetchall()


def test_a_restored_store_asks_for_nothing_that_is_proven(
    given: Context, lake: str, tmp_path: Path, context: MakeContext
) -> None:
    path = tmp_path / "fresh.db"
    settings = load(overrides={**ALL, "DATABASE_PATH": str(path)}, environ={"HOME": str(tmp_path)}).settings
    salvage(settings, lake, silent, silent)
    again = context(**ALL, DATABASE_PATH=str(path))
    result = backfill(again)
    assert result.exit == 0
    asked_for_all = given.store.connection.execute("SELECT sum(requests) FROM ingestion_jobs").fetchone()[0]
    assert result.tally.requests < asked_for_all
    # Half a day and the day before: everything else is there.
    newest = len(in_store(path, "tBTCUSD", "15m", JUNE, 2 * JUNE))
    assert 0 < newest < 60
    assert result.tally.candles_written < 6 * 60


def test_what_was_cleaned_stays_in_the_lake_and_comes_back(given: Context, lake: str, tmp_path: Path) -> None:
    cleanup(with_settings(given, retention_days=20))
    publish(given, lake)
    path = tmp_path / "fresh.db"
    settings = load(overrides={**ALL, "DATABASE_PATH": str(path)}, environ={"HOME": str(tmp_path)}).settings
    salvage(settings, lake, silent, silent)
    assert in_store(path, "tBTCUSD", "15m", 0, JUNE) == rows_of(lake, "tBTCUSD", "15m")


def test_a_damaged_month_is_left_to_the_exchange(given: Context, lake: str, tmp_path: Path) -> None:
    FAULTS["changed"][0](lake)
    path = tmp_path / "fresh.db"
    settings = load(overrides={**ALL, "DATABASE_PATH": str(path)}, environ={"HOME": str(tmp_path)}).settings
    found = salvage(settings, lake, silent, silent)
    assert [(one.timeframe, one.month) for one in found.faults] == [("15m", "2024-04")]
    assert in_store(path, "tBTCUSD", "15m", APRIL, MAY) == []
    assert len(in_store(path, "tBTCUSD", "15m", MAY, JUNE)) == 31 * 96
    assert given.store is not None


@pytest.fixture
def filled(folder: Folder) -> Folder:
    """A lake and a store, of hours, on the real clock."""
    folder.settings.update(TIMEFRAMES="1h", BACKFILL_DAYS="100", PUBLISH_AFTER_DAYS="0", LAKE_URL="lake")
    assert folder.run("backfill").exit == 0
    assert folder.run("publish").exit == 0
    return folder


def test_what_is_typed(filled: Folder) -> None:
    (one,) = filled.run("lake", "status", "--json").json["lake"]
    assert (one["symbol"], one["timeframe"], one["missing"]) == ("tBTCUSD", "1h", 0)
    assert one["months"] == one["complete"] + one["partial"]
    assert "tBTCUSD 1h" in filled.run("lake", "status").out
    ended = filled.run("lake", "check", "--json")
    assert (ended.exit, ended.json["checked"]["faults"]) == (0, [])
    path = next(Path(filled.path, "lake", "candles").glob("*/*/*/*/*.parquet"))
    path.write_bytes(b"")
    damaged: Ended = filled.run("lake", "check", "--json")
    assert (damaged.exit, damaged.json["retryable"], len(damaged.json["checked"]["faults"]) > 0) == (3, True, True)
    assert "differ from the proof: tBTCUSD 1h 20" in damaged.json["reason"]
    assert "Traceback" not in damaged.err
    assert filled.run("lake", "vacuum", "--dry-run").out.count("\n") == 3
    ended = filled.run("lake", "vacuum", "--older-than", "1h")
    assert ended.exit == 2
    ended = filled.run("lake", "restore")
    assert (ended.exit, "exists already and was not changed" in ended.err) == (78, True)


def test_a_store_is_made_by_hand(filled: Folder) -> None:
    before = filled.rows("SELECT open_time, close FROM candles ORDER BY 1")
    for path in filled.path.glob("mdata.db*"):
        path.unlink()
    plan = filled.run("lake", "restore", "--dry-run", "--json").json["restored"]
    assert not filled.database.exists()
    found = filled.run("lake", "restore", "--json").json["restored"]
    assert (found["months"], found["candles"]) == (plan["months"], plan["candles"])
    held = filled.rows("SELECT open_time, close FROM candles ORDER BY 1")
    assert held == before[: len(held)]
    assert len(held) == found["candles"]
    assert filled.run("backfill").exit == 0
    assert filled.run("status", "--complete").exit == 0
    assert set(before) <= set(filled.rows("SELECT open_time, close FROM candles ORDER BY 1"))


@pytest.mark.parametrize("command", ["status", "check", "vacuum", "restore"])
def test_nothing_is_published_yet(folder: Folder, command: str) -> None:
    ended = folder.run("lake", command, "nowhere")
    assert (ended.exit, ended.out) == (3, "")
    assert "nothing is published in" in ended.err
    assert not (folder.path / "nowhere").exists()
