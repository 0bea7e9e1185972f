"""`publish` on a local folder: what is there in the end, and what is left as it is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import NOW, SetClock, with_settings
from deltalake import DeltaTable
from lakes import APRIL, DAY, MARCH, MAY, coverage_of, digest_in_store, in_store, rows_of, versions

from mdata.fetching.recheck import recheck
from mdata.jobs.backfill import backfill
from mdata.jobs.cleanup import cleanup
from mdata.jobs.publish import plan, publish
from mdata.jobs.verify import verify
from mdata.running.context import Context, Limits
from mdata.sandbox.server import Sandbox
from mdata.store.sqlite import sqlite3

MakeContext = Callable[..., Context]
JUNE = MAY + 31 * DAY
ALL = {"SYMBOLS": "BTCUSD,SPAUSD", "TIMEFRAMES": "15m,1h,1W", "BACKFILL_DAYS": "80", "PUBLISH_AFTER_DAYS": "0"}


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


@pytest.fixture
def given(context: MakeContext) -> Context:
    """A store that holds April, May and some of March of two pairs."""
    made = context(**ALL)
    assert backfill(made).exit == 0
    return made


def sql(context: Context, statement: str, *values: object) -> None:
    connection = sqlite3.connect(context.store.path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_the_lake_holds_what_the_store_holds(given: Context, lake: str) -> None:
    result, found = publish(given, lake)
    assert (result.exit, found.months, found.remaining, found.left) == (0, 16, 0, ()), result.reason
    verify(given)
    for symbol in ("tBTCUSD", "tSPAUSD"):
        for timeframe, end in (("15m", JUNE), ("1h", JUNE), ("1W", MAY)):
            expected = in_store(given.store.path, symbol, timeframe, 0, end)
            assert rows_of(lake, symbol, timeframe) == expected
            assert len(expected) > 5
    rows = coverage_of(lake)
    assert {row["kind"] for row in rows} == {"final"}
    for row in rows:
        part = in_store(
            given.store.path, row["symbol"], row["timeframe"],
            int(row["start"].timestamp() * 1000), int(row["end"].timestamp() * 1000),
        )  # fmt: skip
        assert row["candles"] == len(part)
    (series,) = given.store.connection.execute(
        "SELECT id FROM series WHERE symbol = 'tBTCUSD' AND timeframe = '15m'"
    ).fetchone()
    for month, start in (("2024-04", APRIL), ("2024-05", MAY)):
        (row,) = (one for one in rows if (one["symbol"], one["timeframe"], one["month"]) == ("tBTCUSD", "15m", month))
        assert (row["candles"], row["digest"]) == digest_in_store(given.store.path, series, start)
        assert row["intervals"] == (30 if month == "2024-04" else 31) * 96
    assert result.tally.requests == 0, "the exchange is asked nothing"


def test_a_second_run_writes_nothing(given: Context, lake: str) -> None:
    publish(given, lake)
    before = versions(lake)
    result, found = publish(given, lake)
    assert (result.exit, found.months, found.confirmed, versions(lake)) == (0, 0, 0, before)


def test_what_is_open_is_no_work(given: Context, lake: str) -> None:
    result, found = publish(with_settings(given, publish_after_days=7), lake)
    assert (result.exit, found.remaining) == (0, 0)
    assert {row["month"] for row in coverage_of(lake)} == {"2024-03", "2024-04"}


def test_a_month_with_a_hole_waits(given: Context, lake: str) -> None:
    sql(given, "DELETE FROM candles WHERE series_id = 1 AND open_time = ?", APRIL + 5 * DAY)
    result, found = publish(given, lake)
    assert (result.exit, found.waiting, found.remaining) == (0, 1, 0)


def test_a_dry_run_tells_and_does_nothing(given: Context, lake: str) -> None:
    found = plan(given.store, lake, NOW)
    assert (found.remaining, found.months, Path(lake).exists()) == (16, 0, False)
    publish(given, lake)
    before = versions(lake)
    assert (plan(given.store, lake, NOW).remaining, versions(lake)) == (0, before)


def test_a_revision_is_published_once_and_the_old_version_can_be_read(
    given: Context, lake: str, sandbox: Sandbox, clock: SetClock
) -> None:
    publish(given, lake)
    before = versions(lake)["candles"]
    old = rows_of(lake, "tBTCUSD", "15m")
    changed = (APRIL + 5 * DAY, 9.0, 9.5, 8.5, 9.0, 9.0)
    sandbox.market.revised["tBTCUSD", "15m", changed[0]] = changed
    revise(given, clock)
    result, found = publish(given, lake)
    assert (result.exit, found.months) == (0, 1)
    assert changed in rows_of(lake, "tBTCUSD", "15m")
    assert rows_of(lake, "tBTCUSD", "15m") == in_store(given.store.path, "tBTCUSD", "15m", 0, JUNE)
    assert rows_of(lake, "tBTCUSD", "15m", before) == old
    after = versions(lake)
    assert publish(given, lake)[1].months == 0
    assert versions(lake) == after


def revise(given: Context, clock: SetClock) -> None:
    """Have everything compared with the exchange, twice: what it changed needs two answers."""
    for _ in range(2):
        clock.advance(DAY)
        recheck(with_settings(given, recheck_days=1))


def test_what_was_confirmed_only_is_written_as_that(given: Context, lake: str, clock: SetClock) -> None:
    publish(given, lake)
    before = versions(lake)["candles"]
    revise(given, clock)
    result, found = publish(given, lake)
    assert (result.exit, found.months, versions(lake)["candles"]) == (0, 0, before)
    assert found.confirmed > 0
    latest = max(row["as_of"] for row in coverage_of(lake))
    assert int(latest.timestamp() * 1000) >= clock.now() - DAY


def test_an_older_store_leaves_what_is_there(
    context: MakeContext, lake: str, clock: SetClock, tmp_path: Path
) -> None:
    older = context(**ALL)
    assert backfill(older).exit == 0
    clock.advance(DAY)
    newer = context(**ALL, DATABASE_PATH=str(tmp_path / "newer.db"))
    assert backfill(newer).exit == 0
    publish(newer, lake)
    before = versions(lake)
    result, found = publish(older, lake)
    assert (result.exit, found.months) == (0, 0)
    assert {one.reason for one in found.left} == {"the lake has it from a later answer"}
    assert "16 months were not published: the lake has it from a later answer" in (result.reason or "")
    after = versions(lake)
    assert (after["candles"], after["coverage"]) == (before["candles"], before["coverage"])


def test_a_later_store_confirms_what_is_there(
    context: MakeContext, lake: str, clock: SetClock, tmp_path: Path
) -> None:
    older = context(**ALL)
    assert backfill(older).exit == 0
    publish(older, lake)
    before = versions(lake)
    clock.advance(DAY)
    newer = context(**{**ALL, "BACKFILL_DAYS": "81"}, DATABASE_PATH=str(tmp_path / "newer.db"))
    assert backfill(newer).exit == 0
    _, found = publish(newer, lake)
    assert (found.months, found.confirmed, versions(lake)["candles"]) == (0, 16, before["candles"])


def test_a_cleaned_store_never_takes_anything_away(given: Context, lake: str, clock: SetClock) -> None:
    publish(given, lake)
    revise(given, clock)
    cleanup(with_settings(given, retention_days=45))
    assert given.store.connection.execute("SELECT max(cleaned_to) FROM series").fetchone()[0] > APRIL
    before = rows_of(lake, "tBTCUSD", "15m")
    result, found = publish(given, lake)
    assert (result.exit, found.months) == (0, 0)
    assert {one.reason for one in found.left} == {"a part of it was removed here by cleanup"}
    assert {one.month for one in found.left} == {"2024-04"}
    assert rows_of(lake, "tBTCUSD", "15m") == before


def test_a_retired_series_is_published_too(given: Context, lake: str) -> None:
    publish(with_settings(given, symbols=("tBTCUSD",)), lake)
    assert {row["symbol"] for row in coverage_of(lake)} == {"tBTCUSD", "tSPAUSD"}


def test_the_table_of_series_says_what_the_ledger_knows(given: Context, lake: str) -> None:
    publish(given, lake)
    rows = DeltaTable(f"{lake}/series").to_pyarrow_table().to_pylist()
    assert len(rows) == 6
    stored = given.store.connection.execute("SELECT symbol, timeframe, wanted_start FROM series").fetchall()
    said = {(row["symbol"], row["timeframe"], int(row["wanted_start"].timestamp() * 1000)) for row in rows}
    assert said == set(stored)


def test_no_time_is_left_and_the_next_run_goes_on(given: Context, lake: str) -> None:
    result, _ = publish(given._replace(limits=Limits(max_runtime=0.0)), lake)
    assert result.exit == 3
    result, found = publish(given, lake)
    assert (result.exit, found.months) == (0, 16)


OF_MINUTES = "symbol = 'tBTCUSD' AND timeframe = '15m'"
ONE = f"{OF_MINUTES} AND time = '2024-04-06T00:00:00Z'"
DAMAGES = {
    "a row is deleted": lambda table: table.delete(ONE),
    "a value is changed": lambda table: table.update(predicate=ONE, updates={"volume": "volume + 1"}),
    "a month is deleted": lambda table: table.delete(f"{OF_MINUTES} AND period = '2024-04'"),
    "a year is changed": lambda table: table.update(
        predicate="symbol = 'tBTCUSD' AND timeframe = '1h' AND period = '2024'", updates={"open": "low"}
    ),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_what_another_tool_has_changed_is_mended(given: Context, lake: str, how: str) -> None:
    publish(given, lake)
    DAMAGES[how](DeltaTable(f"{lake}/candles"))
    result, found = publish(given, lake)
    assert result.exit == 0
    assert found.months == (3 if "year" in how else 1)
    for timeframe in ("15m", "1h"):
        assert rows_of(lake, "tBTCUSD", timeframe) == in_store(given.store.path, "tBTCUSD", timeframe, 0, JUNE)
    before = versions(lake)
    assert publish(given, lake)[1].months == 0
    assert versions(lake) == before


def test_what_is_damaged_and_cannot_be_mended_is_vouched_for_no_more(given: Context, lake: str) -> None:
    publish(given, lake)
    DeltaTable(f"{lake}/candles").delete(ONE)
    sql(given, "DELETE FROM candles WHERE series_id = 1 AND open_time = ?", APRIL + 6 * DAY)
    result, found = publish(given, lake)
    assert (result.exit, found.withdrawn, found.waiting) == (0, 1, 1)
    months = {row["month"] for row in coverage_of(lake) if (row["symbol"], row["timeframe"]) == ("tBTCUSD", "15m")}
    assert months == {"2024-03", "2024-05"}


def test_compaction_by_another_tool_changes_nothing(given: Context, lake: str) -> None:
    publish(given, lake)
    table = DeltaTable(f"{lake}/candles")
    table.optimize.z_order(["close"])
    assert publish(given, lake)[1].months == 0


def test_a_lost_lake_is_made_again(given: Context, lake: str) -> None:
    publish(given, lake)
    shutil.rmtree(lake)
    assert publish(given, lake)[1].months == 16


def test_old_stores_have_no_note_of_their_answers(given: Context, lake: str) -> None:
    sql(given, "DELETE FROM answered_months")
    publish(given, lake)
    as_of = {
        row["month"]: int(row["as_of"].timestamp() * 1000) for row in coverage_of(lake) if row["timeframe"] == "1h"
    }
    assert as_of == {"2024-03": APRIL, "2024-04": MAY, "2024-05": JUNE}
    assert MARCH < APRIL
