"""An exchange that changes its mind: candles come late, are revised, are withdrawn, or are served no more."""

from dataclasses import replace
from typing import Any

import pytest
from adversary import A_DAY, Life, MakeLife, any_venue, exchange, life
from conftest import DAY, NOW, SetClock, stored

from mdata.domain.timeframe import HOUR, MINUTE
from mdata.sandbox.server import Sandbox

__all__ = ["any_venue", "exchange", "life"]

each_symbol = pytest.mark.parametrize("symbol", ["tBTCUSD", "tSPAUSD"])


def revisions(life: Life) -> list[tuple[Any, ...]]:
    return life.sql("SELECT kind, open_time, open, high, low, close, volume FROM candle_revisions ORDER BY open_time")


def minutes(life: Life, count: int, command: str) -> None:
    """Run a command every minute."""
    for _ in range(count):
        life.clock.advance(MINUTE)
        assert life.do(command).exit in {0, 3}


@each_symbol
@pytest.mark.parametrize("command", ["backfill", "update"])
@pytest.mark.parametrize("late", [60, 3 * 3600], ids=["a minute", "three hours"])
def test_silent_minutes_that_are_filled_after_they_were_proven_empty(
    life: MakeLife, clock: SetClock, symbol: str, command: str, late: int
) -> None:
    given = life(symbol, "3")
    given.do("backfill")
    clock.advance(HOUR)
    start = clock.now() - 45 * MINUTE
    given.order({"kind": "late", "start": start, "end": start + 30 * MINUTE, "seconds": late})
    minutes(given, 1, command)
    assert given.wrong(symbol).missing
    minutes(given, 2, command)
    clock.advance(late * 1000)
    clock.advance(HOUR)
    given.round()
    given.assert_right()
    assert given.says().complete


@each_symbol
def test_a_long_silence_that_is_filled_after_days(life: MakeLife, clock: SetClock, symbol: str) -> None:
    """Asked about again a day after it was believed, and after seven days."""
    given = life(symbol, "3")
    given.do("backfill")
    clock.advance(8 * HOUR)
    start = clock.now() - 7 * HOUR
    given.order({"kind": "late", "start": start, "end": start + 6 * HOUR, "seconds": 3 * 86_400})
    given.round()
    given.calm(2.5)
    assert given.wrong(symbol).missing
    given.calm(6)
    given.assert_right()


@each_symbol
@pytest.mark.parametrize("kind", ["revised", "slow"])
@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("command", ["backfill", "update"])
def test_candles_that_change_or_appear_four_minutes_after_their_close(
    life: MakeLife, symbol: str, kind: str, every: int, command: str
) -> None:
    given = life(symbol, "2")
    given.do("backfill")
    given.order({"kind": kind, "seconds": 240, "every": every})
    minutes(given, 60, command)
    given.order()
    given.clock.advance(HOUR)
    given.round()
    given.assert_right()
    if kind == "revised":
        assert {row[0] for row in revisions(given)} <= {"changed"}
    assert given.says().complete


@each_symbol
@pytest.mark.parametrize("back", [3, 60, 1000])
def test_final_candles_that_are_withdrawn(life: MakeLife, exchange: Sandbox, symbol: str, back: int) -> None:
    given = life(symbol, "3")
    given.do("backfill")
    settled = [row for row in stored(given.database, symbol, "1m") if row[0] < NOW - 10 * MINUTE]
    gone = [row for row in settled if row[0] < NOW - (back + 10) * MINUTE][-3:]
    for row in gone:
        exchange.market.revised[symbol, "1m", row[0]] = None
    for _ in range(3):
        given.clock.advance(HOUR)
        given.round()
    given.assert_right()
    assert revisions(given) == [("withdrawn", *row) for row in gone]
    said = given.says()
    assert said.complete
    assert said.healthy


@each_symbol
def test_what_was_withdrawn_and_comes_back(life: MakeLife, exchange: Sandbox, symbol: str) -> None:
    given = life(symbol, "3")
    given.do("backfill")
    gone = [row[0] for row in stored(given.database, symbol, "1m")][-40:-37]
    for time in gone:
        exchange.market.revised[symbol, "1m", time] = None
    for _ in range(3):
        given.clock.advance(HOUR)
        given.round()
    exchange.market.revised.clear()
    for _ in range(3):
        given.clock.advance(HOUR)
        given.round()
    given.assert_right()
    assert given.says().complete


@each_symbol
def test_a_final_candle_that_is_revised_within_the_day(life: MakeLife, exchange: Sandbox, symbol: str) -> None:
    given = life(symbol, "3")
    given.do("backfill")
    old = stored(given.database, symbol, "1m")[-50]
    exchange.market.revised[symbol, "1m", old[0]] = (old[0], 9.0, 9.0, 9.0, 9.0, 9.0)
    for _ in range(2):
        given.clock.advance(HOUR)
        given.round()
    given.assert_right()
    assert revisions(given) == [("changed", *old)]


@each_symbol
@pytest.mark.parametrize(
    "lie",
    [
        {"kind": "spoil", "column": 5, "value": 12_345.5},
        {"kind": "thinned", "from": 0.5, "to": 0.51},
        {"kind": "thinned", "from": 0.2, "to": 0.8, "every": 3},
        {"kind": "short", "every": 3},
        {"kind": "thinned"},
    ],
    ids=lambda lie: " ".join(map(str, lie.values())),
)
def test_one_answer_that_contradicts_changes_nothing(life: MakeLife, symbol: str, lie: dict[str, Any]) -> None:
    """What is stored stays until an independent answer agrees; here the next one does not."""
    given = life(symbol, "3")
    given.do("backfill")
    held = [row for row in stored(given.database, symbol, "1m") if row[0] < NOW - 10 * MINUTE]
    given.clock.advance(HOUR)
    given.order({**lie, "asks": "forward", "times": 1})
    given.do("backfill")
    assert stored(given.database, symbol, "1m")[: len(held)] == held
    given.order()
    for _ in range(2):
        given.clock.advance(HOUR)
        given.round()
    given.assert_right()
    assert revisions(given) == []
    assert given.says().complete


@pytest.mark.parametrize("hours", [3, 12, 20])
def test_recent_history_that_is_not_served_any_more(
    life: MakeLife, exchange: Sandbox, clock: SetClock, hours: int
) -> None:
    """That is no withdrawal: the rows stay, and nobody asks for them but the recheck."""
    given = life("tBTCUSD", "3")
    given.do("backfill")
    held = [row for row in stored(given.database, "tBTCUSD", "1m") if row[0] < NOW - 10 * MINUTE]
    given.order({"kind": "unserved", "start": NOW - (hours + 1) * HOUR, "end": NOW - HOUR})
    given.calm(1, every=HOUR)
    before = len(exchange.requests)
    given.calm(4, every=HOUR)
    assert stored(given.database, "tBTCUSD", "1m")[: len(held)] == held
    assert revisions(given) == []
    assert given.requests_since(before) <= 4 * 24 + 4 * 3, "one pass an hour, and what is asked about again"
    said = given.says()
    assert said.healthy, said
    given.assert_right()
    clock.advance(DAY)


@each_symbol
def test_all_history_is_not_served_any_more(life: MakeLife, symbol: str) -> None:
    given = life(symbol, "3")
    given.do("backfill")
    held = [row for row in stored(given.database, symbol, "1m") if row[0] < NOW - 10 * MINUTE]
    given.order({"kind": "unserved", "end": NOW - 5 * MINUTE})
    given.calm(5)
    assert stored(given.database, symbol, "1m")[: len(held)] == held
    assert revisions(given) == []
    given.assert_right()


@each_symbol
@pytest.mark.parametrize("history", [True, False], ids=["answers with []", "answers with [] at once"])
def test_a_pair_that_is_delisted(
    life: MakeLife, exchange: Sandbox, clock: SetClock, symbol: str, history: bool
) -> None:
    given = life(f"{symbol},ETHUSD", "3")
    given.do("backfill")
    at = clock.now() + (6 * HOUR if history else 0)
    exchange.market.pairs[symbol] = replace(exchange.market.pairs[symbol], delisted=at)
    given.calm(0.5, every=HOUR)
    held = stored(given.database, symbol, "1m")
    given.calm(2.5, every=HOUR)
    before = len(exchange.requests)
    given.calm(4, every=HOUR)
    about = [one for one in exchange.requests[before:] if symbol in one.target]
    assert len(about) <= 8, "asked once a day, or twice"
    assert stored(given.database, symbol, "1m") == held
    said = given.says()
    assert said.healthy, said
    told = given.do("status", "--json").out + given.do("status").out + given.do("status").err
    assert symbol in told
    assert given.wrong("tETHUSD") == ((), (), ())


@each_symbol
def test_the_recheck_compares_everything_again(
    life: MakeLife, exchange: Sandbox, clock: SetClock, symbol: str
) -> None:
    """Changes older than a day are noticed by `verify --exchange`, within RECHECK_DAYS."""
    given = life(symbol, "10", RECHECK_DAYS="4")
    given.do("backfill")
    rows = stored(given.database, symbol, "1m")
    clock.advance(2 * DAY)
    given.round()
    gone, changed = rows[100:103], rows[len(rows) // 2]
    for row in gone:
        exchange.market.revised[symbol, "1m", row[0]] = None
    exchange.market.revised[symbol, "1m", changed[0]] = (changed[0], 9.0, 9.0, 9.0, 9.0, 9.0)
    for _ in range(6):
        clock.advance(DAY)
        given.round()
        assert given.do("verify", "--exchange").exit in {0, 3}
        given.round()
    given.assert_right()
    assert sorted(row[0] for row in revisions(given)) == ["changed", *["withdrawn"] * 3]


@each_symbol
@pytest.mark.parametrize("lie", [{"kind": "short", "every": 3}, {"kind": "thinned", "every": 3}], ids=str)
def test_the_recheck_finds_what_was_left_out_between_good_witnesses(
    life: MakeLife, clock: SetClock, symbol: str, lie: dict[str, Any]
) -> None:
    given = life(symbol, "10", RECHECK_DAYS="4")
    given.order({**lie, "asks": "backward", "times": 1})
    given.do("backfill")
    given.order()
    for _ in range(6):
        clock.advance(DAY)
        given.round()
        assert given.do("verify", "--exchange").exit in {0, 3}
        given.round()
    given.assert_right()
    assert given.says().complete


def test_a_lie_to_the_recheck_changes_nothing(life: MakeLife, clock: SetClock) -> None:
    given = life("tBTCUSD", "10", RECHECK_DAYS="4")
    given.do("backfill")
    for kind in ("empty", "cut", "thinned", "short", "neighbour", "shifted", "coarser", "other-pair", "cap"):
        clock.advance(DAY)
        given.round()
        given.order({"kind": kind, "times": 1})
        assert given.do("verify", "--exchange").exit in {0, 3}
        given.order()
        given.assert_right()
    given.assert_heals(excused=A_DAY, within=2)
    assert revisions(given) == []


def test_what_is_revised_over_many_hours_costs_few_requests(
    life: MakeLife, exchange: Sandbox, clock: SetClock
) -> None:
    given = life("tBTCUSD", "3")
    given.do("backfill")
    clock.advance(HOUR)
    for row in stored(given.database, "tBTCUSD", "1m"):
        if NOW - 20 * HOUR <= row[0] < NOW - 2 * HOUR:
            exchange.market.revised["tBTCUSD", "1m", row[0]] = (*row[:5], row[5] * 0.99)
    asked = len(exchange.requests)
    given.do("backfill")
    # Where rows are always counted from one end, a second answer is independent a minute later.
    clock.advance(2 * MINUTE)
    given.do("backfill")
    given.assert_right()
    assert given.requests_since(asked) <= 12
