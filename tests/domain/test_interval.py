"""Arithmetic on ranges against sets of integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.interval import (
    BEGINNING_OF_TIME,
    END_OF_TIME,
    Range,
    clip,
    count_within,
    intersect,
    intervals_of,
    normal,
    subtract,
)
from mdata.domain.timeframe import DAY, HOUR, MINUTE, TIMEFRAMES

ranges = st.lists(
    st.builds(lambda start, length: Range(start, start + length), st.integers(0, 60), st.integers(0, 12))
)


def cells(found: list[Range]) -> set[int]:
    return {cell for start, end in found for cell in range(start, end)}


def is_normal(found: list[Range]) -> bool:
    gaps = all(left.end < right.start for left, right in zip(found, found[1:], strict=False))
    return gaps and all(one.start < one.end for one in found)


@given(ranges)
def test_normal(given_ranges: list[Range]) -> None:
    assert cells(normal(given_ranges)) == cells(given_ranges)
    assert is_normal(normal(given_ranges))


@given(ranges, ranges)
def test_subtract_and_intersect(left: list[Range], right: list[Range]) -> None:
    one, other = normal(left), normal(right)
    assert cells(subtract(one, other)) == cells(one) - cells(other)
    assert cells(intersect(one, other)) == cells(one) & cells(other)
    assert is_normal(subtract(one, other))
    assert is_normal(intersect(one, other))


@given(ranges, st.integers(0, 70), st.integers(0, 70))
def test_clip(given_ranges: list[Range], start: int, end: int) -> None:
    assert cells(clip(normal(given_ranges), start, end)) == {c for c in cells(given_ranges) if start <= c < end}


@given(ranges, st.sets(st.integers(0, 70)))
def test_count_within(given_ranges: list[Range], times: set[int]) -> None:
    assert count_within(sorted(times), normal(given_ranges)) == len(times & cells(given_ranges))


# Every way in which two ranges can lie: (10, 20) and another.
BESIDE = [Range(0, 5), Range(0, 10), Range(20, 30), Range(25, 30)]
INSIDE = [Range(10, 20), Range(10, 15), Range(15, 20), Range(12, 18)]
ACROSS = [Range(5, 11), Range(19, 25), Range(5, 20), Range(10, 25), Range(5, 25), Range(9, 20), Range(10, 21)]


@pytest.mark.parametrize("other", [*BESIDE, *INSIDE, *ACROSS])
def test_two_ranges(other: Range) -> None:
    one = Range(10, 20)
    shared = cells([one]) & cells([other])
    assert one.overlaps(other) is other.overlaps(one) is bool(shared) is (other not in BESIDE)
    assert one.contains(other) is (shared == cells([other])) is (other in INSIDE)
    assert intersect([one], [other]) == intersect([other], [one]) == normal([one.clip(*other)])
    assert cells([one.clip(*other)]) == shared
    assert cells(subtract([one], [other])) == cells([one]) - shared
    assert is_normal(subtract([one], [other]))
    assert is_normal(normal([one, other]))
    assert cells(normal([one, other])) == cells([one]) | cells([other])


def test_neighbours_merge_and_what_is_empty_is_left_out() -> None:
    assert normal([Range(5, 9), Range(0, 5), Range(20, 20), Range(30, 25)]) == [Range(0, 9)]
    assert normal([Range(0, 3), Range(4, 5)]) == [Range(0, 3), Range(4, 5)]
    assert normal([Range(0, 9), Range(2, 4), Range(20, 29), Range(22, 24)]) == [Range(0, 9), Range(20, 29)]


def test_a_hole_may_reach_over_several_ranges_and_a_range_have_several_holes() -> None:
    ranges = [Range(0, 10), Range(20, 30), Range(40, 50)]
    assert subtract(ranges, [Range(5, 45)]) == [Range(0, 5), Range(45, 50)]
    holes = [Range(0, 1), Range(2, 3), Range(9, 10), Range(15, 16), Range(29, 41)]
    assert subtract(ranges, holes) == [Range(1, 2), Range(3, 9), Range(20, 29), Range(41, 50)]
    assert intersect(ranges, holes) == [Range(0, 1), Range(2, 3), Range(9, 10), Range(29, 30), Range(40, 41)]


def test_nothing_is_inside_of_an_empty_range() -> None:
    assert clip([Range(0, 10)], 5, 5) == clip([Range(0, 10)], 7, 5) == []
    assert count_within([5], [Range(5, 5)]) == count_within([], [Range(0, 10)]) == 0
    assert count_within([4, 5, 6, 9, 10], [Range(5, 7), Range(9, 10)]) == 3


def test_the_intervals_of_instants_are_those_that_contain_them() -> None:
    grid = TIMEFRAMES["1m"]
    times = [0, 1, MINUTE - 1, MINUTE, 5 * MINUTE + 1]
    assert intervals_of(grid, times) == [Range(0, 2 * MINUTE), Range(5 * MINUTE, 6 * MINUTE)]
    february = Range(31 * DAY, 59 * DAY)
    assert intervals_of(TIMEFRAMES["1M"], [40 * DAY + HOUR]) == [february]


def test_the_ends_of_time_are_beyond_every_instant_and_fit_into_64_bits() -> None:
    year_10000 = 253_402_300_800_000
    assert year_10000 < END_OF_TIME < 2**63
    assert BEGINNING_OF_TIME == -END_OF_TIME
