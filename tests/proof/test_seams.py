"""Where jobs meet on one ledger: nothing closes, and nothing is final, on the word of the wrong one."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import DAY, NOW, SetClock, stored, truth, with_settings
from gap_tools import MINUTE, TODAY, delete, gap_ranges

from mdata.domain.claim import Claim, Faulty
from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.domain.timeframe import TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.jobs.backfill import backfill
from mdata.jobs.cleanup import cleanup, plan
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.repair import repair
from mdata.jobs.update import update
from mdata.running.context import Context
from mdata.sandbox.faults import Fault
from mdata.sandbox.server import Sandbox
from mdata.store import coverage
from mdata.store import series as table
from mdata.store.pages import Applied, apply_live, keep_refused

MakeContext = Callable[..., Context]
GRID = TIMEFRAMES["1m"]


def series_of(context: Context) -> Series:
    found = table.find(context.store.connection, BITFINEX, "tBTCUSD", GRID)
    assert found is not None
    return found


def stream_shows(context: Context, sandbox: Sandbox, part: Range) -> Applied:
    """Store what a stream that was shown this closed range claims."""
    candles = truth(sandbox, "tBTCUSD", "1m", *part)
    with context.store.write() as connection:
        return apply_live(connection, series_of(context), [Claim(part, candles)], context.clock.now())


def make_hole(context: Context, hole: Range) -> None:
    with context.store.write() as connection:
        coverage.cut(connection, 1, hole)
        connection.execute("DELETE FROM candles WHERE series_id = 1 AND open_time >= ? AND open_time < ?", hole)


def statuses(context: Context) -> list[tuple[str, int]]:
    rows = context.store.connection.execute("SELECT status, intervals FROM data_gaps ORDER BY start_time")
    return rows.fetchall()


def test_a_stream_does_not_close_the_gap_of_a_final_candle_that_was_lost(
    context: MakeContext, sandbox: Sandbox
) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    delete(given, held[-20][0])
    detect_gaps(given)
    applied = stream_shows(given, sandbox, Range(held[-40][0], held[-10][0]))
    assert (applied.repaired, applied.empty) == (0, 0)
    assert statuses(given) == [("open", 1)]
    assert repair(given).tally.gaps_repaired == 1
    assert stored(given.store.path, "tBTCUSD", "1m") == held


def test_what_a_stream_fills_behind_the_frontier_is_confirmed_once(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    hole = Range(held[-40][0], held[-20][0])
    make_hole(given, hole)
    detect_gaps(given)
    assert stream_shows(given, sandbox, hole).repaired == 1
    given.clock.sleep(600)
    result = backfill(given)
    assert (result.exit, result.tally.requests, result.tally.candles_changed) == (0, 1, 0)
    assert coverage.clipped(given.store.connection, 1, hole, "provisional") == []
    assert stored(given.store.path, "tBTCUSD", "1m")[: len(held)] == held
    assert backfill(given).tally.requests == 0


def test_a_gap_that_cleanup_left_at_the_old_end_is_no_empty_one(context: MakeContext, sandbox: Sandbox) -> None:
    """What is unknown before the hull is backlog: nobody has answered for it."""
    given = context(BACKFILL_DAYS="3")
    backfill(given)
    middle = TODAY - 1 * DAY
    make_hole(given, Range(middle - 50 * MINUTE, middle + 50 * MINUTE))
    detect_gaps(given)
    cleanup(with_settings(given, retention_days=1))
    result = detect_gaps(given)
    assert (result.tally.gaps_empty, result.tally.gaps_repaired) == (0, 0)
    assert gap_ranges(given) == gap_ranges(given, "empty") == []
    assert backfill(given).exit == 0
    assert stored(given.store.path, "tBTCUSD", "1m") == truth(sandbox, "tBTCUSD", "1m", middle, NOW)


def test_the_page_of_another_pair_is_stored_for_none(context: MakeContext, sandbox: Sandbox) -> None:
    """As a cache in between that mixes up its answers would send it: in range, in order, and wrong."""
    given = context(SYMBOLS="BTCUSD,SPAUSD", BACKFILL_DAYS="1")
    backfill(given)
    given.clock.sleep(3600)
    sandbox.faults = [Fault("same-page", times=2)]
    result = backfill(given)
    assert (result.exit, "USD 1m: the exchange sent" in (result.reason or "")) == (76, True), result.reason
    sandbox.faults = []
    assert backfill(given).exit == 0
    for symbol in ("tBTCUSD", "tSPAUSD"):
        assert stored(given.store.path, symbol, "1m") == truth(sandbox, symbol, "1m", TODAY - DAY, given.clock.now())


def test_a_clock_that_runs_years_ahead_has_nothing_removed(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    given = context(BACKFILL_DAYS="5", RETENTION_DAYS="3")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    clock.advance(3650 * DAY)
    ahead = clock.now()
    assert plan(given.settings, given.store, ahead).candles == 0
    assert cleanup(given)[1].candles == 0
    clock.advance(NOW + 600_000 - ahead)
    assert backfill(given).exit == 0
    assert stored(given.store.path, "tBTCUSD", "1m")[: len(held)] == held
    assert stored(given.store.path, "tBTCUSD", "1m") == truth(sandbox, "tBTCUSD", "1m", TODAY - 3 * DAY, clock.now())


def test_repair_says_when_a_gap_that_closed_just_now_can_be_asked_about(context: MakeContext) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    newest = stored(given.store.path, "tBTCUSD", "1m")[-1][0]
    assert newest + MINUTE + given.settle > NOW, "it has not settled yet"
    delete(given, newest)
    detect_gaps(given)
    result = repair(given)
    assert (result.exit, result.tally.requests) == (3, 0)
    assert "2024-06-01T12:06:00Z" in (result.reason or ""), result.reason


@pytest.mark.parametrize("side", [-1, 1])
def test_a_gap_beside_a_candle_that_the_exchange_has_withdrawn_is_repaired(
    context: MakeContext, sandbox: Sandbox, side: int
) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    lost, withdrawn = held[100], held[100 + side]
    sandbox.market.revised["tBTCUSD", "1m", withdrawn[0]] = None
    delete(given, lost[0])
    detect_gaps(given)
    result = repair(given)
    assert (result.exit, result.tally.gaps_repaired, result.tally.requests) == (0, 1, 2)
    left = [row for row in held if row != withdrawn]
    assert stored(given.store.path, "tBTCUSD", "1m") == left, "the second answer is believed"
    rows = given.store.connection.execute("SELECT open_time, kind FROM candle_revisions").fetchall()
    assert rows == [(withdrawn[0], "withdrawn")]


def test_a_silence_beside_a_candle_that_the_exchange_has_withdrawn_is_asked_about_to_the_end(
    context: MakeContext, sandbox: Sandbox
) -> None:
    hole = Range(TODAY - 300 * MINUTE, TODAY - 180 * MINUTE)
    pair = sandbox.market.pairs["tBTCUSD"]
    sandbox.market.pairs["tBTCUSD"] = replace(pair, holes=(hole,))
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    sandbox.market.pairs["tBTCUSD"] = pair
    sandbox.market.revised["tBTCUSD", "1m", hole.start - MINUTE] = None
    given.clock.sleep(86_400)
    update(given)
    assert repair(given).tally.candles_written == 120
    assert repair(given).tally.requests == 0


@pytest.mark.parametrize("most", ["1", "10"])
def test_a_silence_at_the_old_end_of_the_hull_is_asked_about_once_when_it_is_due(
    context: MakeContext, sandbox: Sandbox, most: str
) -> None:
    hole = Range(TODAY - DAY, TODAY - DAY + 120 * MINUTE)
    sandbox.market.pairs["tBTCUSD"] = replace(sandbox.market.pairs["tBTCUSD"], holes=(hole,))
    given = context(BACKFILL_DAYS="1", GAP_REPAIR_MAX_REPAIRS_PER_RUN=most)
    backfill(given)
    given.clock.sleep(7 * 86_400)
    update(given)
    assert repair(given).tally.requests == 1
    assert repair(given).tally.requests == 0


def test_a_refused_row_of_an_impossible_time_is_kept_without_it(context: MakeContext) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    with given.store.write() as connection:
        keep_refused(connection, series_of(given), [Faulty(10**30, "[1e30]", "nonsense")], NOW, "stream")
    rows = given.store.connection.execute("SELECT open_time, reason FROM rejected_rows").fetchall()
    assert rows == [(None, "nonsense")]


def test_a_store_that_cleanup_has_emptied_is_filled_again_by_since(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    """A month outlasts a retention of ten days: nothing is covered any more, and no interval has closed since."""
    given = context(TIMEFRAMES="1M", BACKFILL_DAYS="90")
    clock.advance(20 * DAY)
    assert backfill(given).exit == 0
    assert cleanup(with_settings(given, retention_days=10))[0].exit == 0
    # The newest candle stays, to know later answers by.
    assert len(stored(given.store.path, "tBTCUSD", "1M")) == 1
    since = NOW - 100 * DAY
    result = backfill(given, since=since)
    assert (result.exit, result.tally.remaining) == (0, 0)
    start = TIMEFRAMES["1M"].floor(since)
    assert stored(given.store.path, "tBTCUSD", "1M") == truth(sandbox, "tBTCUSD", "1M", start, clock.now()) != []
