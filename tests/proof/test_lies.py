"""Answers that are wrong and look right: one of them, at any place, makes no store complete that is not.

Every test tells a lie once or a few times, lets the timers fire, and compares with the exchange's ledger. Where a lie
is documented as noticed later ("What complete does not prove" in the reference), `excused` says by when.
"""

from typing import Any

import pytest
from adversary import A_DAY, NEXT_PASS, Life, MakeLife, any_venue, exchange, life
from conftest import DAY, NOW, SetClock, stored
from made_up import MadeUp

from mdata.domain.timeframe import HOUR, MINUTE, TIMEFRAMES
from mdata.sandbox.market import Pair
from mdata.sandbox.server import Sandbox

__all__ = ["any_venue", "exchange", "life"]

# Symbol, and for how many days it is backfilled: some three pages, dense and sparse.
SERIES = [("tBTCUSD", "20"), ("tSPAUSD", "150")]
# A lie, and for how long what it leaves out may be called complete.
LIES: list[tuple[dict[str, Any], float]] = [
    ({"kind": "empty"}, 0),
    ({"kind": "cut", "keep": 0.5}, 0),
    ({"kind": "cut", "keep": 0.05}, 0),
    ({"kind": "cut", "keep": 0.5, "end": "near"}, 0),
    ({"kind": "cap", "rows": 1000}, 0),
    ({"kind": "thinned"}, A_DAY),
    ({"kind": "neighbour", "intervals": 30}, NEXT_PASS),
    ({"kind": "neighbour", "intervals": 600}, 0),
    ({"kind": "other-pair", "of": "tETHUSD"}, 0),
    ({"kind": "coarser"}, 0),
    ({"kind": "shifted"}, 0),
    ({"kind": "off-grid"}, 0),
    ({"kind": "off-grid", "milliseconds": 1}, 0),
    ({"kind": "spoil", "column": 3, "value": 0}, 0),
]
each_lie = pytest.mark.parametrize(
    ("lie", "excused"), LIES, ids=[" ".join(map(str, lie.values())) for lie, _ in LIES]
)
each_series = pytest.mark.parametrize(("symbol", "days"), SERIES, ids=[symbol for symbol, _ in SERIES])


@each_lie
@each_series
@pytest.mark.parametrize(
    "after", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_one_lie_in_a_first_backfill(
    life: MakeLife, symbol: str, days: str, lie: dict[str, Any], excused: float, after: int
) -> None:
    given = life(symbol, days)
    given.order({**lie, "asks": "backward", "after": after, "times": 1})
    given.do("backfill")
    if excused == 0:
        given.assert_honest()
    given.assert_heals(excused=excused)


@each_lie
@each_series
@pytest.mark.parametrize("command", ["backfill", pytest.param("update", marks=pytest.mark.slow)])
def test_one_lie_in_a_forward_pass(
    life: MakeLife, symbol: str, days: str, lie: dict[str, Any], excused: float, command: str
) -> None:
    given = life(symbol, days)
    given.do("backfill")
    held = stored(given.database, symbol, "1m")
    given.clock.advance(12 * HOUR)
    given.order({**lie, "asks": "forward", "times": 1})
    given.do(command)
    assert stored(given.database, symbol, "1m")[: len(held)] == held, "no good candle is lost to a lie"
    if excused == 0:
        given.assert_honest()
    given.assert_heals(excused=excused)


@each_lie
@each_series
@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_lies_to_a_repair(
    life: MakeLife, symbol: str, days: str, lie: dict[str, Any], excused: float, times: int
) -> None:
    given = life(symbol, days)
    if isinstance(given.sandbox, MadeUp) and times == 2 and lie["kind"] == "other-pair" and symbol == "tSPAUSD":
        pytest.skip("two lies that agree, where every minute is a row: found by the recheck, as documented")
    given.do("backfill")
    given.delete(symbol, 4000, 400)
    given.do("detect-gaps")
    given.order({**lie, "times": times})
    given.do("repair")
    # Two answers that are wrong alike are believed, until the next pass looks at them.
    if times == 1 or (excused == 0 and lie["kind"] != "coarser"):
        given.assert_honest()
    given.assert_heals(excused=excused if times == 1 else A_DAY)


@each_lie
@pytest.mark.parametrize("symbol", [symbol for symbol, _ in SERIES])
def test_one_lie_in_the_only_answer_so_far(life: MakeLife, symbol: str, lie: dict[str, Any], excused: float) -> None:
    """A run that ends after its first request: nothing has confirmed what that answer said."""
    given = life(symbol, "1")
    given.order({**lie, "times": 1})
    given.do("backfill", "--max-requests", "1")
    said = given.says()
    assert not said.whole, said
    given.assert_heals(excused=excused)


@pytest.mark.parametrize("since", [None, "-9d"], ids=["", "--since"])
@pytest.mark.parametrize("days", [9.4, 9, 1])
@pytest.mark.parametrize("times", [1, 2])
def test_a_first_candle_that_is_too_late(life: MakeLife, since: str | None, days: float, times: int) -> None:
    given = life("tNEWUSD", "10" if since is None else "1")
    given.order({"kind": "late-first", "days": days, "times": times})
    given.do("backfill", *(["--since", since] if since else []))
    if times == 1:
        given.assert_honest()
    given.assert_heals(excused=0 if times == 1 else 7 * DAY)


def test_since_is_never_clipped_by_a_first_candle_that_was_too_late(life: MakeLife) -> None:
    given = life("tNEWUSD", "1")
    given.order({"kind": "late-first", "days": 9.4, "times": 2})
    given.do("backfill")
    given.order()
    given.do("backfill", "--since", "-30d")
    given.assert_right()


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("symbol", ["tBTCUSD", "tNEWUSD"])
def test_nothing_at_the_introduction_of_a_listed_pair(life: MakeLife, symbol: str, times: int) -> None:
    given = life(symbol)
    given.order({"kind": "empty", "symbol": symbol, "times": times})
    given.do("backfill")
    said = given.says()
    if stored(given.database, symbol, "1m"):
        given.assert_honest()
    else:
        assert not said.complete
        assert not said.healthy
        assert said.export == 3
    given.clock.advance(HOUR)
    given.order()
    given.round()
    given.assert_right()
    assert given.says().complete


@pytest.mark.parametrize("ago", [30, 61, 119, 3600])
def test_a_pair_added_right_after_its_listing(life: MakeLife, exchange: Sandbox, clock: SetClock, ago: int) -> None:
    exchange.market.pairs["tOWNUSD"] = Pair("tOWNUSD", listed=NOW // MINUTE * MINUTE - ago * 1000 // MINUTE * MINUTE)
    given = life("tOWNUSD")
    given.do("backfill")
    given.assert_honest()
    for minutes in (1, 1, 1, 2, 5, 60):
        clock.advance(minutes * MINUTE)
        given.round()
        given.assert_honest()
    assert given.wrong("tOWNUSD").missing == ()
    assert stored(given.database, "tOWNUSD", "1m")[0][0] == exchange.market.pairs["tOWNUSD"].listed
    assert given.says().complete


def test_a_pair_that_has_not_been_traded_yet_is_no_reason_to_worry_when_it_begins(
    life: MakeLife, exchange: Sandbox, clock: SetClock
) -> None:
    """A daily candle that is still forming: the series has not begun, and nothing is wanted yet."""
    exchange.market.pairs["tOWNUSD"] = Pair("tOWNUSD", listed=NOW - 2 * HOUR)
    given = life("tOWNUSD", TIMEFRAMES="1D")
    given.do("backfill")
    said = given.says()
    assert said.healthy, said
    clock.advance(DAY)
    given.round()
    clock.advance(HOUR)
    given.round()
    assert [row[0] for row in stored(given.database, "tOWNUSD", "1D")] == [NOW // DAY * DAY]
    assert given.says().complete


@pytest.mark.parametrize("after", [1, 3, 5, 8])
def test_nothing_twice_in_a_row_in_a_first_backfill(life: MakeLife, after: int) -> None:
    """Two lies that agree are documented: a day later they are asked about again."""
    given = life("tBTCUSD", "98")
    given.order({"kind": "empty", "after": after, "times": 2})
    given.do("backfill")
    given.assert_heals(excused=A_DAY)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("asks", ["backward", "forward"])
def test_nothing_for_all_of_a_daily_series(life: MakeLife, asks: str, times: int) -> None:
    given = life("tBTCUSD", "50", TIMEFRAMES="1D")
    given.order({"kind": "empty", "asks": asks, "times": times})
    given.do("backfill")
    given.assert_honest()
    given.assert_heals(excused=0, every=6 * HOUR)


@pytest.mark.parametrize("at", [0, 1, 7, 20])
@pytest.mark.parametrize("kind", ["empty", "cut", "neighbour", "shifted", "coarser", "other-pair"])
def test_one_lie_in_minute_wise_updates(life: MakeLife, clock: SetClock, kind: str, at: int) -> None:
    given = life("tBTCUSD", "1")
    given.do("backfill")
    for minute in range(30):
        clock.advance(MINUTE)
        given.order(*([{"kind": kind, "times": 1}] if minute == at else []))
        given.do("update")
        if minute > at + 3:
            given.assert_honest()
    clock.advance(MINUTE)
    given.do("update")
    given.assert_honest()
    given.assert_heals(excused=0, within=2)


def assert_caught_up(given: Life) -> None:
    """Assert that nothing is missing; where the newest rows are kept, gaps may be left for the timers to repair."""
    if isinstance(given.sandbox, MadeUp):
        given.assert_honest()
        for _ in range(8):
            given.clock.advance(HOUR)
            given.round()
    given.assert_right()


# With 100 rows an answer may end within an hour of now: what follows is provisional until the next pass.
@pytest.mark.parametrize("rows", [1000, 5000])
@each_series
def test_a_server_that_sends_fewer_rows_than_asked_for(
    life: MakeLife, clock: SetClock, symbol: str, days: str, rows: int
) -> None:
    given = life(symbol, days if rows > 100 else "3")
    given.order({"kind": "cap", "rows": rows})
    given.do("backfill")
    given.assert_right()
    clock.advance(2 * DAY + 3 * HOUR)
    given.do("update")
    given.do("backfill")
    assert_caught_up(given)
    given.delete(symbol, 100, 2500)
    given.do("detect-gaps")
    for _ in range(30):
        clock.advance(HOUR)
        given.do("repair")
        given.do("backfill")
        if given.is_right():
            break
    given.assert_right()
    assert given.says().complete
    assert [one["status"] for one in given.do("gaps", "--json").json["gaps"]].count("failed") == 0


@pytest.mark.parametrize("rows", [1000])
def test_a_catch_up_after_a_day_is_no_gap_where_the_server_sends_few_rows(
    life: MakeLife, clock: SetClock, rows: int
) -> None:
    """Twenty-eight candles beyond the last row were once missing."""
    given = life("tBTCUSD", "3")
    given.do("backfill")
    given.order({"kind": "cap", "rows": rows})
    clock.advance((rows + 28) * MINUTE)
    given.do("update")
    clock.advance(3 * MINUTE)
    given.do("update")
    assert_caught_up(given)


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("command", ["backfill", "update", "repair"])
def test_a_row_beside_the_grid_leaves_all_it_may_have_stood_for_unknown(
    life: MakeLife, clock: SetClock, by: int, command: str
) -> None:
    given = life("tBTCUSD", "2")
    given.do("backfill")
    if command == "repair":
        time = stored(given.database, "tBTCUSD", "1m")[1050][0]
        given.delete("tBTCUSD", 1000, 100)
        given.do("detect-gaps")
    else:
        clock.advance(6 * HOUR)
        time = clock.now() // MINUTE * MINUTE - 3 * HOUR
    given.order({"kind": "off-grid", "at": time, "milliseconds": by, "times": 1})
    assert given.do(command).exit == 65
    assert time in given.wrong().missing
    said = given.says()
    assert not said.complete
    assert said.export == 3
    given.order()
    given.do("detect-gaps")
    starts = [one["start"] for one in given.do("gaps", "--status", "open", "--json").json["gaps"]]
    assert starts, "it is a gap"
    given.clock.advance(HOUR + MINUTE)
    given.do("repair")
    assert time not in given.wrong().missing
    given.assert_heals(excused=0, within=2)


@pytest.mark.parametrize("retention", ["2", "1"])
@pytest.mark.parametrize("timeframe", ["1W", "1M", "1D"])
def test_a_retention_shorter_than_an_interval_is_no_complete_nothing(
    life: MakeLife, clock: SetClock, timeframe: str, retention: str
) -> None:
    given = life("tBTCUSD", "100", TIMEFRAMES=timeframe, RETENTION_DAYS=retention)
    for _ in range(10):
        given.round()
        given.do("cleanup", "--yes")
        said, grid = given.says(), TIMEFRAMES[timeframe]
        newest = grid.previous(grid.closed_end(clock.now(), 2 * MINUTE))
        held = [row[0] for row in stored(given.database, "tBTCUSD", timeframe)]
        assert newest in held or not said.whole, said
        clock.advance(DAY)
    assert held[-1:] == [newest], "a series always keeps its newest candle"


@pytest.mark.parametrize("minutes", [6, 180, 1800])
@pytest.mark.parametrize("symbol", ["tBTCUSD", "tSPAUSD"])
def test_another_pairs_page_to_an_update(life: MakeLife, clock: SetClock, symbol: str, minutes: int) -> None:
    given = life(symbol, "3")
    given.do("backfill")
    clock.advance(minutes * MINUTE)
    given.order({"kind": "other-pair", "of": "tETHUSD", "times": 1})
    given.do("update")
    assert given.wrong(symbol).differing == given.wrong(symbol).surplus == ()
    given.assert_honest()
    given.order()
    clock.advance(3 * MINUTE)
    given.do("update")
    given.assert_right()


@pytest.mark.parametrize("command", ["update", "backfill"])
def test_a_catch_up_that_is_cut_short_by_less_than_an_hour(life: MakeLife, clock: SetClock, command: str) -> None:
    given = life("tBTCUSD", "2")
    given.do("backfill")
    clock.advance(62 * MINUTE)
    given.order({"kind": "cut", "keep": 0.15, "asks": "forward", "times": 1})
    given.do(command)
    given.assert_honest()
    given.assert_heals(within=1)


@pytest.mark.parametrize("rows", [1000, 500])
def test_a_server_with_a_limit_of_rows_leaves_no_minute_out(life: MakeLife, clock: SetClock, rows: int) -> None:
    given = life("tBTCUSD", "4")
    given.order({"kind": "cap", "rows": rows})
    given.do("backfill")
    clock.advance(2028 * MINUTE)
    given.do("update")
    given.assert_honest()
    given.do("backfill")
    assert_caught_up(given)
    assert given.says().complete


@pytest.mark.parametrize("command", ["update", "backfill"])
@pytest.mark.parametrize("symbol", ["tBTCUSD", "tSPAUSD"])
def test_an_answer_from_a_cache_leaves_no_half_formed_candle(
    life: MakeLife, clock: SetClock, symbol: str, command: str
) -> None:
    given = life(symbol, "3")
    given.do("backfill")
    clock.advance(3 * HOUR + 20_000)
    given.order({"kind": "aged", "seconds": 20 * 60, "times": 1})
    given.do(command)
    final = given.sql("SELECT max(end_time) FROM coverage WHERE kind = 'final'")[0][0]
    assert not [time for time in given.wrong(symbol).differing if time < final]
    given.order()
    clock.advance(3 * MINUTE)
    given.do("update")
    given.assert_right()


def test_a_contradiction_that_an_update_has_met_is_settled_by_the_next_one(
    life: MakeLife, exchange: Sandbox, clock: SetClock
) -> None:
    given = life("tBTCUSD", "2")
    given.do("backfill")
    clock.advance(30 * MINUTE)
    given.do("update")
    newest = [row for row in stored(given.database, "tBTCUSD", "1m") if row[0] < clock.now() - 4 * MINUTE][-1]
    exchange.market.revised["tBTCUSD", "1m", newest[0]] = (*newest[:5], newest[5] * 2)
    for _ in range(3):
        clock.advance(MINUTE)
        given.do("update")
    given.assert_right()
    assert given.sql("SELECT count(*) FROM doubts WHERE kind = 'changed'") == [(0,)]


def test_a_store_that_nobody_updated_for_fifty_days_catches_up_in_one_run(life: MakeLife, clock: SetClock) -> None:
    given = life("tBTCUSD", "2")
    given.do("backfill")
    clock.advance(50 * DAY)
    assert given.do("backfill").exit == 0
    given.assert_right()


@pytest.mark.parametrize(
    "lie", [{"kind": "empty"}, {"kind": "neighbour", "intervals": 30}], ids=["empty", "neighbour"]
)
def test_a_wrong_answer_after_a_long_pause_stops_nothing(
    life: MakeLife, clock: SetClock, lie: dict[str, Any]
) -> None:
    given = life("tBTCUSD", "2")
    given.do("backfill")
    clock.advance(35 * DAY)
    given.order({**lie, "times": 1})
    given.do("backfill")
    given.assert_right()


def test_who_ends_with_0_has_left_nothing_out(life: MakeLife) -> None:
    given = life("tBTCUSD", "60")
    given.order({"kind": "empty", "after": 2, "asks": "backward", "times": 4})
    ended = given.do("backfill", "--json")
    assert ended.json["remaining"] > 0
    assert ended.exit == 3
    assert "tBTCUSD" in ended.json["reason"]
    given.order()
    assert given.do("backfill").exit == 0
    given.assert_right()


@pytest.mark.parametrize("back", [1, 8])
@pytest.mark.parametrize("command", ["backfill", "update"])
def test_an_exchange_that_serves_none_of_the_newest_hours_costs_few_requests(
    life: MakeLife, clock: SetClock, command: str, back: int
) -> None:
    """The three newest witnesses do not come back, and 500 do: the two answers must not take turns for ever."""
    given = life("tSPAUSD", "2")
    given.do("backfill")
    clock.advance(2 * HOUR)
    given.do("backfill")
    clock.advance(30 * MINUTE)
    end = clock.now() // MINUTE * MINUTE - back * MINUTE
    given.order({"kind": "late", "symbol": "tSPAUSD", "start": end - 4 * HOUR, "end": end, "seconds": 86_400})
    sent = len(given.sandbox.requests)
    given.do(command, "--max-requests", "40")
    assert len(given.sandbox.requests) - sent <= 8
    given.assert_honest()
    given.assert_heals(within=2)
