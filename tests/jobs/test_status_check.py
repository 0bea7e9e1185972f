"""The health check of `status`: what it complains of, and how it says so."""

from collections.abc import Callable

import pytest
from conftest import DAY, NOW, Folder, SetClock
from covered_series import M1, SETTLE, covered_to, new_series

from mdata.domain.doubt import Doubt
from mdata.domain.interval import Range
from mdata.domain.timeframe import HOUR, MINUTE
from mdata.health import Tolerance, complaints
from mdata.jobs.status import Status, collect
from mdata.running.context import Context
from mdata.store import coverage, doubts, gaps
from mdata.store.connection import Connection


@pytest.fixture
def checked(context: Callable[..., Context], clock: SetClock) -> Callable[..., tuple[Status, list[str]]]:
    """Builds series with `build(connection)` and returns the status and what the health check complains of."""

    def check(
        build: Callable[[Connection], object], max_lag: int = 5400, max_gaps: int = 0, **given: str
    ) -> tuple[Status, list[str]]:
        made = context(**given)
        with made.store.write() as connection:
            build(connection)
        state = collect(made.settings, made.store, clock.now())
        return state, complaints(state, Tolerance(max_lag, max_gaps))

    return check


def test_a_store_that_is_up_to_date_is_healthy(checked: Callable[..., tuple[Status, list[str]]]) -> None:
    assert checked(lambda connection: covered_to(connection, "tBTCUSD", NOW - SETTLE))[1] == []


@pytest.mark.parametrize(("late", "is_healthy"), [(5400, True), (5401, False)])
def test_the_lag_that_is_allowed(
    checked: Callable[..., tuple[Status, list[str]]], late: int, is_healthy: bool
) -> None:
    # The oldest interval that is missing opens where coverage ends, closes a minute later, and settles then.
    end = M1.floor(NOW - 2 * HOUR)
    state, found = checked(
        lambda connection: covered_to(connection, "tBTCUSD", end),
        max_lag=(NOW - end - MINUTE - SETTLE) // 1000 - late + 5400,
    )
    assert state.series[0].lag_seconds == (NOW - end - MINUTE - SETTLE) // 1000
    assert (found == []) is is_healthy
    assert is_healthy or "run `mdata update`" in found[0]


def test_a_pair_without_a_candle_for_30_days_is_never_stale(
    checked: Callable[..., tuple[Status, list[str]]],
) -> None:
    state, found = checked(lambda one: covered_to(one, "tBTCUSD", NOW - 20 * HOUR, last=NOW - 32 * DAY))
    assert state.series[0].is_quiet
    assert state.series[0].lag_seconds > 5400
    assert found == []


def test_a_store_that_nobody_has_updated_for_40_days_is_not_called_quiet(
    checked: Callable[..., tuple[Status, list[str]]],
) -> None:
    state, (sentence, _) = checked(lambda one: covered_to(one, "tBTCUSD", NOW - 40 * DAY))
    assert not state.series[0].is_quiet
    assert "tBTCUSD 1m lags by 39 d 23 h (limit 1 h 30 min)" in sentence


def test_what_has_no_data_is_named_and_what_is_retired_is_not_judged(
    checked: Callable[..., tuple[Status, list[str]]],
) -> None:
    def build(connection: Connection) -> None:
        covered_to(connection, "tOLDUSD", NOW - 50 * DAY)
        new_series(connection, "tETHUSD")

    state, (sentence, then) = checked(build, SYMBOLS="BTCUSD,ETHUSD")
    assert sentence == "bitfinex:tBTCUSD 1m and bitfinex:tETHUSD 1m have no data: run `mdata backfill`"
    assert then == "retry now"
    assert {one.series.symbol: one.is_retired for one in state.series} == {"tETHUSD": False, "tOLDUSD": True}


@pytest.mark.parametrize(("since", "is_healthy"), [(NOW - DAY, True), (NOW - DAY + 1, False)])
def test_a_listed_pair_without_any_candle_is_absent_and_after_a_day_of_that_quiet(
    checked: Callable[..., tuple[Status, list[str]]], since: int, is_healthy: bool
) -> None:
    def build(connection: Connection) -> None:
        series = new_series(connection, "tBTCUSD", first_candle=None)
        wanted = Range(series.wanted_start, M1.closed_end(NOW))
        doubts.keep(connection, series.id, [Doubt(wanted, "silence", "desc 1", since, NOW, 9)])

    state, found = checked(build)
    assert (found == []) is is_healthy
    assert not state.series[0].is_complete


def test_many_that_are_late_are_told_in_one_short_line(checked: Callable[..., tuple[Status, list[str]]]) -> None:
    symbols = [f"tAA{chr(65 + n // 26)}{chr(65 + n % 26)}SD" for n in range(200)]

    def build(connection: Connection) -> None:
        for place, symbol in enumerate(symbols):
            covered_to(connection, symbol, NOW - 3 * HOUR - place * MINUTE)

    _, (sentence, _) = checked(build, SYMBOLS=",".join(symbols))
    assert sentence.startswith(
        f"{', '.join(f'bitfinex:{one} 1m' for one in symbols[199:196:-1])} and 197 more lag by up to 6 h"
    )
    assert len(sentence) < 160


AT_ONCE = "retry now"


@pytest.mark.parametrize(("status", "next_attempt", "said"), [
    ("open", None, ["1 gap is open (limit 0): run `mdata repair`", AT_ONCE]),
    ("open", NOW - HOUR, ["1 gap is open (limit 0): run `mdata repair`", AT_ONCE]),
    ("open", NOW + HOUR, ["1 gap is open (limit 0): run `mdata repair`",
                          "retry at 2024-06-01T13:04:03Z"]),
    ("failed", None, ["1 gap is open, 1 of them given up (limit 0): run `mdata repair --retry-failed`", AT_ONCE]),
    ("repaired", None, []), ("empty", None, []),
])  # fmt: skip
def test_gaps_that_are_open_or_given_up_count(
    checked: Callable[..., tuple[Status, list[str]]], status: str, next_attempt: int | None, said: list[str]
) -> None:
    def build(connection: Connection) -> None:
        series = covered_to(connection, "tBTCUSD", NOW - SETTLE)
        hole = M1.floor(NOW - 5 * HOUR)
        if status in {"open", "failed"}:
            coverage.cut(connection, series.id, Range(hole, M1.next(hole)))
        gaps.open_missing(connection, series, [Range(hole, M1.next(hole))], NOW - HOUR)
        connection.execute("UPDATE data_gaps SET status = ?, next_attempt_at = ?", (status, next_attempt))

    state, found = checked(build)
    assert found == said
    assert getattr(state.gaps, status) == 1
    assert complaints(state, Tolerance(5400, max_gaps=1)) == []


def test_a_block_says_when_the_next_attempt_may_be_made(checked: Callable[..., tuple[Status, list[str]]]) -> None:
    state, _ = checked(lambda _: None)
    later = state._replace(blocked_until=NOW + 90_000)
    assert complaints(later, Tolerance(5400))[-1] == "retry at 2024-06-01T12:05:33Z"


def test_check_says_it_in_one_line_and_in_json(folder: Folder) -> None:
    ended = folder.run("status", "--check", SYMBOLS="BTCUSD,ETHUSD")
    assert (ended.exit, ended.err) == (3, "")
    assert ended.out == f"bitfinex:tBTCUSD 1m and bitfinex:tETHUSD 1m have no data: run `mdata backfill`; {AT_ONCE}\n"
    as_json = folder.run("status", "--check", "--json", SYMBOLS="BTCUSD,ETHUSD")
    assert (as_json.exit, as_json.json["reason"]) == (3, ended.out.strip())
    assert not folder.database.exists()
