"""The grid against the calendar of the standard library, 2013 to 2030."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.timeframe import TIMEFRAMES, Timeframe

BEGIN, END = datetime(2013, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
instants = st.integers(int(BEGIN.timestamp() * 1000), int(END.timestamp() * 1000))
grids = st.sampled_from(list(TIMEFRAMES.values()))


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def test_months_are_those_of_the_calendar() -> None:
    grid, moment = TIMEFRAMES["1M"], BEGIN
    while moment < END:
        following = (moment.replace(day=28) + timedelta(days=4)).replace(day=1)
        assert grid.next(ms(moment)) == ms(following)
        assert grid.floor(ms(following) - 1) == ms(moment)
        assert grid.previous(ms(following)) == ms(moment)
        moment = following


def test_weeks_begin_on_monday() -> None:
    grid = TIMEFRAMES["1W"]
    for days in range((END - BEGIN).days):
        moment = BEGIN + timedelta(days=days)
        monday = moment - timedelta(days=moment.weekday())
        assert grid.floor(ms(moment)) == ms(monday)


@pytest.mark.parametrize("name", ["1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h", "1D"])
def test_steps_count_from_midnight(name: str) -> None:
    grid = TIMEFRAMES[name]
    midnight = datetime(2024, 2, 29, tzinfo=UTC)
    opens = list(grid.open_times(ms(midnight), ms(midnight + timedelta(days=1))))
    assert opens[0] == ms(midnight)
    assert len(opens) * grid.step == 86_400_000


@given(grids, instants)
def test_floor_and_next_enclose(grid: Timeframe, instant: int) -> None:
    assert grid.floor(instant) <= instant < grid.next(instant)
    assert grid.previous(grid.next(instant)) == grid.floor(instant)
    assert grid.is_aligned(grid.floor(instant))
    assert grid.ceil(instant) in {grid.floor(instant), grid.next(instant)}


@given(grids, instants, st.integers(0, 500))
def test_count_is_the_number_of_open_times(grid: Timeframe, instant: int, count: int) -> None:
    start = grid.floor(instant)
    end = grid.shift(start, count)
    assert grid.count(start, end) == count == len(list(grid.open_times(start, end)))


@given(grids, instants, st.integers(0, 10**6))
def test_closed_end_is_closed_for_the_settle_time(grid: Timeframe, now: int, settle: int) -> None:
    end = grid.closed_end(now, settle)
    assert end <= now - settle < grid.next(end)
