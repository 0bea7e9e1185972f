"""Arithmetic on ranges against sets of integers."""

from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.interval import Range, clip, count_within, intersect, normal, subtract

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
