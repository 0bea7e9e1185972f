from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.interval import Range
from mdata.domain.query import Query
from mdata.domain.timeframe import TIMEFRAMES
from mdata.errors import BadAnswerError
from mdata.exchange.bitfinex import wire
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.exchange.page import read_one_by_one

START = 1_717_200_000_000  # 2024-06-01
NUMBERS = st.one_of(st.integers(1, 9), st.floats(0.5, 9.5))
FAULTY: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([True, False, None, "7", "", [], {}, 0, -1, -0.5, 1e15, 10**400, 1.0]), st.integers(), NUMBERS
)


def query(timeframe: str) -> Query:
    grid = TIMEFRAMES[timeframe]
    return Query(
        BITFINEX, "tBTCUSD", grid, Range(grid.floor(START), grid.shift(START, 8)), newest_first=False, limit=10_000
    )


@st.composite
def sound(draw: st.DrawFn, timeframe: str) -> list[Any]:
    """Rows as the exchange sends them; they may have gained an element."""
    grid, rows, more = TIMEFRAMES[timeframe], [], draw(st.sampled_from([[], ["new"]]))
    for index in range(draw(st.integers(0, 7))):
        low, one, other, high = sorted(draw(st.lists(NUMBERS, min_size=4, max_size=4)))
        rows.append([grid.shift(START, index), one, other, high, low, draw(NUMBERS), *more])
    return rows


@st.composite
def answers(draw: st.DrawFn, timeframe: str) -> list[Any]:
    """Rows of which any value, length or order may have been spoilt."""
    rows = draw(sound(timeframe))
    for _ in range(draw(st.integers(0, 2)) if rows else 0):
        row = draw(st.sampled_from(rows))
        match draw(st.sampled_from(["value", "longer", "shorter", "off grid", "swap", "again", "no row"])):
            case "value" if row:
                row[draw(st.integers(0, len(row) - 1))] = draw(FAULTY)
            case "longer":
                row.append(draw(FAULTY))
            case "shorter" if row:
                row.pop()
            case "off grid" if row and isinstance(row[0], int):
                row[0] += draw(st.integers(-10, 10))
            case "swap":
                rows.reverse()
            case "again":
                rows.insert(rows.index(row), list(row))
            case "no row":
                rows.append(draw(FAULTY))
                break
    return rows


@pytest.mark.parametrize("timeframe", ["1m", "1W", "1M"])
@given(data=st.data())
def test_the_look_at_a_whole_page_judges_as_the_one_at_single_rows(timeframe: str, data: st.DataObject) -> None:
    rows = data.draw(answers(timeframe))
    asked = query(timeframe)
    try:
        singly = read_one_by_one(asked, rows, 0, wire.candle_of, wire.time_of)
    except BadAnswerError:
        assert wire._read_sound(asked, rows) is None
        return
    whole = wire._read_sound(asked, rows)
    if whole is not None:
        assert (whole, ()) == (singly.candles, singly.refused)
        assert {type(value) for candle in whole for value in candle} <= {int, float}


@pytest.mark.parametrize("timeframe", ["1m", "1W", "1M"])
@given(data=st.data())
def test_a_sound_page_is_taken_as_a_whole(timeframe: str, data: st.DataObject) -> None:
    rows = data.draw(sound(timeframe))
    whole = wire._read_sound(query(timeframe), rows)
    assert whole == [(time, open_, high, low, close, volume) for time, open_, close, high, low, volume, *_ in rows]


@pytest.mark.parametrize(
    ("minutes", "are_whole"),
    [
        ([0, 1, 2, 3], True),
        ([0, 2, 1, 3], False),
        ([0, 1.5, 2, 3], False),
        ([0, 0, 2, 3], False),
        ([0.5, 1.5], False),
    ],
)
def test_rows_as_far_apart_as_a_page_without_a_missing_interval_are_still_looked_at(
    minutes: list[float], are_whole: bool
) -> None:
    rows = [[START + int(minute * 60_000), 2, 2, 2, 2, 1] for minute in minutes]
    assert (wire._read_sound(query("1m"), rows) is not None) == are_whole


@given(st.lists(st.sampled_from(["good", "no time", "no row"]), max_size=12))
def test_what_a_faulty_row_without_a_time_leaves_unknown(kinds: list[str]) -> None:
    asked = query("1m")
    grid = asked.timeframe
    asked = asked._replace(range=Range(asked.range.start, grid.shift(asked.range.start, 30)))
    rows: list[Any] = []
    times: list[int | None] = []
    for number, kind in enumerate(kinds):
        time = grid.shift(asked.range.start, 2 * number + 1)
        rows.append(
            [time, 1, 1, 1, 1, 1] if kind == "good" else ["soon", 1, 1, 1, 1, 1] if kind == "no time" else None
        )
        times.append(time if kind == "good" else None)
    page = wire.read_page(asked, rows, 0)
    expected = []
    for position, kind in enumerate(kinds):
        if kind != "good":
            before = [time for time in times[:position] if time is not None]
            after = [time for time in times[position:] if time is not None]
            start = grid.next(before[-1]) if before else asked.range.start
            expected.append(Range(start, after[0] if after else asked.range.end))
    assert [row.unknown for row in page.refused] == expected


def test_a_page_of_nothing_but_faulty_rows_is_told_in_one_sentence() -> None:
    page = wire.read_page(query("1m"), [{}] * 10_000, 0)
    assert page.refusal == "10000 rows were rejected, the first one: a candle must have six values: {}"
    assert {row.unknown for row in page.refused} == {query("1m").range}


def test_more_rows_than_were_asked_for_are_no_answer() -> None:
    with pytest.raises(BadAnswerError, match="10001 rows, but at most 10000"):
        wire.read_page(query("1m"), [None] * 10_001, 0)


def test_a_number_beyond_all_floats_spoils_its_row_only() -> None:
    payload = wire.decode(b"[[%d,1,1,1e400,1,1],[%d,1,1,1,1,1]]" % (START, START + 60_000))
    page = wire.read_page(query("1m"), payload, 0)
    assert [row.reason for row in page.refused] == ["a value is too large"]
    assert [candle[0] for candle in page.candles] == [START + 60_000]
