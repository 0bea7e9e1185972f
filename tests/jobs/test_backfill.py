"""`backfill` and `update` against the sandbox: the store equals the exchange's ledger, for the fewest requests."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from conftest import DAY, NOW, Folder, SetClock, stored, truth, with_settings

from mdata.domain.interval import Range
from mdata.domain.timeframe import TIMEFRAMES
from mdata.exchange.bitfinex.rest import Rest
from mdata.health import Tolerance, complaints
from mdata.jobs.backfill import backfill
from mdata.jobs.cleanup import cleanup
from mdata.jobs.status import collect
from mdata.jobs.update import update
from mdata.running.context import Context, Limits
from mdata.sandbox.faults import Fault
from mdata.sandbox.server import Sandbox

MakeContext = Callable[..., Context]
TODAY = NOW - NOW % DAY


def assert_complete(context: Context, sandbox: Sandbox, symbol: str, timeframe: str, since: int) -> int:
    """Assert that the store holds exactly what the exchange does from `since` on; return how many candles."""
    now = context.clock.now()
    held = stored(context.store.path, symbol, timeframe)
    assert held == truth(sandbox, symbol, timeframe, since, now)
    state = next(
        one for one in collect(context.settings, context.store, now).series
        if (one.series.symbol, one.series.timeframe.name) == (symbol, timeframe)
    )  # fmt: skip
    assert (state.counts.unknown, state.gaps.unresolved, state.lag_seconds) == (0, 0, 0)
    assert state.counts.candles == len(held)
    wanted = TIMEFRAMES[timeframe].count(*state.counts.wanted)
    assert state.counts.final + state.counts.provisional == wanted
    settled = [row for row in held if row[0] < state.counts.wanted.end]
    # A silence up to now is provisional until an answer encloses it.
    assert 0 <= wanted - len(settled) - state.counts.empty <= state.counts.provisional
    return len(held)


@pytest.mark.parametrize(
    ("symbol", "timeframe", "days"),
    [
        ("tBTCUSD", "1m", 30),
        ("tSPAUSD", "1m", 30),
        ("tNEWUSD", "1m", 30),
        ("tBTCUSD", "1h", 60),
        ("tSPAUSD", "1D", 60),
        ("tBTCUSD", "1W", 120),
        ("tNEWUSD", "1M", 150),
    ],
)
def test_the_store_equals_the_ledger(
    context: MakeContext, sandbox: Sandbox, symbol: str, timeframe: str, days: int
) -> None:
    given = context(SYMBOLS=symbol, TIMEFRAMES=timeframe, BACKFILL_DAYS=str(days))
    result = backfill(given)
    assert (result.exit, result.outcome, result.tally.remaining) == (0, "ok", 0)
    start = TIMEFRAMES[timeframe].floor(TODAY - days * DAY)
    rows = assert_complete(given, sandbox, symbol, timeframe, start)
    assert result.tally.candles_written == rows > 0
    assert result.tally.requests == len(sandbox.requests) <= math.ceil(rows / 10_000) + 3
    again = backfill(given)
    assert (again.exit, again.tally.candles_written, again.tally.candles_changed) == (0, 0, 0)
    assert again.tally.requests == 0


def test_an_unknown_symbol_is_named_and_the_others_are_served(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(SYMBOLS="ZZZUSD,BTCUSD", BACKFILL_DAYS="1")
    result = backfill(given)
    assert result.exit == 78
    assert result.reason is not None
    assert "tZZZUSD" in result.reason
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - DAY)
    assert [one.series.symbol for one in collect(given.settings, given.store, NOW).series] == ["tBTCUSD"]


def test_a_larger_range_fetches_only_the_older_part(context: MakeContext, sandbox: Sandbox) -> None:
    given = context()
    backfill(given)
    before = len(sandbox.requests)
    longer = with_settings(given, backfill_days=60)
    assert backfill(longer).exit == 0
    assert_complete(longer, sandbox, "tBTCUSD", "1m", TODAY - 60 * DAY)
    asked = sandbox.requests[before:]
    # A few stored candles are asked for again each time: one of them has to come back.
    assert 0 <= sum(one.rows for one in asked) - 30 * 1440 <= 5 * len(asked)
    count = len(sandbox.requests)
    assert backfill(given).tally.requests == 0
    assert len(sandbox.requests) == count
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - 60 * DAY)


def test_since_lowers_the_wanted_start(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    assert backfill(given, since=TODAY - 5 * DAY).exit == 0
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - 5 * DAY)


def test_time_passes_and_update_follows(context: MakeContext, sandbox: Sandbox, clock: SetClock) -> None:
    given = context(SYMBOLS="BTCUSD,SPAUSD", BACKFILL_DAYS="2")
    backfill(given)
    for minutes in (1, 1, 3, 17, 600):
        clock.advance(minutes * 60_000)
        before = len(sandbox.requests)
        assert update(given).exit == 0
        assert len(sandbox.requests) - before <= 4
        for symbol in ("tBTCUSD", "tSPAUSD"):
            assert_complete(given, sandbox, symbol, "1m", TODAY - 2 * DAY)
    count = len(sandbox.requests)
    assert update(given).tally.requests == 0
    assert len(sandbox.requests) == count


def test_every_candle_is_asked_for_once_more_after_it_settled(context: MakeContext, sandbox: Sandbox, clock: SetClock) -> None:  # fmt: skip # noqa: E501
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    last = stored(given.store.path, "tBTCUSD", "1m")[-1]
    sandbox.market.revised["tBTCUSD", "1m", last[0]] = (last[0], *(value + 1 for value in last[1:]))
    clock.advance(5 * 60_000)
    assert update(given).exit == 0
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - DAY)
    (revisions,) = given.store.connection.execute("SELECT count(*) FROM candle_revisions").fetchone()
    assert revisions == 0, "a provisional candle that becomes final is no revision"


def test_limits_end_a_run_early_and_the_next_one_goes_on(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(Limits(max_requests=2))
    result = backfill(given)
    assert (result.exit, result.outcome) == (3, "partial")
    assert result.tally.requests == 2
    assert result.tally.remaining > 0
    while (result := backfill(given)).exit == 3:
        assert result.tally.requests == 2
    assert result.exit == 0
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - 30 * DAY)


def test_an_outage_is_asked_about_twice_and_remembered_as_one_range(context: MakeContext, sandbox: Sandbox) -> None:
    hole = Range(TODAY - 45 * DAY, TODAY - 5 * DAY)
    sandbox.market.pairs["tBTCUSD"] = replace(sandbox.market.pairs["tBTCUSD"], holes=(hole,))
    given = context(BACKFILL_DAYS="60")
    assert backfill(given).exit == 0
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - 60 * DAY)
    runs = given.store.connection.execute("SELECT start_time, end_time FROM empty_runs").fetchall()
    assert runs == [tuple(hole)]
    (segments,) = given.store.connection.execute("SELECT count(*) FROM coverage").fetchone()
    assert segments <= 2


def test_a_hidden_cap_hides_nothing(context: MakeContext, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("cap", parameters={"rows": 5000})]
    given = context()
    assert backfill(given).exit == 0
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - 30 * DAY)


def test_a_hidden_cap_is_remembered_where_little_is_left(context: MakeContext, sandbox: Sandbox) -> None:
    """A page that is cut half an hour before the beginning looks like one that ends in half an hour of silence."""
    begin = NOW // 60_000 * 60_000 - 15_030 * 60_000
    sandbox.market.pairs["tNEWUSD"] = replace(sandbox.market.pairs["tNEWUSD"], listed=begin)
    sandbox.faults = [Fault("cap", parameters={"rows": 5000})]
    given = context(SYMBOLS="NEWUSD")
    assert backfill(given).exit == 0
    assert_complete(given, sandbox, "tNEWUSD", "1m", begin)


@pytest.mark.parametrize("seconds", [-300, -4000])
def test_a_fast_local_clock_stores_no_forming_candle(context: MakeContext, sandbox: Sandbox, seconds: int, clock: SetClock) -> None:  # fmt: skip # noqa: E501
    given = context(BACKFILL_DAYS="1", TIMEFRAMES="1m,1h")
    sandbox.faults = [Fault("skew", parameters={"seconds": seconds})]
    assert backfill(given).exit == 0
    real_now = clock.now() + seconds * 1000
    for timeframe in ("1m", "1h"):
        held = stored(given.store.path, "tBTCUSD", timeframe)
        assert held
        assert TIMEFRAMES[timeframe].next(held[-1][0]) <= real_now
    (covered,) = given.store.connection.execute("SELECT max(end_time) FROM coverage").fetchone()
    assert covered <= real_now
    (final,) = given.store.connection.execute("SELECT max(end_time) FROM coverage WHERE kind = 'final'").fetchone()
    assert final <= real_now - 120_000


PAGE_FAULTS = {"html": 76, "infinity": 76, "empty-body": 76, "null": 76, "object": 76, "deep": 76, "truncated": 76,
               "nan": 76, "outside": 76, "unsorted": 76, "conflict": 76, "same-page": 76, "parameter": 76,
               "redirect": 76, "huge": 76, "gzip-bomb": 76, "maintenance": 69, "gateway": 69, "cloudflare": 69,
               "not-ready": 69, "reset": 69, "drip": 69, "stall": 69}  # fmt: skip


@contextmanager
def impatient(context: Context, sandbox: Sandbox) -> Iterator[Context]:
    """Give a context that waits for an answer for a second, and half a second for its next byte."""
    rest = Rest(sandbox.rest_url, context.clock, context.log.warning, most_seconds=1.0, idle_seconds=0.5)
    yield context._replace(exchange=lambda _: rest)
    rest.close()


@pytest.mark.parametrize(("kind", "code"), PAGE_FAULTS.items())
def test_a_faulty_answer_stores_and_proves_nothing(
    context: MakeContext, sandbox: Sandbox, kind: str, code: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("hostile answers", 1)
    given = context(RATE_LIMIT_MAX_RETRIES="2")
    backfill(with_settings(given, backfill_days=3))
    held, requests = stored(given.store.path, "tBTCUSD", "1m"), len(sandbox.requests)
    before = given.store.connection.execute("SELECT * FROM coverage").fetchall()
    sandbox.faults = [Fault(kind, parameters={"seconds": 0.01} if kind == "drip" else {})]
    with impatient(given, sandbox) as hurried:
        result = backfill(hurried if kind in {"drip", "stall"} else given)
    pages = 1 if kind == "same-page" else 0
    assert result.exit == code, result.reason
    assert result.reason
    if not pages:
        assert stored(given.store.path, "tBTCUSD", "1m") == held
        assert given.store.connection.execute("SELECT * FROM coverage").fetchall() == before
    retried = {"html", "empty-body", "deep", "truncated"} | {
        name for name, exit_code in PAGE_FAULTS.items() if exit_code == 69
    }
    assert len(sandbox.requests) - requests == (3 if kind in retried else 1 + pages)
    (row,) = given.store.connection.execute(
        "SELECT outcome, exit, error FROM ingestion_jobs ORDER BY id DESC LIMIT 1"
    ).fetchall()
    assert row == ("failed", code, result.reason)
    sandbox.faults = []
    assert backfill(given).exit == 0
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - 30 * DAY)


@pytest.mark.parametrize("kind", ["truncated", "reset", "cloudflare", "html", "rate-limit-429", "rate-limit-object",
                                  "rate-limit-500", "rate-limit-200", "rate-limit-message"])  # fmt: skip
def test_a_passing_fault_is_survived(context: MakeContext, sandbox: Sandbox, kind: str) -> None:
    sandbox.faults = [Fault(kind, times=2, after=1)]
    given = context()
    result = backfill(given)
    assert result.exit == 0, result.reason
    assert update(given).exit == 0  # what has closed while nobody might ask
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - 30 * DAY)


def test_a_block_after_some_pages_ends_in_part(context: MakeContext, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("rate-limit-429", after=3)]
    result = backfill(context())
    assert (result.exit, result.outcome) == (75, "partial")
    assert result.tally.candles_written > 0


SPOILT = [(2, "text"), (2, None), (3, True), (1, -1.0), (3, 1e20), (4, 10**9), (5, 0), (0, "soon"), (0, None)]


@pytest.mark.parametrize(("column", "value"), SPOILT)
def test_a_faulty_row_is_set_aside_and_stays_unknown(
    context: MakeContext, sandbox: Sandbox, column: int, value: object
) -> None:
    sandbox.faults = [Fault("spoil", times=1, parameters={"row": 50, "column": column, "value": value})]
    given = context(BACKFILL_DAYS="2")
    result = backfill(given)
    assert (result.exit, result.outcome) == (65, "partial")
    held = set(stored(given.store.path, "tBTCUSD", "1m"))
    whole = set(truth(sandbox, "tBTCUSD", "1m", TODAY - 2 * DAY, NOW))
    assert held < whole
    ((bad,),) = [whole - held]
    (state,) = collect(given.settings, given.store, NOW).series
    assert state.counts.unknown == 1
    assert not state.is_complete
    (row,) = given.store.connection.execute("SELECT open_time, reason FROM rejected_rows").fetchall()
    assert row[0] in {bad[0], None}


def test_extra_elements_and_repeated_rows_are_no_fault(context: MakeContext, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("seventh", times=2), Fault("duplicate")]
    given = context(BACKFILL_DAYS="2")
    assert backfill(given).exit == 0
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - 2 * DAY)


def test_since_reaches_back_to_the_retention_and_not_only_to_backfill_days(
    context: MakeContext, sandbox: Sandbox
) -> None:
    given = context(BACKFILL_DAYS="2", RETENTION_DAYS="9")
    backfill(given)
    assert backfill(given, since=TODAY - 5 * DAY).exit == 0
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - 5 * DAY)
    assert backfill(given, since=TODAY - 500 * DAY).exit == 0
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - 9 * DAY)


def test_after_a_pause_longer_than_the_retention_nothing_is_asked_for_over_and_over(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    given = context(BACKFILL_DAYS="20", RETENTION_DAYS="5", TIMEFRAMES="1h")
    backfill(given)
    clock.advance(10 * DAY)
    update(with_settings(given, symbols=("tSPAUSD",)))  # so that the time is known to have passed
    cleanup(given)
    update(given)
    clock.advance(3_600_000)
    before = len(sandbox.requests)
    update(given)
    (asked,) = sandbox.requests[before:]
    assert asked.rows <= 5
    assert backfill(given).exit == 0
    cleanup(given)  # of the old candles the newest had been kept, to know the first new answer by
    assert_complete(given, sandbox, "tBTCUSD", "1h", TODAY + 5 * DAY)


def test_a_clock_that_says_1970_does_not_ask_for_all_of_history(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    """A machine without a battery boots in 1970; the wanted start, once lowered, would stay."""
    sandbox.clock = SetClock()
    clock.wall = 5 * DAY
    given = context(BACKFILL_DAYS="1")
    result = backfill(given)
    assert result.exit == 78
    assert "1970-01-06" in (result.reason or "")
    clock.wall = NOW
    assert backfill(given).exit == 0
    clock.wall = 5 * DAY
    result = backfill(given)
    assert result.exit == 78
    assert "set the clock" in (result.reason or "")
    clock.wall = NOW
    assert backfill(given).exit == 0
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - DAY)


def test_a_store_that_nobody_has_fed_for_weeks_is_stale_and_a_pair_without_trades_is_not(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    dead = sandbox.market.pairs["tSPAUSD"]
    sandbox.market.pairs["tSPAUSD"] = replace(dead, holes=(Range(TODAY - 40 * DAY, TODAY + 400 * DAY),))
    given = context(SYMBOLS="BTCUSD,SPAUSD", TIMEFRAMES="1h,1M", BACKFILL_DAYS="90")
    backfill(given)
    assert complaints(collect(given.settings, given.store, clock.now()), Tolerance(5400)) == []
    clock.advance(80 * DAY)
    stale = complaints(collect(given.settings, given.store, clock.now()), Tolerance(5400))
    assert stale[0].startswith("bitfinex:tBTCUSD 1h and bitfinex:tBTCUSD 1M lag by up to ")


@pytest.mark.parametrize(("kind", "code"), [("html", 76), ("spoil", 65)])
def test_a_bad_first_answer_about_one_series_leaves_the_others_served(
    context: MakeContext, sandbox: Sandbox, kind: str, code: int
) -> None:
    given = context(SYMBOLS="SPAUSD,BTCUSD", BACKFILL_DAYS="1", RATE_LIMIT_MAX_RETRIES="0")
    sandbox.faults = [Fault(kind, symbol="tSPAUSD")]
    result = backfill(given)
    assert result.exit == code
    assert "tSPAUSD" in (result.reason or "")
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - DAY)
    sandbox.faults = []
    assert backfill(given).exit == 0


def test_an_unreadable_list_of_pairs_leaves_the_others_served(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(SYMBOLS="ZZZUSD,BTCUSD", BACKFILL_DAYS="1", RATE_LIMIT_MAX_RETRIES="0")
    sandbox.faults = [Fault("null", after=1, times=1)]
    result = backfill(given)
    assert result.exit == 76
    assert_complete(given, sandbox, "tBTCUSD", "1m", TODAY - DAY)


PEAK_OF = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("kind", [None, "huge", "gzip-bomb"])
def test_memory_is_bounded_whatever_is_answered(
    folder: Folder, kind: str | None, record_property: Callable[[str, object], None]
) -> None:
    folder.settings["BACKFILL_DAYS"] = "60"
    if kind is not None:
        folder.sandbox.faults = [Fault(kind, after=2)]
    # A process begins with the peak of the one that it was forked from, and this one may be large: start a small one.
    folder.before = [sys.executable, "-c", PEAK_OF]
    ended = folder.run("backfill")
    assert ended.exit == (76 if kind else 0)
    peak = int(ended.err.splitlines()[-1])
    record_property("peak memory (MiB)", round(peak / 1024, 1))
    assert peak < 120 * 1024
