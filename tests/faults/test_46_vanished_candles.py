"""Candles vanish at the exchange after they were stored: followed where two answers agree, never without trace."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from adversary import Life, MakeLife, any_venue, exchange, life
from conftest import NOW, SetClock, stored

from mdata.domain.timeframe import DAY, HOUR, MINUTE
from mdata.sandbox.server import Sandbox

__all__ = ["any_venue", "exchange", "life"]
Record = Callable[[str, object], None]
Row = tuple[Any, ...]


def withdrawn(life: Life) -> list[Row]:
    return life.sql(
        "SELECT open_time, open, high, low, close, volume FROM candle_revisions WHERE kind = 'withdrawn' "
        "ORDER BY open_time"
    )


def settled(life: Life, symbol: str) -> list[Row]:
    return [row for row in stored(life.database, symbol, "1m") if row[0] < NOW - 10 * MINUTE]


def drop(exchange: Sandbox, symbol: str, rows: list[Row], share: float) -> list[Row]:
    """Have the exchange forget so many of these candles, here and there; return them."""
    gone = sorted(random.Random(46).sample(rows, int(len(rows) * share)))
    for row in gone:
        exchange.market.revised[symbol, "1m", row[0]] = None
    return gone


def assert_nothing_lost(life: Life, symbol: str, once: list[Row]) -> None:
    """What was stored once is stored still, or stands in the list of what was withdrawn, as it was."""
    kept = {row for row in stored(life.database, symbol, "1m") if row[0] <= once[-1][0]}
    assert sorted(kept | set(withdrawn(life))) == once


@pytest.mark.parametrize("symbol", ["tBTCUSD", "tSPAUSD"])
def test_one_in_a_hundred_of_the_last_day(
    life: MakeLife, exchange: Sandbox, symbol: str, record_property: Record
) -> None:
    given = life(symbol, "3")
    given.do("backfill")
    once = settled(given, symbol)
    gone = drop(exchange, symbol, [row for row in once if row[0] >= NOW - 20 * HOUR], 0.01)
    given.clock.advance(HOUR)
    given.do("backfill")
    assert_nothing_lost(given, symbol, once)
    for _ in range(3):
        given.clock.advance(HOUR)
        given.round()
        assert_nothing_lost(given, symbol, once)
    assert withdrawn(given) == gone
    given.assert_right()
    said = given.says()
    assert said.complete
    assert said.healthy
    record_property("candles that vanished", len(gone))


@pytest.mark.parametrize("symbol", ["tBTCUSD", "tSPAUSD"])
def test_one_in_a_hundred_of_ten_days_is_noticed_by_the_recheck(
    life: MakeLife, exchange: Sandbox, clock: SetClock, symbol: str, record_property: Record
) -> None:
    given = life(symbol, "10", RECHECK_DAYS="4")
    given.do("backfill")
    once = settled(given, symbol)
    gone = drop(exchange, symbol, once, 0.01)
    for _ in range(7):
        clock.advance(DAY)
        given.round()
        assert given.do("verify", "--exchange").exit in {0, 3}
        given.round()
        assert_nothing_lost(given, symbol, once)
    assert withdrawn(given) == gone
    given.assert_right()
    record_property("candles that vanished", len(gone))


def test_one_answer_alone_takes_none_away(life: MakeLife) -> None:
    given = life("tBTCUSD", "3")
    given.do("backfill")
    once = settled(given, "tBTCUSD")
    given.clock.advance(HOUR)
    given.order({"kind": "thinned", "from": 0.1, "to": 0.9, "every": 100, "times": 1})
    given.do("backfill")
    assert settled(given, "tBTCUSD")[: len(once)] == once
    given.order()
    for _ in range(3):
        given.clock.advance(HOUR)
        given.round()
    assert withdrawn(given) == []
    given.assert_right()


def test_a_whole_day_that_vanishes_is_no_withdrawal(life: MakeLife, exchange: Sandbox, clock: SetClock) -> None:
    """The exchange has stopped serving it: the candles stay, and the range is noted as one that cannot be had."""
    given = life("tBTCUSD", "10", RECHECK_DAYS="4")
    given.do("backfill")
    once = settled(given, "tBTCUSD")
    gone = [row[0] for row in once if NOW - 5 * DAY <= row[0] < NOW - 4 * DAY]
    for time in gone:
        exchange.market.revised["tBTCUSD", "1m", time] = None
    for _ in range(6):
        clock.advance(DAY)
        given.round()
        assert given.do("verify", "--exchange").exit in {0, 3}
    assert settled(given, "tBTCUSD")[: len(once)] == once
    assert withdrawn(given) == []
    (served_no_more,) = given.sql("SELECT start_time, end_time FROM unobtainable")
    assert served_no_more == (gone[0], gone[-1] + MINUTE)
    # Nothing is missing by that: what was stored is there.
    said = given.says()
    assert said.complete
    assert said.healthy
