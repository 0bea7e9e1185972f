"""What was wrong with the programs that mdata follows, each defect a test, so that it cannot come back.

The original is m0nklabs/market-data (a daemon), its predecessor m0nklabs/cryptotrader (a process per series); the
defects were read in their sources.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import DAY, NOW, Folder, SetClock, stored, truth, with_settings
from gap_tools import delete, gap_ranges, repair_fully
from streams import fast as fast  # a fixture  # noqa: PLC0414

from mdata.config import load
from mdata.domain.interval import Range
from mdata.domain.priority import Priority
from mdata.domain.timeframe import HOUR, MINUTE, TIMEFRAMES
from mdata.errors import ConfigurationError
from mdata.jobs.backfill import backfill
from mdata.jobs.cleanup import cleanup
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.repair import repair
from mdata.jobs.update import update
from mdata.ratelimit import RateLimit
from mdata.running.context import Context, Limits
from mdata.sandbox.faults import Fault
from mdata.sandbox.server import Sandbox

MakeContext = Callable[..., Context]
TODAY = NOW - NOW % DAY


def opens(context: Context) -> list[int]:
    return [row[0] for row in stored(context.store.path, "tBTCUSD", "1m")]


def test_a_single_missing_candle_was_never_detected(context: MakeContext) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    time = opens(given)[700]
    delete(given, time)
    detect_gaps(given)
    assert gap_ranges(given) == [(time, time + MINUTE)]


@pytest.mark.parametrize("which", [0, -4])
def test_leading_and_trailing_gaps_were_never_detected(context: MakeContext, which: int) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    time = opens(given)[which]
    delete(given, time)
    detect_gaps(given)
    assert gap_ranges(given) == [(time, time + MINUTE)]


def test_a_series_of_fewer_than_two_candles_had_no_gaps(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(SYMBOLS="NEWUSD", TIMEFRAMES="1M", BACKFILL_DAYS="40")
    sandbox.market.pairs["tNEWUSD"] = replace(sandbox.market.pairs["tNEWUSD"], listed=TODAY - 40 * DAY)
    backfill(given)
    ((time, *_),) = stored(given.store.path, "tNEWUSD", "1M")[-1:]
    delete(given, *(row[0] for row in stored(given.store.path, "tNEWUSD", "1M")), symbol="tNEWUSD")
    assert detect_gaps(given).tally.gaps_opened == 1
    assert gap_ranges(given)[-1][1] == TIMEFRAMES["1M"].next(time)


def test_gaps_older_than_thirty_days_or_beyond_a_hundred_thousand_rows_were_not_looked_for(
    context: MakeContext,
) -> None:
    given = context(BACKFILL_DAYS="80")
    backfill(given)
    times = opens(given)
    assert len(times) > 100_000
    delete(given, times[5], times[100_050])
    detect_gaps(given)
    assert gap_ranges(given) == [(time, time + MINUTE) for time in (times[5], times[100_050])]


def test_a_gap_was_repaired_when_nothing_came_back(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    time = opens(given)[700]
    delete(given, time)
    detect_gaps(given)
    sandbox.faults = [Fault("empty")]
    assert repair(given).exit == 3
    assert gap_ranges(given) == [(time, time + MINUTE)]
    assert gap_ranges(given, "repaired") == gap_ranges(given, "empty") == []


def test_a_gap_was_repaired_when_the_rate_limit_refused_ten_times(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    time = opens(given)[700]
    delete(given, time)
    detect_gaps(given)
    sandbox.faults = [Fault("rate-limit-429")]
    result = repair(given)
    assert (result.exit, result.tally.requests, result.tally.gaps_repaired) == (75, 11, 0)
    assert gap_ranges(given) == [(time, time + MINUTE)]
    sandbox.faults = []
    clock.sleep(900)
    assert repair(given).tally.gaps_repaired == 1


def test_a_gap_that_came_back_stayed_repaired_for_ever(context: MakeContext) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    time = opens(given)[700]
    for _ in range(2):
        delete(given, time)
        assert detect_gaps(given).tally.gaps_opened == 1
        assert gap_ranges(given) == [(time, time + MINUTE)]
        assert repair(given).tally.gaps_repaired == 1


def test_a_crash_lost_the_whole_backfill(context: MakeContext, sandbox: Sandbox) -> None:
    """Everything was held in memory until the end; here each page is committed as it comes."""
    given = context(Limits(max_requests=3), BACKFILL_DAYS="30")
    sandbox.faults = [Fault("html", after=3)]
    backfill(given)
    assert len(opens(given)) >= 15_000
    sandbox.faults = []
    before = len(sandbox.requests)
    backfill(given._replace(limits=Limits()))
    assert sum(one.rows for one in sandbox.requests[before:]) <= 30 * 1440 - 15_000


def test_resuming_at_the_newest_candle_never_extended_backwards(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(BACKFILL_DAYS="5")
    backfill(given)
    before = len(sandbox.requests)
    longer = with_settings(given, backfill_days=12)
    backfill(longer)
    assert stored(given.store.path, "tBTCUSD", "1m") == truth(sandbox, "tBTCUSD", "1m", TODAY - 12 * DAY, NOW)
    asked = sandbox.requests[before:]
    assert 0 <= sum(one.rows for one in asked) - 7 * 1440 <= 5 * len(asked)


def test_resuming_at_the_newest_candle_never_saw_inner_holes(context: MakeContext, sandbox: Sandbox) -> None:
    given = context(BACKFILL_DAYS="2")
    backfill(given)
    delete(given, *random.Random(1).sample(opens(given)[:-5], 40))
    backfill(given)
    detect_gaps(given)
    repair_fully(given)
    assert stored(given.store.path, "tBTCUSD", "1m") == truth(sandbox, "tBTCUSD", "1m", TODAY - 2 * DAY, NOW)


@pytest.mark.parametrize("timeframe", ["1m", "1h", "1D", "1W", "1M"])
def test_the_forming_candle_was_stored(
    context: MakeContext, sandbox: Sandbox, clock: SetClock, timeframe: str
) -> None:
    grid = TIMEFRAMES[timeframe]
    clock.advance(50_000)
    given = context(TIMEFRAMES=timeframe, BACKFILL_DAYS="60")
    backfill(given)
    newest = stored(given.store.path, "tBTCUSD", timeframe)[-1][0]
    assert grid.next(newest) <= clock.now()
    within = Range(grid.floor(clock.now()), clock.now())
    (shown,) = sandbox.market.walk("tBTCUSD", grid, within, clock.now())
    assert shown[0] > newest, "the exchange does show one that is forming"


def test_a_forming_candle_was_frozen_for_ever(context: MakeContext, sandbox: Sandbox, clock: SetClock) -> None:
    """The predecessor resumed after its newest candle, which had been forming; here each is asked for once more."""
    given = context(BACKFILL_DAYS="1")
    for _ in range(5):
        update(given)
        clock.advance(37_000)
    clock.advance(300_000)
    backfill(given)
    assert stored(given.store.path, "tBTCUSD", "1m") == truth(sandbox, "tBTCUSD", "1m", TODAY - DAY, clock.now())
    (provisional,) = given.store.connection.execute(
        "SELECT coalesce(sum(end_time - start_time), 0) FROM coverage WHERE kind = 'provisional'"
    ).fetchone()
    assert provisional <= 3 * MINUTE


@pytest.mark.parametrize("timeframe", ["4h", "2h", "1y", "60m", "1d"])
def test_an_unknown_timeframe_became_one_hour_and_4h_was_offered(tmp_path: Path, timeframe: str) -> None:
    with pytest.raises(ConfigurationError, match="TIMEFRAMES"):
        load(environ={"HOME": str(tmp_path), "TIMEFRAMES": timeframe})


def test_only_the_newest_candle_of_a_snapshot_was_kept(fast: Folder) -> None:
    ended = fast.run("stream", "--for", "2m", "--json", SYMBOLS="BTCUSD")
    assert (ended.exit, ended.json["requests"]) == (0, 1)  # the first candle; none for the four hours
    assert len(stored(fast.database, "tBTCUSD", "1m")) >= 235


def test_detection_stopped_while_gaps_were_open(context: MakeContext) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    times = opens(given)
    for number in range(1, 5):
        delete(given, times[100 * number])
        assert detect_gaps(given).tally.gaps_opened == 1


def test_ten_repairs_a_run_were_ten_gaps_a_run(context: MakeContext) -> None:
    given = context(BACKFILL_DAYS="3")
    backfill(given)
    delete(given, *opens(given)[100:4000:40])
    opened = detect_gaps(given).tally.gaps_opened
    assert opened > 90
    result = repair(given)
    assert (result.exit, result.tally.requests, result.tally.gaps_repaired) == (0, 1, opened)


def test_each_process_had_a_rate_limit_of_its_own(tmp_path: Path) -> None:
    clock = SetClock()
    at = []
    for number in range(5):
        own = RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(number).uniform)
        own.acquire(Priority.BACKFILL, lambda: 1)
        own.sent()
        at.append(clock.boot)
    assert [later - earlier for earlier, later in zip(at, at[1:], strict=False)] == [6.0] * 4


def test_a_ban_of_a_minute_was_met_with_seconds(context: MakeContext, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("rate-limit-429", times=3)]
    backfill(context(BACKFILL_DAYS="1"))
    at = [one.boottime for one in sandbox.requests]
    assert all(later - earlier > 60 for earlier, later in zip(at[:3], at[1:4], strict=True))


@pytest.mark.parametrize("timeframe", ["5m", "15m", "30m", "3h", "6h", "12h", "1W", "1M"])
def test_retention_left_most_timeframes_growing_for_ever(context: MakeContext, timeframe: str) -> None:
    given = context(TIMEFRAMES=timeframe, BACKFILL_DAYS="120")
    backfill(given)
    before = len(stored(given.store.path, "tBTCUSD", timeframe))
    _, removed = cleanup(with_settings(given, retention_days=40))
    left = [row[0] for row in stored(given.store.path, "tBTCUSD", timeframe)]
    assert removed.candles == before - len(left) > 0
    assert left[0] == TIMEFRAMES[timeframe].floor(TODAY - 40 * DAY)


def test_a_later_candle_closed_the_gap_of_an_earlier_one(context: MakeContext, sandbox: Sandbox) -> None:
    """The predecessor stored whatever came back, and closed the gap."""
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    held = stored(given.store.path, "tBTCUSD", "1m")
    delete(given, held[700][0])
    detect_gaps(given)
    sandbox.faults = [Fault("shifted", times=1)]
    assert repair(given._replace(limits=Limits(max_requests=1))).exit == 3
    assert gap_ranges(given) == [(held[700][0], held[701][0])]
    assert stored(given.store.path, "tBTCUSD", "1m") == [*held[:700], *held[701:]]


def test_minutes_without_trades_were_asked_for_every_six_hours(
    context: MakeContext, sandbox: Sandbox, clock: SetClock
) -> None:
    given = context(SYMBOLS="SPAUSD", BACKFILL_DAYS="3")
    backfill(given)
    before = len(sandbox.requests)
    for _ in range(8):
        clock.advance(6 * HOUR)
        assert detect_gaps(given).tally.gaps_opened == 0
        assert repair(given).exit == 0
    # Some 3,900 minutes without trades; only silences of an hour and more are asked about again, at certain ages.
    assert len(sandbox.requests) - before <= 8
