"""Hints: a coarse candle with more range or volume than its minutes has those compared again, once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import Judge, answer, at, minute, refused, span

from mdata.domain.interval import Range
from mdata.domain.timeframe import HOUR, TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import hints
from mdata.store import series as table

# The first whole hour after T0 begins here, in minutes.
FIRST = -(-minute(0) // HOUR) * HOUR
START = (FIRST - minute(0)) // 60_000
END = START + 180
HOURS = [Range(FIRST + number * HOUR, FIRST + (number + 1) * HOUR) for number in range(3)]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Judge]:
    """Three hours of minutes, each of the price 1 and the volume 1, and a series of 1h beside it."""
    judge = Judge(tmp_path / "a.db").holds(*range(END), until=END)
    with judge.store.write() as connection:
        table.introduce(connection, BITFINEX, "tBTCUSD", TIMEFRAMES["1h"], minute(0))
    yield judge
    judge.store.close()


def tell(
    judge: Judge, number: int, high: float = 1.0, low: float = 1.0, volume: float = 60.0, series: int = 2
) -> None:
    """Store a coarse candle."""
    row = (series, HOURS[number].start, low, high, low, high, volume)
    judge.store.connection.execute("INSERT INTO candles VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def found(judge: Judge, name: str = "1m") -> hints.Hints:
    series = table.find(judge.store.connection, BITFINEX, "tBTCUSD", TIMEFRAMES[name])
    assert series is not None
    return hints.find(judge.store.connection, series)


def test_a_coarse_candle_that_its_minutes_add_up_to_is_no_hint(one: Judge) -> None:
    tell(one, 0)
    tell(one, 1, volume=59.0)  # minutes that have more may have come later
    tell(one, 2, volume=60.0 + 1e-9)  # sums of floats differ in their last digits
    assert found(one).parts == []


@pytest.mark.parametrize(
    "coarse", [{"high": 1.1}, {"low": 0.9}, {"volume": 60.1}], ids=["a higher high", "a lower low", "more volume"]
)
def test_more_range_or_volume_than_the_minutes_have_is_a_hint(one: Judge, coarse: dict[str, Any]) -> None:
    tell(one, 1, **coarse)
    assert found(one).parts == [HOURS[1]]


def test_hints_that_border_on_each_other_are_one(one: Judge) -> None:
    for number in range(3):
        tell(one, number, high=2.0)
    assert found(one).parts == [Range(HOURS[0].start, HOURS[2].end)]


def test_a_hint_is_followed_once_and_withdraws_nothing(one: Judge) -> None:
    tell(one, 1, high=2.0)
    before = one.stored, one.final
    hint = found(one)
    with one.store.write() as connection:
        hints.followed(connection, hint)
    again = found(one)
    assert (again.parts, again.looked_from, again.looked_to) == ([], hint.looked_to, hint.looked_to)
    assert (one.stored, one.final) == before


def test_an_hour_that_was_not_over_when_its_minutes_were_looked_at_is_looked_at_later(tmp_path: Path) -> None:
    one = Judge(tmp_path / "b.db").holds(*range(START + 90), until=START + 90)
    with one.store.write() as connection:
        table.introduce(connection, BITFINEX, "tBTCUSD", TIMEFRAMES["1h"], minute(0))
        hints.followed(connection, found(one))
    one.hears(answer(span(START + 87, END), at(*range(START + 87, END))))
    tell(one, 0, high=2.0)
    tell(one, 1, high=2.0)
    assert found(one).parts == [HOURS[1]]
    one.store.close()


def test_where_the_minutes_are_not_final_there_is_no_hint(one: Judge) -> None:
    more = Range(HOURS[2].end, HOURS[2].end + HOUR)
    rows = at(*range(END - 3, END + 60))
    one.hears(answer(span(END - 3, END + 60), rows, refused=(refused(END + 5, END + 6),)))
    row = (2, more.start, 1.0, 2.0, 1.0, 2.0, 60.0)
    one.store.connection.execute("INSERT INTO candles VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    assert found(one).parts == []


def test_a_coarse_candle_without_any_minutes_is_a_hint(tmp_path: Path) -> None:
    one = Judge(tmp_path / "b.db").holds(*range(START + 60), *range(START + 120, END), until=END)
    with one.store.write() as connection:
        table.introduce(connection, BITFINEX, "tBTCUSD", TIMEFRAMES["1h"], minute(0))
    tell(one, 1, volume=0.1)
    assert found(one).parts == [HOURS[1]]
    one.store.close()


def test_only_minutes_are_compared_and_only_of_the_same_pair(one: Judge) -> None:
    tell(one, 1, high=2.0)
    assert found(one, "1h").parts == []
    with one.store.write() as connection:
        connection.execute("UPDATE series SET symbol = 'tETHUSD' WHERE id = 2")
    assert found(one).parts == []
