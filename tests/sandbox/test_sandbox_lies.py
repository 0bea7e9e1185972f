"""The sandbox's lies: plausible answers, a change of mind, and a ledger that stays true through all of them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import DAY, NOW, SetClock
from ordering import order

from mdata.domain.interval import Range
from mdata.domain.timeframe import HOUR, MINUTE, TIMEFRAMES
from mdata.sandbox import faults, lies
from mdata.sandbox.channels import MarketFeed, Subject
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.options import parse_pair
from mdata.sandbox.plausible import ASKED_OTHERWISE, ROWS
from mdata.sandbox.server import Sandbox, parse_fault

START = NOW - NOW % HOUR - 2 * DAY
GRID = TIMEFRAMES["1m"]


@pytest.fixture
def exchange(clock: SetClock) -> Iterator[Sandbox]:
    pairs = {"tBTCUSD": Pair("tBTCUSD"), "tETHUSD": Pair("tETHUSD", density=0.5)}
    with Sandbox(Market(pairs), clock) as running:
        yield running


def ask(sandbox: Sandbox, symbol: str = "tBTCUSD", timeframe: str = "1m", **query: int) -> list[list[Any]]:
    """Ask as a client would; 1,000 rows from `START` on, unless said otherwise."""
    parameters = {"sort": 1, "start": START, "limit": 1000} | query
    answer = httpx.get(f"{sandbox.rest_url}/candles/trade:{timeframe}:{symbol}/hist", params=parameters)
    assert answer.status_code == 200, answer.text
    found: list[list[Any]] = answer.json()
    return found


def opens(rows: list[list[Any]]) -> list[int]:
    return [row[0] for row in rows]


def ledger(sandbox: Sandbox, symbol: str = "tBTCUSD", start: int = START, count: int = 1000) -> list[int]:
    within = Range(start, start + count * MINUTE)
    return [candle[0] for candle in sandbox.market.candles(symbol, GRID, within, sandbox.clock.now())]


def test_a_fault_strikes_only_the_form_of_request_and_the_instant_it_names(exchange: Sandbox) -> None:
    order(exchange, {"kind": "empty", "asks": "backward", "over": START + HOUR, "times": 1})
    assert ask(exchange)
    assert ask(exchange, sort=-1, end=START + HOUR - 1)
    assert ask(exchange, sort=-1, end=START + HOUR) == []
    assert ask(exchange, sort=-1, end=START + HOUR)
    order(exchange, {"kind": "empty", "asks": "first"})
    assert ask(exchange)
    assert ask(exchange, start=0, limit=1) == []
    assert httpx.get(f"{exchange.rest_url}/conf/pub:list:pair:exchange").json() == [["BTCUSD", "ETHUSD"]]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "cut", "keep": 0.3}, range(300)),
        ({"kind": "cut", "keep": 0.3, "end": "near"}, range(700, 1000)),
        ({"kind": "thinned"}, [*range(250), *range(750, 1000)]),
        ({"kind": "thinned", "from": 0.5, "to": 0.51, "every": 5}, [i for i in range(1000) if i not in {500, 505}]),
        ({"kind": "neighbour", "intervals": 7}, range(7, 1007)),
    ],
    ids=str,
)
def test_rows_are_left_out(exchange: Sandbox, fault: dict[str, Any], expected: list[int]) -> None:
    order(exchange, fault)
    assert opens(ask(exchange)) == [START + number * MINUTE for number in expected]


def test_a_neighbours_page_backwards_is_an_older_one(exchange: Sandbox) -> None:
    order(exchange, {"kind": "neighbour", "intervals": 7})
    assert opens(ask(exchange, sort=-1, start=0, end=START, limit=2)) == [START - 7 * MINUTE, START - 8 * MINUTE]


def test_another_pairs_page(exchange: Sandbox) -> None:
    order(exchange, {"kind": "other-pair", "symbol": "tBTCUSD"})
    assert ask(exchange) == ask(exchange, "tETHUSD")


def test_coarser_rows(exchange: Sandbox) -> None:
    order(exchange, {"kind": "coarser", "timeframe": "1m"})
    assert ask(exchange) == ask(exchange, timeframe="1h")
    assert opens(ask(exchange))[:2] == [START, START + HOUR]


def test_a_first_candle_that_is_too_late(exchange: Sandbox) -> None:
    order(exchange, {"kind": "late-first", "days": 30, "times": 1})
    assert opens(ask(exchange, limit=2)) == [START, START + MINUTE], "no question about the first candle"
    listed = exchange.market.pairs["tBTCUSD"].listed
    assert opens(ask(exchange, start=0, limit=1)) == [listed + 30 * DAY]
    assert opens(ask(exchange, start=0, limit=1)) == [listed]


@pytest.mark.parametrize("by", [-1, 1])
def test_a_row_beside_the_grid(exchange: Sandbox, by: int) -> None:
    time = START + 10 * MINUTE
    order(exchange, {"kind": "off-grid", "at": time, "milliseconds": by})
    assert opens(ask(exchange, limit=20))[10] == time + by
    assert opens(ask(exchange, sort=-1, start=0, end=time, limit=20))[0] == time + by
    assert opens(ask(exchange, start=time + MINUTE, limit=20)) == ledger(exchange, start=time + MINUTE, count=20)


def test_one_intervals_row_is_spoilt_wherever_it_stands(exchange: Sandbox) -> None:
    time = START + 10 * MINUTE
    order(exchange, {"kind": "spoil", "at": time, "column": 3, "value": 0})
    assert [row for row in ask(exchange) if row[3] == 0] == [row for row in ask(exchange) if row[0] == time] != []


def test_late_candles_come_so_long_after_they_were_first_left_out(exchange: Sandbox, clock: SetClock) -> None:
    end = START + 30 * MINUTE
    order(exchange, {"kind": "late", "symbol": "tBTCUSD", "start": START, "end": end, "seconds": 60})
    clock.advance(DAY)
    assert opens(ask(exchange))[0] == end
    assert ledger(exchange)[0] == START, "the truth"
    clock.advance(59_999)
    assert opens(ask(exchange))[0] == end
    clock.advance(1)
    assert opens(ask(exchange)) == ledger(exchange)
    assert opens(ask(exchange, "tETHUSD")) == ledger(exchange, "tETHUSD", count=3000)[:1000]


def test_slow_candles_come_so_long_after_their_close(exchange: Sandbox, clock: SetClock) -> None:
    order(exchange, {"kind": "slow", "seconds": 240, "every": 2})
    recent = NOW - NOW % MINUTE - 10 * MINUTE
    served = opens(ask(exchange, start=recent))
    assert served == [time for time in ledger(exchange, start=recent, count=11) if time in served]
    hidden = {*ledger(exchange, start=recent, count=10)} - {*served}
    assert all(GRID.index(time) % 2 == 0 and time + MINUTE + 240_000 > NOW for time in hidden)
    assert len(hidden) == 2
    clock.advance(300_000)
    assert {*opens(ask(exchange, start=recent))} >= hidden


def test_candles_are_revised_so_long_after_their_close(exchange: Sandbox, clock: SetClock) -> None:
    time = NOW - NOW % MINUTE - MINUTE
    (true,) = exchange.market.candles("tBTCUSD", GRID, Range(time, time + 1), NOW)
    order(exchange, {"kind": "revised", "seconds": 240})
    open_time, open_, close, high, low, volume = ask(exchange, start=time)[0]
    assert (open_time, open_, high, low) == true[:4]
    assert (close, volume) == (open_, true[5] / 2)
    clock.advance(240_000)
    open_time, open_, close, high, low, volume = ask(exchange, start=time)[0]
    assert (open_time, open_, high, low, close, volume) == true


def test_history_that_is_not_served_any_more_stays_in_the_ledger(exchange: Sandbox, clock: SetClock) -> None:
    order(exchange, {"kind": "unserved", "end": "2024-05-31", "after": 10, "timeframe": "1m"})
    before = ledger(exchange)
    assert opens(ask(exchange)) == before
    clock.advance(10_000)
    assert opens(ask(exchange, start=0, limit=1)) == [1_717_113_600_000]
    assert opens(ask(exchange, timeframe="1h", limit=1)) == [START]
    assert ledger(exchange) == before
    order(exchange)
    assert opens(ask(exchange)) == before


def test_a_pair_that_is_delisted_is_unknown_from_then_on(exchange: Sandbox, clock: SetClock) -> None:
    pair = parse_pair(f"tETHUSD:density=0.5,delisted={NOW + 5 * MINUTE}", NOW)
    exchange.market.pairs["tETHUSD"] = pair
    clock.advance(5 * MINUTE - 1)
    assert ask(exchange, "tETHUSD")
    clock.advance(1)
    assert ask(exchange, "tETHUSD") == []
    assert httpx.get(f"{exchange.rest_url}/conf/pub:list:pair:exchange").json() == [["BTCUSD"]]
    clock.advance(DAY)
    newest = exchange.market.candles("tETHUSD", GRID, Range(NOW, NOW + DAY), clock.now())[-1]
    assert NOW - MINUTE < newest[0] < NOW + 5 * MINUTE


def test_the_stream_tells_the_same_lies(exchange: Sandbox) -> None:
    feed, subject = MarketFeed(exchange.market), Subject("tBTCUSD", "1m")
    time = NOW - NOW % MINUTE - 3 * MINUTE
    assert feed.row(subject, time, NOW)
    exchange.order([parse_fault(json.dumps({"kind": "unserved", "start": time, "end": time + 1}), NOW)])
    assert feed.row(subject, time, NOW) is None
    assert str(time) not in feed.snapshot(subject, NOW)


@pytest.mark.parametrize("kind", lies.KINDS)
def test_every_lie_can_be_ordered_with_its_own_defaults(kind: str) -> None:
    assert isinstance(parse_fault(json.dumps({"kind": kind, **lies.KINDS[kind]}), NOW), lies.Lie)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"kind": "late", "for": 5}, "the fault late has no 'for'; it has after, symbol, timeframe, start, end, sec"),
        ({"kind": "late", "start": "noon"}, "'noon' is not a date or time"),
        ({"kind": "slow", "every": 0}, "every of the fault slow cannot be 0"),
        ({"kind": "slow", "timeframe": "4h"}, "timeframe of the fault slow cannot be '4h'"),
        ({"kind": "revised", "seconds": True}, "seconds of the fault revised cannot be True"),
        (
            {"kind": "empty", "asks": "sideways"},
            "`asks` of the fault empty must be one of first, forward, backward, not",
        ),
        ({"kind": "empty", "over": "2024"}, "over of the fault empty cannot be '2024'"),
    ],
    ids=str,
)
def test_a_lie_that_is_none_is_refused_with_a_sentence(fault: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_fault(json.dumps(fault), NOW)


def as_written(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, f"{value:g}") for name, value in parameters.items()]


def test_every_lie_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/sandbox.md").read_text()
    for kind, parameters in lies.KINDS.items():
        (line,) = [one for one in text.splitlines() if one.startswith("| ") and f"`{kind}`" in one]
        assert all(f"{name}={value}" in line for name, value in as_written(parameters)), line
    for kind in (*ASKED_OTHERWISE, *ROWS):
        (line,) = [one for one in text.splitlines() if one.startswith("| ") and f"`{kind}`" in one]
        assert all(f"`{name}" in line for name in faults.KINDS[kind]), line


def test_lies_leave_the_market_as_it_was(exchange: Sandbox) -> None:
    whole = ledger(exchange, count=2880)
    order(exchange, *({"kind": kind} for kind in (*ASKED_OTHERWISE, *ROWS, *lies.KINDS)))
    for _ in range(8):
        ask(exchange, start=0)
        ask(exchange)
    assert ledger(exchange, count=2880) == whole
    assert replace(exchange.market, lies=()) == Market(exchange.market.pairs)
