"""Gaps: detected exactly, opened and closed as the ledger has them; and what cleanup removed stays away."""

import shutil
import subprocess

import pytest
from conftest import DAY, NOW, SetClock, stored, truth, with_settings
from gap_tools import MINUTE, TODAY, MakeContext, counted_wrong, delete, gap_ranges, repair_fully, runs_of

from mdata.jobs.backfill import backfill
from mdata.jobs.cleanup import cleanup
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.repair import repair
from mdata.jobs.update import update
from mdata.running.context import Context, Limits
from mdata.sandbox.server import Sandbox


@pytest.mark.parametrize("symbol", ["tBTCUSD", "tSPAUSD"])
@pytest.mark.parametrize("which", ["one", "first", "last", "two apart", "run", "all"])
def test_exactly_what_is_lost_is_a_gap(context: MakeContext, symbol: str, which: str) -> None:
    given = context(SYMBOLS=symbol, BACKFILL_DAYS="2")
    backfill(given)
    held = stored(given.store.path, symbol, "1m")
    times = [row[0] for row in held]
    middle = len(times) // 2
    chosen = {
        "one": [times[middle]], "first": [times[0]], "last": [times[-4]], "two apart": [times[9], times[middle]],
        "run": times[middle : middle + 70], "all": times,
    }[which]  # fmt: skip
    delete(given, *chosen, symbol=symbol)
    result = detect_gaps(given)
    assert (result.exit, result.tally.gaps_opened) == (0, len(runs_of(chosen)))
    assert gap_ranges(given) == runs_of(chosen)
    assert detect_gaps(given).tally.gaps_opened == 0
    repair_fully(given)
    if which == "all":  # what has not settled yet is left to the forward pass
        given.clock.sleep(600)
        update(given)
        detect_gaps(given)
        repair_fully(given)
    assert stored(given.store.path, symbol, "1m")[: len(held)] == held
    assert gap_ranges(given) == []
    assert repair(given).tally.requests == 0


def test_a_sparse_pair_has_no_gaps(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(SYMBOLS="SPAUSD", BACKFILL_DAYS="30")
    backfill(given)
    count = len(sandbox.requests)
    (segments,) = given.store.connection.execute("SELECT count(*) FROM coverage").fetchone()
    assert segments <= 3
    assert detect_gaps(given).tally.gaps_opened == 0
    assert repair(given).tally.requests == 0
    assert len(sandbox.requests) == count


def test_a_gap_that_comes_back_is_opened_again(context: MakeContext) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    time = stored(given.store.path, "tBTCUSD", "1m")[100][0]
    for _ in range(2):
        delete(given, time)
        assert detect_gaps(given).tally.gaps_opened == 1
        assert repair(given).tally.gaps_repaired == 1
    assert gap_ranges(given, "repaired") == [(time, time + MINUTE)] * 2


def test_a_candle_put_back_by_hand_closes_its_gap(context: MakeContext) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    row = stored(given.store.path, "tBTCUSD", "1m")[100]
    delete(given, row[0])
    detect_gaps(given)
    with given.store.write() as connection:
        connection.execute("INSERT INTO candles VALUES (1, ?, ?, ?, ?, ?, ?)", row)
    assert detect_gaps(given).tally.gaps_repaired == 1
    assert gap_ranges(given) == []


def test_the_throttle_opens_nothing_new_but_still_closes(context: MakeContext) -> None:
    given = context(BACKFILL_DAYS="1", GAP_DETECTION_MAX_OPEN_GAPS="1")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    delete(given, held[100][0])
    assert detect_gaps(given).tally.gaps_opened == 1
    delete(given, held[500][0])
    result = detect_gaps(given)
    assert (result.exit, result.outcome, result.tally.gaps_opened) == (0, "skipped", 0)
    assert "GAP_DETECTION_MAX_OPEN_GAPS" in (result.reason or "")
    assert repair(given).exit == 0
    assert detect_gaps(given).tally.gaps_opened == 1


def test_cleanup_removes_and_nothing_brings_it_back(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(BACKFILL_DAYS="20")
    backfill(given)
    delete(given, stored(given.store.path, "tBTCUSD", "1m")[100][0])
    detect_gaps(given)
    short = with_settings(given, retention_days=5)
    result, removed = cleanup(short)
    assert (result.exit, removed.candles) == (0, 15 * 1440 - 1)
    assert stored(given.store.path, "tBTCUSD", "1m") == truth(sandbox, "tBTCUSD", "1m", TODAY - 5 * DAY, NOW)
    assert gap_ranges(given) == []
    count = len(sandbox.requests)
    for again in (short, given):
        assert detect_gaps(again).tally.gaps_opened == 0
        assert repair(again).tally.requests == 0
        assert backfill(again).tally.requests == 0
    assert len(sandbox.requests) == count
    assert backfill(given, since=TODAY - 8 * DAY).exit == 0
    assert stored(given.store.path, "tBTCUSD", "1m") == truth(sandbox, "tBTCUSD", "1m", TODAY - 8 * DAY, NOW)


def test_cleanup_prunes_old_jobs_and_gives_space_back(context: MakeContext, clock: SetClock) -> None:
    given = context(BACKFILL_DAYS="30")
    backfill(given)
    given.store.checkpoint()
    size = given.store.path.stat().st_size
    clock.advance(40 * DAY)
    result, removed = cleanup(with_settings(given, retention_days=1))
    assert result.exit == 0
    assert removed.jobs == 1
    assert removed.bytes > size / 2
    assert given.store.path.stat().st_size < size / 2


class HastyClock(SetClock):
    """A clock by which every look at the time takes a second."""

    def boottime(self) -> float:
        self.sleep(1)
        return self.boot


def test_a_time_limit_ends_the_detection_between_two_series(context: MakeContext) -> None:
    given = context(SYMBOLS="BTCUSD,NEWUSD", BACKFILL_DAYS="2")
    backfill(given)
    for symbol in ("tBTCUSD", "tNEWUSD"):
        delete(given, stored(given.store.path, symbol, "1m")[100][0], symbol=symbol)
    short = given._replace(clock=HastyClock(), limits=Limits(max_runtime=2))
    first = detect_gaps(short)
    assert (first.exit, first.outcome, first.tally.gaps_opened) == (3, "partial", 1)
    assert "the time limit of 2 s was reached; run `mdata detect-gaps` again" in (first.reason or "")
    assert detect_gaps(given).tally.gaps_opened == 1
    assert len(gap_ranges(given)) == 2


def test_a_time_limit_ends_a_cleanup_and_the_next_one_goes_on(context: MakeContext, sandbox: Sandbox) -> None:
    given = with_settings(context(BACKFILL_DAYS="30"), retention_days=5)
    backfill(with_settings(given, retention_days=0))
    held = len(stored(given.store.path, "tBTCUSD", "1m"))
    kept = truth(sandbox, "tBTCUSD", "1m", TODAY - 5 * DAY, NOW)
    short = given._replace(clock=HastyClock(), limits=Limits(max_runtime=3))
    first, removed = cleanup(short)
    assert (first.exit, first.outcome) == (3, "partial")
    assert "the time limit of 3 s was reached; run `mdata cleanup` again" in (first.reason or "")
    assert 0 < removed.candles < 25 * 1440
    assert len(stored(given.store.path, "tBTCUSD", "1m")) == held - removed.candles
    assert detect_gaps(given).tally.gaps_opened == 0
    last, rest = cleanup(given)
    assert (last.exit, removed.candles + rest.candles) == (0, 25 * 1440)
    assert stored(given.store.path, "tBTCUSD", "1m") == kept


def insert(context: Context, *rows: tuple[float, ...]) -> None:
    with context.store.write() as connection:
        connection.executemany("INSERT INTO candles VALUES (1, ?, ?, ?, ?, ?, ?)", rows)


def test_candles_deleted_and_put_back_time_and_again_are_counted_right(context: MakeContext, clock: SetClock) -> None:
    given = context(BACKFILL_DAYS="2")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    old, unsettled = held[100], held[-1]
    for row in (old, unsettled):
        for _ in range(3):
            delete(given, row[0])
            insert(given, row)
    delete(given, held[101][0])
    detect_gaps(given)
    assert counted_wrong(given) == []
    for row in (old, unsettled):
        delete(given, row[0])
        insert(given, row)
    # A page over them, before anybody has looked for gaps.
    assert repair(given).exit == 0
    clock.advance(600_000)
    update(given)
    assert counted_wrong(given) == []
    assert repair(given).tally.requests == 0
    assert detect_gaps(given).tally.gaps_opened == 0
    delete(given, old[0])
    insert(given, old)
    cleanup(with_settings(given, retention_days=1))
    assert counted_wrong(given) == []


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the sqlite3 shell is not installed")
@pytest.mark.parametrize("sql", [
    "DELETE FROM candles WHERE open_time % 420000 = 0", "DELETE FROM candles", "DELETE FROM candles LIMIT 1",
    "UPDATE candles SET open_time = open_time + 1 WHERE open_time % 660000 = 0",
    "BEGIN; DELETE FROM candles WHERE open_time % 900000 = 0; ROLLBACK",
])  # fmt: skip
@pytest.mark.parametrize("symbol", ["tBTCUSD", "tSPAUSD"])
def test_rows_deleted_in_the_sqlite3_shell_are_found_exactly(context: MakeContext, symbol: str, sql: str) -> None:
    given = context(SYMBOLS=symbol, BACKFILL_DAYS="1")
    backfill(given)
    before = {row[0] for row in stored(given.store.path, symbol, "1m")}
    if "LIMIT" in sql:  # which the shell may not have for DELETE
        sql = "DELETE FROM candles WHERE open_time = (SELECT min(open_time) FROM candles)"
    subprocess.run(["sqlite3", given.store.path, sql], check=True)
    lost = before - {row[0] for row in stored(given.store.path, symbol, "1m")}
    detect_gaps(given)
    assert gap_ranges(given) == runs_of([*lost])
    assert bool(lost) is ("ROLLBACK" not in sql)
