"""Silences: which stretches without candles are unusually long, and when the exchange is asked about one again.

Most silences are simply times without trades. A silence is unusually long (*remarkable*) if it is improbable in the
market around it: if a share d of the intervals nearby has a candle, n silent ones in a row have the probability (1 -
d) ** n.
"""

from bisect import bisect_left
from itertools import pairwise
from math import log
from typing import NamedTuple

from mdata.domain.interval import Range
from mdata.domain.timeframe import HOUR, Timeframe

# A silence less probable than this is remarkable if it lasts for at least an hour and at least three intervals.
IMPROBABLE = 1e-6
_LEAST_TIME, _LEAST_INTERVALS = 1 * HOUR, 3
# How many covered intervals around a silence are used to judge how busy the market is.
NEARBY = 500


class Density(NamedTuple):
    """How busy a market is: the number of covered intervals, and how many of them have a candle."""

    intervals: int = 0
    candles: int = 0

    def __add__(self, other: "Density") -> "Density":  # type: ignore[override]  # adds two counts, not a concatenation
        return Density(self.intervals + other.intervals, self.candles + other.candles)


NOTHING_NEARBY = Density()


def least(timeframe: Timeframe) -> int:
    """Return how many intervals a remarkable silence has at least: as many as an hour has, and at least three."""
    return max(_LEAST_INTERVALS, -(-_LEAST_TIME // timeframe.step) if timeframe.step else 0)


def is_remarkable(timeframe: Timeframe, silent: int, nearby: Density) -> bool:
    """Whether this many silent intervals in a row are improbable in a market as busy as `nearby`."""
    if silent < least(timeframe):
        return False
    if not nearby.intervals or nearby.candles >= nearby.intervals:
        return True
    # The share of silent intervals is computed from their number, because as floats, 1 - 0.9 is a little less than
    # 0.1.
    return silent * log((nearby.intervals - nearby.candles) / nearby.intervals) < log(IMPROBABLE)


def is_improbable(silent: int, nearby: Density) -> bool:
    """Whether this many silent intervals in a row, however few, are improbable in a market as busy as `nearby`.

    If every nearby interval has a candle, one further interval without a candle is assumed, so that the probability
    of a silence never becomes zero.
    """
    if not nearby.intervals:
        return False
    share = max((nearby.intervals - nearby.candles) / nearby.intervals, 1 / (nearby.intervals + 1))
    return silent * log(share) < log(IMPROBABLE)


def density_beside(timeframe: Timeframe, times: list[int], covered: Range, hole: Range) -> Density:
    """Return how busy the market is beside a hole in a covered range; `times` are the range's candles."""
    left, right = timeframe.count(covered.start, hole.start), timeframe.count(hole.end, covered.end)
    before = min(left, max(NEARBY // 2, NEARBY - right))
    after = min(right, NEARBY - before)
    start, end = timeframe.shift(hole.start, -before), timeframe.shift(hole.end, after)
    held = bisect_left(times, hole.start) - bisect_left(times, start)
    held += bisect_left(times, end) - bisect_left(times, hole.end)
    return Density(before + after, held)


def silent_stretches(timeframe: Timeframe, within: Range, open_times: list[int]) -> list[Range]:
    """Return the remarkably long stretches of `within` without a candle; `open_times` are the candles there."""
    shortest = least(timeframe)
    if timeframe.count(*within) - len(open_times) < shortest:
        return []
    edges = [timeframe.previous(within.start), *open_times, within.end]
    long_enough = shortest * timeframe.step  # 0 for months: each stretch is counted then
    found = []
    for before, after in pairwise(edges):
        if after - before <= long_enough:
            continue
        start = timeframe.next(before)
        if timeframe.count(start, after) >= shortest:
            found.append(Range(start, after))
    return found
