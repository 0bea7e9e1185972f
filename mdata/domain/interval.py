"""Half-open ranges of time `[start, end)` in ms UTC, and arithmetic on lists of them.

Every function takes and returns lists that are *normal*: ascending, disjoint, not touching, none empty;
`normal` makes any list so.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from mdata.domain.timeframe import Timeframe

# Earlier and later than any candle (ms): they stand for the ends of an unbounded range. They fit SQLite's integers.
BEGINNING_OF_TIME, END_OF_TIME = -(2**62), 2**62


class Range(NamedTuple):
    """A half-open range of time `[start, end)`, ms UTC."""

    start: int
    end: int

    def overlaps(self, other: "Range") -> bool:
        """Whether the two ranges share at least one instant."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: "Range") -> bool:
        """Whether `other` is completely inside this range."""
        return self.start <= other.start and other.end <= self.end

    def clip(self, start: int, end: int) -> "Range":
        """Return the part inside `[start, end)`; it may be empty (`end <= start`)."""
        return Range(max(self.start, start), min(self.end, end))


def normal(ranges: Iterable[Range]) -> list[Range]:
    """Return the union of `ranges` as an ascending list of disjoint ranges; neighbours merge."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if end <= start:
            continue
        if merged and start <= merged[-1].end:
            merged[-1] = Range(merged[-1].start, max(merged[-1].end, end))
        else:
            merged.append(Range(start, end))
    return merged


def subtract(ranges: list[Range], holes: list[Range]) -> list[Range]:
    """Return `ranges` without `holes`."""
    left: list[Range] = []
    position = 0
    for start, end in ranges:
        cursor = start
        while position < len(holes) and holes[position].end <= start:
            position += 1
        following = position
        while following < len(holes) and holes[following].start < end:
            hole = holes[following]
            if hole.start > cursor:
                left.append(Range(cursor, hole.start))
            cursor = max(cursor, hole.end)
            following += 1
        if cursor < end:
            left.append(Range(cursor, end))
    return left


def intersect(ranges: list[Range], others: list[Range]) -> list[Range]:
    """Return the intersection of both lists."""
    shared: list[Range] = []
    left = right = 0
    while left < len(ranges) and right < len(others):
        start = max(ranges[left].start, others[right].start)
        end = min(ranges[left].end, others[right].end)
        if start < end:
            shared.append(Range(start, end))
        if ranges[left].end < others[right].end:
            left += 1
        else:
            right += 1
    return shared


def count_within(times: list[int], ranges: Iterable[Range]) -> int:
    """Return how many of these (ascending) times are in one of the ranges, which are disjoint."""
    return sum(bisect_left(times, end) - bisect_left(times, start) for start, end in ranges) if times else 0


def clip(ranges: list[Range], start: int, end: int) -> list[Range]:
    """Return the parts of `ranges` inside `[start, end)`."""
    if ranges and start <= ranges[0].start and ranges[-1].end <= end:
        return list(ranges)
    return intersect(ranges, [Range(start, end)]) if start < end else []


def intervals_of(grid: Timeframe, times: Iterable[int]) -> list[Range]:
    """Return the intervals (normal) that contain these instants, on the grid or not."""
    return normal(Range(grid.floor(time), grid.next(time)) for time in times)
