"""Gaps: what counts as missing, what an answer does to a gap, and when one is given up.

A gap is a stretch of intervals inside the hull for which no answer has come, or whose candles were lost. It closes
only on proof. An answer that proves too little is an attempt, and the wait for the next one grows each time.
"""

from typing import Literal, NamedTuple, get_args

from mdata.domain.interval import Range, clip, intersect, intervals_of, normal, subtract
from mdata.domain.retries import ASK_AGAIN, MOST_ATTEMPTS, ask_again_after
from mdata.domain.timeframe import Timeframe

Status = Literal["open", "repaired", "empty", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)


class Gap(NamedTuple):
    """A row of the work list; times are ms UTC, `next_attempt_at` None means: due now."""

    id: int
    range: Range
    status: Status
    attempts: int
    detected_at: int
    next_attempt_at: int | None

    def is_due(self, now: int) -> bool:
        """Whether `repair` may ask about this gap at `now`."""
        # If the remaining wait is longer than the longest possible wait, it was recorded by a clock that was ahead,
        # and is ignored.
        wait = (self.next_attempt_at or now) - now
        return self.status == "open" and not 0 < wait <= ASK_AGAIN[-1]


def missing(
    timeframe: Timeframe, hull: Range | None, uncovered: list[Range], lost: list[int], kept: Range
) -> list[Range]:
    """Return the gaps of a series: unknown stretches inside the hull, and lost candles anywhere inside `kept`.

    `kept` is the range that can be wanted: outside it, candles were removed by cleanup or are still to come.
    """
    if hull is None:
        return []
    # A lost candle that was off the grid is not missing itself, but its interval is, and is requested again.
    lost_stretches = intervals_of(timeframe, lost)
    return clip(normal([*clip(uncovered, *hull), *lost_stretches]), *kept)


class Judgement(NamedTuple):
    """The result for one gap: the parts that are still missing, and those that are answered."""

    gap: Gap
    left: list[Range]
    answered: list[Range]


def judge(gap: Gap, answered: list[Range]) -> Judgement:
    """Return what is left of a gap after these ranges (normal) have been answered for."""
    return Judgement(gap, subtract([gap.range], answered), intersect([gap.range], answered))


def after_attempt(attempts: int, now: int) -> tuple[Status, int | None]:
    """Return status and next attempt (ms UTC) of a gap that `attempts` answers have left unproven."""
    if attempts >= MOST_ATTEMPTS:
        return "failed", None
    return "open", now + ask_again_after(attempts)
