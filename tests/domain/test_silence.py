"""Silences: what is remarkable, how busy a market is, where the runs are, and when they are asked about again."""

import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from answers import LONG, M1, SHORT, Judge, answer, at, minute, span
from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.interval import Range
from mdata.domain.retries import SILENCE_AGAIN, silence_again_at
from mdata.domain.silence import (
    NOTHING_NEARBY,
    Density,
    density_beside,
    is_improbable,
    is_remarkable,
    least,
    silent_stretches,
)
from mdata.domain.timeframe import DAY, HOUR, TIMEFRAMES, Timeframe
from mdata.store import silences

LEAST = {
    "1m": 60, "5m": 12, "15m": 4, "30m": 3, "1h": 3, "3h": 3, "6h": 3, "12h": 3, "1D": 3, "1W": 3, "1M": 3,
}  # fmt: skip


@pytest.mark.parametrize(("name", "intervals"), LEAST.items())
def test_a_remarkable_silence_lasts_an_hour_and_three_intervals_at_least(name: str, intervals: int) -> None:
    grid, dense = TIMEFRAMES[name], Density(500, 500)
    assert least(grid) == intervals
    assert is_remarkable(grid, intervals, dense)
    assert not is_remarkable(grid, intervals - 1, dense)


@pytest.mark.parametrize("name", ["1m", "1h", "1M"])
def test_where_nothing_around_is_known_a_silence_is_remarkable_if_it_lasts_that_long(name: str) -> None:
    assert is_remarkable(TIMEFRAMES[name], LEAST[name], NOTHING_NEARBY)
    assert not is_remarkable(TIMEFRAMES[name], LEAST[name] - 1, NOTHING_NEARBY)


@given(st.sampled_from(["1m", "15m", "1D"]), st.integers(0, 500), st.integers(1, 500), st.data())
def test_remarkable_is_what_is_less_probable_than_one_in_a_million(
    name: str, silent: int, intervals: int, data: st.DataObject
) -> None:
    candles = data.draw(st.integers(0, intervals))
    probability = (1 - Fraction(candles, intervals)) ** silent
    expected = silent >= LEAST[name] and (probability < Fraction(1, 10**6))
    assert is_remarkable(TIMEFRAMES[name], silent, Density(intervals, candles)) is expected


@pytest.mark.parametrize(("silent", "nearby"), [(3, Density(100, 99)), (6, Density(10, 9)), (6, Density(500, 450))])
def test_what_has_a_probability_of_one_in_a_million_exactly_is_not_remarkable_yet(
    silent: int, nearby: Density
) -> None:
    day = TIMEFRAMES["1D"]
    assert not is_remarkable(day, silent, nearby)
    assert is_remarkable(day, silent + 1, nearby)
    assert not is_improbable(silent, nearby)
    assert is_improbable(silent + 1, nearby)


@pytest.mark.parametrize(
    ("intervals", "silent"), [(1, 20), (9, 7), (99, 4), (100, 3), (500, 3), (1000, 2), (10**6, 1)]
)
def test_where_every_interval_around_has_a_candle_one_more_without_is_assumed(intervals: int, silent: int) -> None:
    """Of `silent` intervals in a row the probability is then (1 / (intervals + 1)) ** silent."""
    assert (intervals + 1) ** silent > 10**6 >= (intervals + 1) ** (silent - 1)
    dense = Density(intervals, intervals)
    assert is_improbable(silent, dense)
    assert not is_improbable(silent - 1, dense)


@pytest.mark.parametrize(("silent", "nearby"), [(1000, NOTHING_NEARBY), (1000, Density(500, 0))])
def test_where_nothing_is_known_or_traded_around_no_silence_is_improbable(silent: int, nearby: Density) -> None:
    assert not is_improbable(silent, nearby)


@pytest.mark.parametrize("silent", [0, -5])
def test_no_silence_at_all_is_not_improbable(silent: int) -> None:
    assert not is_improbable(silent, Density(500, 500))


def test_in_a_market_without_any_candle_no_silence_is_remarkable() -> None:
    assert not is_remarkable(M1, 100_000, Density(500, 0))


def test_densities_add_up() -> None:
    assert Density(3, 2) + Density(10, 4) == Density(13, 6)
    assert NOTHING_NEARBY + Density(3, 2) == Density(3, 2)


def nearest(covered: Range, hole: Range) -> list[int]:
    """Return the 500 minutes that are nearest to a hole, on both sides of it alike."""
    beside = [n for n in range(covered.start, covered.end) if not hole.start <= n < hole.end]
    return sorted(beside, key=lambda n: (hole.start - n if n < hole.start else n - hole.end + 1, n < hole.start))[
        :500
    ]


@given(
    st.integers(0, 700), st.integers(1, 80), st.integers(0, 700), st.randoms(use_true_random=False), st.floats(0, 1)
)
def test_density_is_that_of_the_500_nearest_covered_intervals(
    before: int, silent: int, after: int, draw: random.Random, share: float
) -> None:
    covered, hole = Range(0, before + silent + after), Range(before, before + silent)
    held = [n for n in range(covered.end) if draw.random() < share and not hole.start <= n < hole.end]
    found = density_beside(M1, [minute(n) for n in held], span(*covered), span(*hole))
    chosen = nearest(covered, hole)
    assert found == Density(len(chosen), len({*chosen} & {*held}))


def runs_by_brute_force(grid: Timeframe, within: Range, held: set[int]) -> list[Range]:
    found, begin = [], None
    for time in [*grid.open_times(*within), within.end]:
        is_silent = time not in held and time < within.end
        if is_silent and begin is None:
            begin = time
        elif not is_silent and begin is not None:
            if grid.count(begin, time) >= LEAST[grid.name]:
                found.append(Range(begin, time))
            begin = None
    return found


@given(st.sampled_from(["1m", "15m", "1D", "1M"]), st.integers(0, 300), st.sets(st.integers(0, 299)))
def test_silent_stretches_are_the_stretches_without_candles(name: str, length: int, held: set[int]) -> None:
    grid = TIMEFRAMES[name]
    start = grid.floor(minute(0))
    within = Range(start, grid.shift(start, length))
    times = [grid.shift(start, number) for number in sorted(held) if number < length]
    assert silent_stretches(grid, within, times) == runs_by_brute_force(grid, within, {*times})


@pytest.mark.parametrize("length", [SHORT, LONG])
@pytest.mark.parametrize("held", [[], [0], [-1], [0, -1]], ids=["nothing", "the first", "the last", "both"])
def test_runs_begin_and_end_at_candles_and_at_the_ends(length: int, held: list[int]) -> None:
    times = sorted({minute(number % (length + len(held))) for number in held})
    found = silent_stretches(M1, span(0, length + len(held)), times)
    begin = 1 if 0 in held else 0
    assert found == ([] if length == SHORT else [span(begin, begin + length)])


def test_a_believed_silence_is_due_a_day_a_week_and_a_month_after_it_was_believed() -> None:
    asked = [0]
    while (due := silence_again_at(0, asked[-1])) is not None:
        asked.append(due)
    assert asked[1:] == [1 * DAY, 7 * DAY, 30 * DAY] == [*SILENCE_AGAIN]


@pytest.mark.parametrize(
    ("asked_after", "due_after"),
    [(0, 1), (0.5, 1), (1, 7), (2, 7), (6.9, 7), (7, 30), (8, 30), (29.9, 30), (30, None), (400, None)],
)
def test_whoever_asked_early_or_late_asks_again_by_the_age_of_the_belief(
    asked_after: float, due_after: float | None
) -> None:
    believed = 5 * DAY
    expected = None if due_after is None else believed + due_after * DAY
    assert silence_again_at(believed, believed + int(asked_after * DAY)) == expected


# --- in the store ---------------------------------------------------------------------------------------------------


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Judge]:
    """A market that is dense but for an hour (100 to 160) and for 40 minutes (300 to 340)."""
    found = Judge(tmp_path / "a.db").holds(*range(100), *range(160, 300), *range(340, 400), until=400)
    yield found
    found.store.close()


def due(judge: Judge, days: float, after: int = 403) -> list[Range]:
    """Return what is due so many days (and `after` minutes) later."""
    return silences.due(judge.store.connection, 1, minute(after) + int(days * DAY))


def test_a_remarkable_silence_is_remembered_and_others_are_not(one: Judge) -> None:
    assert due(one, 0.99) == []
    assert due(one, 1) == [span(100, 160)]
    assert silences.begins_at(one.store.connection, 1, minute(100))
    assert not silences.begins_at(one.store.connection, 1, minute(300))
    assert silences.at_least(one.store.connection, 1, HOUR) == [span(100, 160)]
    assert silences.at_least(one.store.connection, 1, HOUR + 1) == []


def test_one_that_was_asked_about_again_is_due_by_the_day_it_was_first_believed(one: Judge) -> None:
    again = answer(span(90, 170), at(*range(90, 100), *range(160, 170)))
    for days, following in ((1, 7), (8, 30), (31, None)):
        one.hears(again._replace(asked_at=minute(403) + days * DAY))
        assert due(one, 29 if following == 30 else 6.9) == []
        assert due(one, following or 10_000) == ([span(100, 160)] if following else [])


def test_one_that_was_asked_about_in_part_keeps_the_time_since_when(one: Judge) -> None:
    one.hears(answer(span(90, 131), at(*range(90, 100), 130), now=403 + 1440 * 2))  # a candle came late
    assert due(one, 3) == []  # two halves of half an hour each are nothing to remark on
    assert silences.at_least(one.store.connection, 1, 1) == []


def test_a_silence_that_goes_on_in_the_next_answer_is_one_silence(tmp_path: Path) -> None:
    one = Judge(tmp_path / "b.db").holds(*range(100), until=140)
    for newest_first in (False, True):
        one.hears(answer(span(97, 180), at(97, 98, 99), newest_first=newest_first, now=500))
    assert silences.at_least(one.store.connection, 1, 1) == [span(100, 180)]
    one.hears(answer(span(97, 220), [*at(97, 98, 99), *at(219)], now=600))
    assert silences.at_least(one.store.connection, 1, 1) == [span(100, 219)]
    # It was believed first at 500, when it had become remarkable.
    assert due(one, 1, after=499) == []
    assert due(one, 1, after=500) == [span(100, 219)]
    one.store.close()


def test_in_a_sparse_market_the_same_hour_is_not_remembered(tmp_path: Path) -> None:
    one = Judge(tmp_path / "b.db").holds(*range(0, 1000, 20), 1080, until=1100)
    assert silences.at_least(one.store.connection, 1, 1) == []
    one.store.close()


def test_what_is_removed_is_forgotten(one: Judge) -> None:
    with one.store.write() as connection:
        silences.forget(connection, 1, minute(130))
    assert silences.at_least(one.store.connection, 1, 1) == [span(130, 160)]
    with one.store.write() as connection:
        silences.forget(connection, 1, minute(160))
    assert silences.at_least(one.store.connection, 1, 1) == []


def test_a_silence_in_which_a_candle_was_lost_is_none(one: Judge) -> None:
    one.lose(200)
    for number in range(161, 200):
        one.lose(number)
    told = answer(span(90, 299), at(*range(90, 100), 160, *range(201, 299)), now=600)
    one.hears(told)
    assert silences.at_least(one.store.connection, 1, 1) == [span(100, 160)]
