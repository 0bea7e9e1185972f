"""Gaps are repaired only on proof, in the fewest requests, whatever the exchange answers."""

import random
from dataclasses import replace

import pytest
from conftest import DAY, NOW, SetClock, stored, truth, with_settings
from gap_tools import MINUTE, TODAY, MakeContext, counted_wrong, delete, gap_ranges, repair_fully, runs_of

from mdata.domain.interval import Range
from mdata.jobs.backfill import backfill
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.repair import plan, repair
from mdata.jobs.status import collect
from mdata.jobs.update import update
from mdata.running.context import Limits
from mdata.sandbox.faults import Fault
from mdata.sandbox.server import Sandbox
from mdata.store import coverage


def test_a_thousand_scattered_gaps_share_pages(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(BACKFILL_DAYS="365", RATE_LIMIT_DELAY="0")
    sandbox.market.pairs["tBTCUSD"] = replace(sandbox.market.pairs["tBTCUSD"], listed=NOW - 400 * DAY)
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    chosen = random.Random(3).sample([row[0] for row in held[:-5]], 1000)
    delete(given, *chosen)
    result = detect_gaps(given)
    assert gap_ranges(given) == runs_of(chosen)
    assert result.tally.gaps_opened == len(runs_of(chosen))
    first = repair(given)
    assert (first.exit, first.tally.requests) == (3, 10)
    assert first.tally.requests + repair_fully(given) <= 54
    assert stored(given.store.path, "tBTCUSD", "1m") == held


@pytest.mark.parametrize("kind", ["rate-limit-429", "maintenance", "cloudflare"])
def test_a_refusal_neither_closes_nor_delays_a_gap(context: MakeContext, sandbox: Sandbox, kind: str) -> None:
    given = context(BACKFILL_DAYS="1", RATE_LIMIT_MAX_RETRIES="1", RATE_LIMIT_MIN_BACKOFF_SECONDS="1")
    backfill(given)
    delete(given, stored(given.store.path, "tBTCUSD", "1m")[100][0])
    detect_gaps(given)
    sandbox.faults = [Fault(kind)]
    assert repair(given).exit in {69, 75}
    ((status, attempts, next_attempt, reason),) = given.store.connection.execute(
        "SELECT status, attempts, next_attempt_at, reason FROM data_gaps"
    ).fetchall()
    assert (status, attempts, next_attempt) == ("open", 0, None)
    assert reason
    sandbox.faults = []
    assert repair(given).exit == 0


@pytest.mark.parametrize("fault", [Fault("shifted", times=1), Fault("cap", parameters={"rows": 2}, times=1)], ids=str)
@pytest.mark.parametrize("edge", ["oldest", "newest"])
def test_a_candle_lost_at_an_end_of_the_series_is_not_given_up_for_one_cut_answer(
    context: MakeContext, sandbox: Sandbox, clock: SetClock, edge: str, fault: Fault
) -> None:
    """Beyond it lies no stored candle that could witness how far the answer went."""
    given = context(BACKFILL_DAYS="1", SETTLE_SECONDS="0")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    delete(given, *(row[0] for row in (held[:3] if edge == "oldest" else held[-3:])))
    detect_gaps(given)
    sandbox.faults = [replace(fault)]
    repair(given)
    clock.advance(2 * 3_600_000)
    repair_fully(given)
    assert [row[0] for row in stored(given.store.path, "tBTCUSD", "1m")] == [row[0] for row in held]


def test_a_short_silence_at_an_end_of_the_series_is_provisional_until_a_second_answer(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    hole = Range(TODAY + 12 * 3_600_000 - 20 * MINUTE, TODAY + 12 * 3_600_000 + 4 * MINUTE)
    sandbox.market.pairs["tBTCUSD"] = replace(sandbox.market.pairs["tBTCUSD"], holes=(hole,))
    given = context(BACKFILL_DAYS="1", SETTLE_SECONDS="0")
    backfill(given)
    with given.store.write() as connection:
        coverage.cut(connection, 1, Range(hole.start + MINUTE, hole.start + 3 * MINUTE))
    detect_gaps(given)
    result = repair(given)
    assert (result.exit, result.tally.gaps_empty, result.tally.requests) == (0, 1, 1)
    (state,) = collect(given.settings, given.store, clock.now()).series
    assert (state.counts.unknown, state.counts.provisional > 0) == (0, True)
    clock.advance(10 * MINUTE)
    backfill(given)
    (state,) = collect(given.settings, given.store, clock.now()).series
    assert (state.counts.unknown, state.counts.provisional) == (0, 0)


TOO_LITTLE = [Fault("empty"), Fault("cap", parameters={"rows": 1}), Fault("html"), Fault("nan")]


@pytest.mark.parametrize("fault", TOO_LITTLE, ids=lambda fault: fault.kind)
def test_an_answer_that_proves_too_little_is_an_attempt(
    context: MakeContext, sandbox: Sandbox, fault: Fault, clock: SetClock
) -> None:
    given = context(BACKFILL_DAYS="1", RATE_LIMIT_MAX_RETRIES="0")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    delete(given, held[100][0])
    detect_gaps(given)
    sandbox.faults = [fault]
    waits = []
    for attempt in range(1, 9):
        result = repair(given)
        assert result.exit in {3, 76}
        ((status, attempts, next_attempt),) = given.store.connection.execute(
            "SELECT status, attempts, next_attempt_at FROM data_gaps"
        ).fetchall()
        assert attempts == attempt
        if status == "failed":
            break
        waits.append((next_attempt - clock.now()) // 3_600_000)
        assert repair(given).tally.requests == 0, "not due before its time"
        clock.advance(next_attempt - clock.now())
    assert (waits, status) == ([1, 6, 24, 24, 24, 24, 24], "failed")
    sandbox.faults = []
    assert repair(given).exit == 3, "a gap that was given up counts as open"
    assert repair(given, retry_failed=True).exit == 0
    assert held[100] in stored(given.store.path, "tBTCUSD", "1m")


def test_a_long_silence_is_asked_about_again_at_three_ages(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    hole = Range(TODAY - 5 * 3_600_000, TODAY - 3 * 3_600_000)
    pair = sandbox.market.pairs["tBTCUSD"]
    sandbox.market.pairs["tBTCUSD"] = replace(pair, holes=(hole,))
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    asked = []
    for _ in range(40):
        clock.advance(DAY)
        update(given)
        if repair(given).tally.requests:
            asked.append((clock.now() - hole.end) // DAY)
    assert asked == [1, 7, 30]
    clock.advance(DAY)
    sandbox.market.pairs["tBTCUSD"] = pair
    assert repair(given).tally.requests == 0


def test_an_outage_that_the_exchange_fills_later_is_filled_here(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    pair = sandbox.market.pairs["tBTCUSD"]
    sandbox.market.pairs["tBTCUSD"] = replace(pair, holes=(Range(TODAY - 5 * 3_600_000, TODAY - 3 * 3_600_000),))
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    sandbox.market.pairs["tBTCUSD"] = pair
    clock.advance(DAY)
    update(given)
    assert repair(given).tally.candles_written == 120
    assert stored(given.store.path, "tBTCUSD", "1m") == truth(sandbox, "tBTCUSD", "1m", TODAY - DAY, clock.now())


def test_a_final_candle_that_changes_is_kept_as_a_revision(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    old, lost = held[101], held[100]
    sandbox.market.revised["tBTCUSD", "1m", old[0]] = new = (old[0], *(value + 1 for value in old[1:]))
    delete(given, lost[0])
    detect_gaps(given)
    result = repair(given)
    assert (result.exit, result.tally.candles_changed) == (0, 1)
    assert new in stored(given.store.path, "tBTCUSD", "1m")
    row = given.store.connection.execute(
        "SELECT open_time, kind, open, high, low, close, volume, source FROM candle_revisions"
    ).fetchall()
    assert row == [(old[0], "changed", *old[1:], "repair")]


def test_gaps_given_up_are_tried_again_where_that_is_asked_for_and_a_dry_run_says_so(context: MakeContext) -> None:
    given = context(SYMBOLS="BTCUSD,NEWUSD", BACKFILL_DAYS="1")
    backfill(given)
    for symbol in ("tBTCUSD", "tNEWUSD"):
        delete(given, stored(given.store.path, symbol, "1m")[100][0], symbol=symbol)
    detect_gaps(given)
    with given.store.write() as connection:
        connection.execute("UPDATE data_gaps SET status = 'failed', attempts = 8")
    one = with_settings(given, symbols=("tBTCUSD",))
    assert plan(one.settings, one.store, NOW).gaps == 0
    planned = plan(one.settings, one.store, NOW, retry_failed=True)
    assert (planned.gaps, planned.intervals, planned.estimate.requests) == (1, 1, 1)
    result = repair(one, retry_failed=True)
    assert (result.exit, result.tally.requests, result.tally.gaps_repaired) == (0, 1, 1)
    assert [len(gap_ranges(given, status)) for status in ("open", "failed", "repaired")] == [0, 1, 1]


def test_max_requests_of_the_run_is_obeyed(context: MakeContext) -> None:
    given = context(Limits(max_requests=0), BACKFILL_DAYS="1")
    assert backfill(given).exit == 3


def test_a_clock_that_was_set_back_closes_no_gap(context: MakeContext, clock: SetClock) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    newest = stored(given.store.path, "tBTCUSD", "1m")[-10][0]
    delete(given, newest)
    assert detect_gaps(given).tally.gaps_opened == 1
    clock.wall -= 3_600_000
    assert detect_gaps(given).tally == detect_gaps(given).tally._replace(gaps_empty=0, gaps_repaired=0, remaining=1)
    assert gap_ranges(given) == [(newest, newest + MINUTE)]


def test_a_clock_that_was_a_year_fast_delays_no_gap_for_a_year(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    delete(given, stored(given.store.path, "tBTCUSD", "1m")[100][0])
    detect_gaps(given)
    clock.wall += 365 * DAY
    sandbox.faults = [Fault("nan"), Fault("skew", parameters={"seconds": -365 * 86_400})]
    repair(given)
    clock.wall -= 365 * DAY
    sandbox.faults = []
    assert repair(given).tally.gaps_repaired == 1


def test_a_gap_with_an_end_that_has_not_settled_counts_its_attempts(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    delete(given, *(row[0] for row in stored(given.store.path, "tBTCUSD", "1m")[-10:]))
    assert detect_gaps(given).tally.gaps_opened == 1
    sandbox.faults = [Fault("empty")]
    assert repair(given).tally.requests == 3, "nothing came back that is stored: asked twice more, and over more"
    assert repair(given).tally.requests == 0, "the next attempt is due in an hour"


def test_silences_that_are_due_share_pages(context: MakeContext, sandbox: Sandbox, clock: SetClock) -> None:
    starts = range(TODAY - 3 * DAY + 3_600_000, TODAY - 3_600_000, 4 * 3_600_000)
    holes = tuple(Range(start, start + 70 * MINUTE) for start in starts)
    sandbox.market.pairs["tBTCUSD"] = replace(sandbox.market.pairs["tBTCUSD"], holes=holes)
    given = context(BACKFILL_DAYS="3")
    backfill(given)
    clock.advance(3 * DAY)
    update(given)
    (silences,) = given.store.connection.execute("SELECT count(*) FROM empty_runs").fetchone()
    assert silences > 15
    result = repair(given)
    assert (result.exit, result.tally.requests) == (0, 1)
    assert repair(given).tally.requests == 0


def test_trying_failed_gaps_again_is_part_of_one_run(context: MakeContext) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    result = repair(given, retry_failed=True)
    rows = given.store.connection.execute("SELECT id, outcome, error FROM ingestion_jobs WHERE command = 'repair'")
    assert rows.fetchall() == [(result.job_id, "ok", None)]


TROUBLES = [
    Fault("rate-limit-429"), Fault("rate-limit-200"), Fault("maintenance"), Fault("cloudflare"), Fault("reset"),
    Fault("truncated"), Fault("html"), Fault("empty"), Fault("short"), Fault("shifted"), Fault("nan"),
    Fault("cap", parameters={"rows": 1}), Fault("cap", parameters={"rows": 40}), Fault("unsorted"), Fault("conflict"),
    Fault("outside"),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_any_mixture_of_losses_holes_refusals_and_short_pages_ends_with_the_truth(
    context: MakeContext, sandbox: Sandbox, clock: SetClock, seed: int
) -> None:
    rng = random.Random(seed)
    symbol = rng.choice(["tBTCUSD", "tSPAUSD"])
    starts = [TODAY - rng.randrange(3 * 1440) * MINUTE for _ in range(rng.randrange(4))]
    holes = tuple(Range(start, start + rng.choice([1, 30, 90, 700]) * MINUTE) for start in starts)
    sandbox.market.pairs[symbol] = replace(sandbox.market.pairs[symbol], holes=holes)
    given = context(SYMBOLS=symbol, BACKFILL_DAYS="3", RATE_LIMIT_MAX_RETRIES="1", GAP_REPAIR_MAX_REPAIRS_PER_RUN="3")
    assert backfill(given).exit == 0
    held = stored(given.store.path, symbol, "1m")
    # The outermost candles stay: beyond them nothing witnesses that two answers in a row were cut alike.
    times = [row[0] for row in held[1:-5]]
    lost = set(rng.sample(times, rng.choice([1, 20, len(times) // 3])))
    for _ in range(3):
        first = rng.randrange(len(times))
        lost.update(times[first : first + rng.choice([1, 5, 400])])
    delete(given, *lost, symbol=symbol)
    for _ in range(rng.randrange(3, 12)):
        sandbox.faults = [replace(fault, after=0) for fault in rng.sample(TROUBLES, rng.randrange(3))]
        for fault in sandbox.faults:
            fault.share, fault.times = 0.6, 2
        detect_gaps(given)
        repair(given)
        clock.advance(rng.choice([0, 10 * MINUTE, 2 * 3_600_000, DAY]))
    sandbox.faults = []
    for _ in range(40):
        detect_gaps(given)
        if repair(given, retry_failed=True).exit == 0:
            break
        clock.advance(3_600_000)
    backfill(given)
    detect_gaps(given)
    repair_fully(given)
    now = clock.now()
    assert stored(given.store.path, symbol, "1m") == truth(sandbox, symbol, "1m", TODAY - 3 * DAY, now)
    (state,) = collect(given.settings, given.store, now).series
    assert (state.counts.unknown, state.is_complete) == (0, True)
    assert counted_wrong(given) == []
    count = len(sandbox.requests)
    assert (detect_gaps(given).tally.gaps_opened, repair(given).tally.requests) == (0, 0)
    assert len(sandbox.requests) == count


def test_nothing_about_what_has_not_settled_proves_anything(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    delete(given, held[-1][0])
    assert detect_gaps(given).tally.gaps_opened == 1
    sandbox.faults = [Fault("empty")]
    for job in (repair, update, backfill):
        job(given)
        assert gap_ranges(given) == [(held[-1][0], held[-1][0] + MINUTE)]
    sandbox.faults = []
    clock.advance(3 * MINUTE)
    assert repair(given).tally.gaps_repaired == 1
    assert held[-1] in stored(given.store.path, "tBTCUSD", "1m")
