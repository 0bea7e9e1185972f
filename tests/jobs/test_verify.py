"""`verify`: damage that no trigger has seen is found, is unknown from then on, and is brought back."""

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DAY, NOW, Folder, SetClock, stored, truth
from gap_tools import delete, gap_ranges, repair_fully
from hypothesis import given
from hypothesis import strategies as st
from tampering import tamper

from mdata.domain.candle import LARGEST, fault
from mdata.domain.gaps import missing
from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.domain.timeframe import TIMEFRAMES
from mdata.errors import StorageError
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.jobs.backfill import backfill
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.repair import repair
from mdata.jobs.update import update
from mdata.jobs.verify import plan, verify
from mdata.running.context import Context, Limits
from mdata.sandbox.server import Sandbox
from mdata.store import audit, coverage
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.opening import open_store
from mdata.store.sqlite import sqlite3

MakeContext = Callable[..., Context]
MINUTE = 60_000
TODAY = NOW - NOW % DAY


def segments(context: Context) -> list[coverage.Segment]:
    return coverage.segments(context.store.connection, 1)


def everything(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables, but for the log of runs and the count of writes."""
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    connection.close()
    return {name: held for name, held in rows.items() if name not in {"ingestion_jobs", "store"}}


def heal(context: Context, clock: SetClock, sandbox: Sandbox, symbol: str = "tBTCUSD") -> None:
    """Let the other jobs do what is left, and compare the store with the exchange."""
    assert backfill(context).exit == 0
    detect_gaps(context)
    repair_fully(context)
    detect_gaps(context)
    assert gap_ranges(context) == []
    start = context.store.connection.execute("SELECT wanted_start FROM series WHERE id = 1").fetchone()[0]
    settled = TIMEFRAMES["1m"].closed_end(clock.now())
    assert stored(context.store.path, symbol, "1m") == truth(sandbox, symbol, "1m", start, settled)
    again, found = verify(context)
    assert (again.exit, found.doubts, found.refused, found.unvouched) == (0, (), 0, 0)


@pytest.mark.parametrize("symbol", ["tBTCUSD", "tSPAUSD"])
def test_a_sound_store_is_left_as_it_is(context: MakeContext, symbol: str) -> None:
    one = context(SYMBOLS=symbol, TIMEFRAMES="1m,1h,1W,1M", BACKFILL_DAYS="70")
    backfill(one)
    before = everything(one.store.path)
    result, found = verify(one)
    assert (result.exit, result.outcome, result.tally.requests, result.tally.remaining) == (0, "ok", 0, 0)
    assert (found.doubts, found.refused, found.unvouched) == ((), 0, 0)
    assert found.candles == one.store.connection.execute("SELECT count(*) FROM candles").fetchone()[0] > 0
    assert everything(one.store.path) == {**before, "digests": everything(one.store.path)["digests"]}
    assert verify(one)[1].doubts == ()


MIDDLE = TODAY - 3 * DAY
DAMAGES = {
    "one is gone": f"DELETE FROM candles WHERE series_id = 1 AND open_time = {MIDDLE}",
    "a day is gone": f"DELETE FROM candles WHERE series_id = 1 AND open_time / {DAY} = {MIDDLE // DAY}",
    "all are gone": "DELETE FROM candles WHERE series_id = 1",
    "one moved off the grid": f"UPDATE candles SET open_time = open_time + 1 WHERE series_id = 1 "
                              f"AND open_time = {MIDDLE}",
    "one was put off the grid": f"INSERT INTO candles SELECT 1, open_time + 1, 1, 1, 1, 1, 1 FROM candles "
                                f"WHERE series_id = 1 AND open_time = {MIDDLE}",
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_damaged_is_unknown_and_comes_back(
    context: MakeContext, clock: SetClock, sandbox: Sandbox, damage: str
) -> None:
    one = context(BACKFILL_DAYS="9", SETTLE_SECONDS="0")
    backfill(one)
    tamper(one.store.path, DAMAGES[damage])
    expected = segments(one)[0]
    result, found = verify(one)
    assert result.exit == 3
    assert result.reason is not None
    assert "`mdata repair`" in result.reason
    assert [(doubt.start, doubt.end, doubt.recorded) for doubt in found.doubts] == [
        (*expected.range, expected.candles)
    ]
    assert result.tally.remaining == found.doubts[0].intervals > 0
    assert expected not in segments(one)
    assert verify(one)[0].exit == 0, "once is enough"
    heal(one, clock, sandbox)


def test_a_candle_put_into_a_silence_is_taken_out_again(
    context: MakeContext, clock: SetClock, sandbox: Sandbox
) -> None:
    one = context(SYMBOLS="SPAUSD", BACKFILL_DAYS="9")
    backfill(one)
    held = {row[0] for row in stored(one.store.path, "tSPAUSD", "1m")}
    silent = next(time for time in range(MIDDLE, TODAY, MINUTE) if time not in held)
    tamper(one.store.path, f"INSERT INTO candles VALUES (1, {silent}, 1, 1, 1, 1, 1)")
    result, found = verify(one)
    assert result.exit == 3
    assert [doubt.stored - doubt.recorded for doubt in found.doubts] == [1]
    assert "1 candle more" in found.doubts[0].reason
    heal(one, clock, sandbox, "tSPAUSD")


SEGMENTS = 5


@pytest.mark.parametrize("which", range(SEGMENTS))
def test_only_the_range_that_differs_is_doubted(
    context: MakeContext, clock: SetClock, sandbox: Sandbox, which: int
) -> None:
    """Whatever its place: what lies at an end of the hull is backlog then, and what lies inside is a gap."""
    one = context(BACKFILL_DAYS="9")
    backfill(one)
    lost = TODAY - 4 * DAY
    with one.store.write() as connection:
        for day in range(1, SEGMENTS):
            hole = TODAY - 2 * day * DAY
            coverage.cut(connection, 1, Range(hole, hole + 3 * MINUTE))
    delete(one, lost + DAY)
    detect_gaps(one)
    kept = [segment for segment in segments(one) if segment.kind == "final"]
    doubted = kept.pop(which)
    tamper(one.store.path, f"DELETE FROM candles WHERE series_id = 1 AND open_time = {doubted.start + 5 * MINUTE}")
    result, found = verify(one)
    assert (result.exit, len(found.doubts)) == (3, 1)
    assert (found.doubts[0].start, found.doubts[0].end) == doubted.range
    assert [segment for segment in segments(one) if segment.kind == "final"] == kept
    hull = coverage.hull(one.store.connection, 1)
    assert hull is not None
    assert all(hull.start <= start and end <= hull.end for start, end in gap_ranges(one))
    heal(one, clock, sandbox)


def test_update_asks_again_for_the_newest_range_when_that_is_doubted(context: MakeContext, clock: SetClock) -> None:
    one = context(BACKFILL_DAYS="9", SETTLE_SECONDS="0")
    backfill(one)
    with one.store.write() as connection:
        coverage.cut(connection, 1, Range(TODAY, TODAY + MINUTE))
    newest = segments(one)[-1]
    assert newest.start == TODAY + MINUTE
    tamper(one.store.path, f"DELETE FROM candles WHERE series_id = 1 AND open_time = {newest.start + 5 * MINUTE}")
    assert verify(one)[0].exit == 3
    clock.advance(5 * MINUTE)
    assert update(one).exit == 0
    assert any(segment.range.contains(newest.range) for segment in segments(one))


ROTTEN = ["high = low / 2", "low = -low", "close = high * 2", "volume = 0", "open = 9e999", "high = 1e16"]


@pytest.mark.parametrize("values", ROTTEN)
def test_a_row_that_can_be_no_candle_is_moved_aside_and_fetched_again(
    context: MakeContext, clock: SetClock, sandbox: Sandbox, values: str
) -> None:
    one = context(BACKFILL_DAYS="3")
    backfill(one)
    tamper(
        one.store.path, f"UPDATE candles SET {values} WHERE open_time IN ({MIDDLE + MINUTE}, {MIDDLE + 7 * MINUTE})"
    )
    result, found = verify(one)
    assert (result.exit, found.doubts, found.refused, result.tally.remaining) == (3, (), 2, 2)
    rows = one.store.connection.execute("SELECT open_time, reason, source FROM rejected_rows ORDER BY 1").fetchall()
    assert [(time, source) for time, _, source in rows] == [
        (MIDDLE + MINUTE, "verify"),
        (MIDDLE + 7 * MINUTE, "verify"),
    ]
    assert all(reason.startswith("found in the store: ") for _, reason, _ in rows)
    detect_gaps(one)
    times = MIDDLE + MINUTE, MIDDLE + 7 * MINUTE
    assert gap_ranges(one) == [(time, time + MINUTE) for time in times]
    assert repair(one).tally.gaps_repaired == 2
    heal(one, clock, sandbox)


def test_what_was_deleted_or_put_back_by_hand_is_no_damage(context: MakeContext) -> None:
    one = context(BACKFILL_DAYS="3")
    backfill(one)
    row = next(row for row in stored(one.store.path, "tBTCUSD", "1m") if row[0] == MIDDLE)
    delete(one, MIDDLE, MIDDLE + MINUTE)
    with one.store.write() as connection:
        connection.execute("INSERT INTO candles VALUES (1, ?, ?, ?, ?, ?, ?)", row)
    result, found = verify(one)
    assert (result.exit, found.doubts) == (0, ())


LEDGER_DAMAGES = {
    "the end is a bit later": "UPDATE coverage SET end_time = end_time + (1 << 42) WHERE start_time = {start}",
    "the end is a bit earlier": "UPDATE coverage SET end_time = end_time - 1024 WHERE start_time = {start}",
    "the start is a bit earlier": "UPDATE coverage SET start_time = start_time - 4096 WHERE start_time = {end}",
    "two overlap": "INSERT INTO coverage SELECT 1, {start} + 60000, {start} + 120000, 'final', 1",
    "three overlap": "INSERT INTO coverage VALUES (1, {start} + 60000, {start} + 180000, 'final', 2), "
                     "(1, {start} + 120000, {start} + 180000, 'final', 1)",
    "it counts less than nothing": "UPDATE coverage SET candles = -candles WHERE start_time = {start}",
}  # fmt: skip


@pytest.mark.parametrize("damage", LEDGER_DAMAGES)
def test_a_damaged_ledger_is_not_believed(
    context: MakeContext, clock: SetClock, sandbox: Sandbox, damage: str
) -> None:
    one = context(BACKFILL_DAYS="9")
    backfill(one)
    with one.store.write() as connection:
        coverage.cut(connection, 1, Range(MIDDLE - 3 * MINUTE, MIDDLE))
    tamper(one.store.path, LEDGER_DAMAGES[damage].format(start=segments(one)[0].start, end=MIDDLE))
    planned = plan(one.settings, one.store)
    result, found = verify(one)
    assert result.exit == 3
    assert found == planned
    assert found.doubts
    assert verify(one)[0].exit == 0, "once is enough"
    heal(one, clock, sandbox)


def test_a_range_that_grew_since_it_was_doubted_is_withdrawn_as_a_whole(
    context: MakeContext, clock: SetClock, sandbox: Sandbox
) -> None:
    one = context(BACKFILL_DAYS="9")
    backfill(one)
    tamper(one.store.path, DAMAGES["one is gone"])
    series = table.find(one.store.connection, BITFINEX, "tBTCUSD", TIMEFRAMES["1m"])
    assert series is not None
    found = audit.audit(one.store.connection, series)
    clock.advance(10 * MINUTE)
    update(one)
    with one.store.write() as connection:
        audit.withdraw(connection, series, found.mismatches, 0)
    assert verify(one)[0].exit == 0
    heal(one, clock, sandbox)


def test_what_was_answered_anew_since_it_was_doubted_is_trusted(context: MakeContext, clock: SetClock) -> None:
    """Early candles, say, that have settled: the final answer counts what it brought."""
    one = context(BACKFILL_DAYS="9", SETTLE_SECONDS="600")
    backfill(one)
    provisional = segments(one)[-1]
    assert provisional.kind == "provisional"
    tamper(one.store.path, f"DELETE FROM candles WHERE series_id = 1 AND open_time = {provisional.start}")
    series = table.find(one.store.connection, BITFINEX, "tBTCUSD", TIMEFRAMES["1m"])
    assert series is not None
    found = audit.audit(one.store.connection, series)
    assert [doubt.segment.range for doubt in found.mismatches] == [provisional.range]
    clock.advance(20 * MINUTE)
    update(one)
    before = segments(one)[0]
    assert before.range.contains(provisional.range)
    with one.store.write() as connection:
        audit.withdraw(connection, series, found.mismatches, 0)
    assert segments(one)[0] == before


def test_what_is_no_candle_any_more_when_it_is_looked_at_again_is_left(context: MakeContext) -> None:
    one = context(BACKFILL_DAYS="3")
    backfill(one)
    before = everything(one.store.path)
    series = table.find(one.store.connection, BITFINEX, "tBTCUSD", TIMEFRAMES["1m"])
    assert series is not None
    with one.store.write() as connection:
        audit.set_aside(connection, series, [MIDDLE + MINUTE, MIDDLE + 1], 0, "verify")
    assert everything(one.store.path) == before


def test_the_store_is_not_locked_while_everything_is_read(context: MakeContext) -> None:
    one = context(BACKFILL_DAYS="9")
    backfill(one)
    tamper(one.store.path, "UPDATE candles SET volume = 0 WHERE open_time / 60000 % 4 = 0", DAMAGES["one is gone"])
    steps = [0]
    at_lock: list[int] = []
    held: list[int] = []

    def count() -> int:
        steps[0] += 1
        return 0

    def look(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE":
            at_lock.append(steps[0])
        elif statement == "COMMIT":
            held.append(steps[0] - at_lock[-1])

    connection = one.store.connection
    connection.set_progress_handler(count, 100)
    connection.set_trace_callback(look)
    assert verify(one)[1].refused > 3000
    connection.set_trace_callback(None)
    connection.set_progress_handler(None, 0)
    assert len(held) > 3, "many are set aside in turns"
    assert max(held) < steps[0] / 5


def test_candles_that_nobody_vouches_for_are_counted(context: MakeContext) -> None:
    one = context(BACKFILL_DAYS="3")
    backfill(one)
    with one.store.write() as connection:
        coverage.cut(connection, 1, Range(MIDDLE, MIDDLE + 10 * MINUTE))
    result, found = verify(one)
    assert (result.exit, found.unvouched, found.doubts) == (0, 10, ())


def test_a_plan_changes_nothing_and_finds_the_same(context: MakeContext) -> None:
    one = context(BACKFILL_DAYS="3", TIMEFRAMES="1m,1h")
    backfill(one)
    tamper(one.store.path, DAMAGES["one moved off the grid"], f"UPDATE candles SET low = 0 WHERE open_time = {TODAY}")
    before = everything(one.store.path)
    planned = plan(one.settings, one.store)
    assert (len(planned.doubts), planned.refused) == (1, 3)
    assert everything(one.store.path) == before
    assert verify(one)[1] == planned


def test_a_damaged_file_is_named_and_left_alone(context: MakeContext, tmp_path: Path) -> None:
    one = context(BACKFILL_DAYS="9")
    backfill(one)
    one.store.checkpoint()
    whole, path, found = one.store.path.read_bytes(), tmp_path / "damaged.db", 0
    rng = random.Random(7)
    for _ in range(20):
        torn = bytearray(whole)
        page = rng.randrange(len(whole) // 2 // 4096, len(whole) // 4096) * 4096
        torn[page : page + 64] = rng.randbytes(64)
        path.write_bytes(torn)
        with open_store(path) as store:
            try:
                audit.check_file(store)
            except StorageError as error:
                assert "damaged.db is damaged" in str(error)  # noqa: PT017 - not each flip is seen
                found += 1
    # A page of the free list, or room that no row uses, may hold anything.
    assert found >= 15


def test_a_value_that_became_no_number_is_moved_aside(
    context: MakeContext, clock: SetClock, sandbox: Sandbox
) -> None:
    """To SQLite such a row breaks a rule of the table: that is no damage of the file."""
    one = context(BACKFILL_DAYS="3")
    backfill(one)
    # A whole number takes fewer bytes in a row than others.
    values = one.store.connection.execute(
        "SELECT open, high FROM candles WHERE open_time >= ? AND open <> round(open) AND high <> round(high)",
        (MIDDLE,),
    ).fetchone()
    one.store.checkpoint()
    one.store.close()
    whole, written = one.store.path.read_bytes(), struct.pack(">dd", *values)
    assert written in whole
    one.store.path.write_bytes(whole.replace(written, struct.pack(">dd", float("nan"), values[1]), 1))
    again = context(BACKFILL_DAYS="3")
    result, found = verify(again)
    assert (result.exit, found.doubts, found.refused) == (3, (), 1)
    heal(again, clock, sandbox)


def test_a_key_out_of_order_is_damage_of_the_file(context: MakeContext) -> None:
    """No statement finds its row any more, so that none could move it aside."""
    one = context(BACKFILL_DAYS="9")
    backfill(one)
    one.store.checkpoint()
    one.store.close()
    key, whole = (MIDDLE + MINUTE).to_bytes(6), one.store.path.read_bytes()
    assert whole.count(key) == 1
    one.store.path.write_bytes(whole.replace(key, (MIDDLE + MINUTE ^ 1 << 27).to_bytes(6)))
    with open_store(one.store.path) as store, pytest.raises(StorageError, match="order for candles"):
        audit.check_file(store)


def test_a_row_that_nobody_vouches_for_leaves_nothing_unknown_when_it_is_moved_aside(context: MakeContext) -> None:
    one = context(BACKFILL_DAYS="3")
    backfill(one)
    tamper(one.store.path, "INSERT INTO candles VALUES (1, -1, 1, 1, 1, 1, 1)")
    result, found = verify(one)
    assert (result.exit, found.refused, result.tally.remaining) == (0, 1, 0)
    assert result.reason == "1 rows cannot be candles and were moved to rejected_rows"
    assert verify(one)[1].candles == found.candles - 1


def test_a_run_that_may_not_last_ends_with_work_left(context: MakeContext) -> None:
    one = context(BACKFILL_DAYS="3", SYMBOLS="BTCUSD,SPAUSD")
    backfill(one)
    result, _ = verify(one._replace(limits=Limits(max_runtime=0)))
    assert result.exit == 3
    assert "time limit" in (result.reason or "")


price = st.one_of(
    st.floats(allow_nan=False, allow_infinity=True), st.sampled_from([0.0, 1.0, 2.0, LARGEST, LARGEST * 2])
)


@given(time=st.integers(-5, 5), values=st.tuples(price, price, price, price, price))
def test_what_the_store_calls_unsound_is_what_a_page_calls_so(time: int, values: tuple[float, ...]) -> None:
    connection = sqlite3.connect(":memory:", factory=Connection)
    connection.execute("CREATE TABLE candles (series_id, open_time, open, high, low, close, volume)")
    row = (time * MINUTE // 4, *values)
    connection.execute("INSERT INTO candles VALUES (1, ?, ?, ?, ?, ?, ?)", row)
    grid = TIMEFRAMES["1m"]
    series = Series(1, BITFINEX, "tBTCUSD", grid, 0, 0, 0, None, None, None, None)
    found = audit.find_refused(connection, series)
    connection.close()
    assert bool(found) == (fault(row, grid) is not None)  # type: ignore[arg-type]


def test_a_candle_lost_off_the_grid_is_a_gap_of_its_interval() -> None:
    grid, hull = TIMEFRAMES["1m"], Range(0, 60 * MINUTE)
    assert missing(grid, hull, [], [5 * MINUTE + 1], hull) == [Range(5 * MINUTE, 6 * MINUTE)]


def test_the_command_tells_what_it_found_at_a_terminal_in_a_pipe_and_in_json(folder: Folder) -> None:
    folder.settings.update(BACKFILL_DAYS="2")
    assert folder.run("verify").exit == 0, "an empty store is sound"
    folder.run("backfill")
    (time,) = folder.rows("SELECT open_time FROM candles ORDER BY open_time LIMIT 1 OFFSET 700")[0]
    tamper(folder.database, f"DELETE FROM candles WHERE open_time = {time}")
    planned = folder.run("verify", "--dry-run")
    assert planned.exit == 0
    head, line = planned.out.splitlines()
    assert head.split("\t") == [
        "symbol",
        "timeframe",
        "start",
        "end",
        "intervals",
        "recorded",
        "stored",
        "reason",
        "exchange",
    ]
    assert line.startswith("tBTCUSD\t1m\t")
    assert line.endswith("1 candle fewer than recorded\tbitfinex")
    _, shown = folder.show("verify", "--dry-run")
    assert "1 covered ranges differ from what was recorded" in shown
    ended = folder.run("verify", "--json")
    assert (ended.exit, ended.json["outcome"]) == (3, "partial")
    found = ended.json["verified"]
    assert (found["refused"], found["unvouched"], len(found["doubts"])) == (0, 0, 1)
    doubt = found["doubts"][0]
    assert doubt["recorded"] - doubt["stored"] == 1
    assert doubt["intervals"] == ended.json["remaining"] > 2000
    assert "doubts=1" in ended.err
    (row,) = folder.rows("SELECT outcome, exit, remaining FROM ingestion_jobs WHERE command = 'verify' AND exit = 3")
    assert row == ("partial", 3, ended.json["remaining"])
    assert folder.run("verify").exit == 0


def test_in_cron_it_says_nothing_about_a_sound_store(folder: Folder) -> None:
    folder.run("backfill", BACKFILL_DAYS="2")
    ended = folder.run("verify", "--quiet")
    assert (ended.exit, ended.out, ended.err) == (0, "", "")
