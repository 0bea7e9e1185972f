"""What to ask next: the forward pass, the backward pass, and how much that will be.

Every plan is made from the ledger as it is now, so that what another job has answered meanwhile is not asked
again; None means that there is nothing to ask.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from mdata.domain.interval import Range, subtract
from mdata.domain.query import PAGE_LIMIT, Query
from mdata.domain.series import Series
from mdata.domain.timeframe import DAY, Timeframe

# A pair without a candle for so long is asked once a day only.
QUIET_AFTER = 30 * DAY
QUIET_EVERY = 1 * DAY

# What one candle takes in the database, with its share of the tree; measured on a million of them.
BYTES_PER_CANDLE = 65


class Ledger(NamedTuple):
    """What a plan needs to know of a series at `now` (ms UTC); `settle` in ms.

    `confirmed_to` is the frontier, moved on over final coverage that begins there.
    """

    series: Series
    hull: Range | None
    confirmed_to: int | None
    last_candle: int | None
    now: int
    settle: int

    @property
    def is_quiet(self) -> bool:
        """Whether the pair has had no candle for 30 days."""
        newest = self.last_candle if self.last_candle is not None else self.series.first_candle
        return newest is None or is_quiet(self.series.timeframe, newest, self.now)


def is_quiet(timeframe: Timeframe, newest: int, until: int) -> bool:
    """Whether no interval that closed in the 30 days before `until` has a candle; `newest` is the last one's."""
    return timeframe.closed_end(until) - timeframe.next(newest) > QUIET_AFTER


def is_first_asked(series: Series | None, now: int) -> bool:
    """Whether the exchange must be asked for the first candle: once, and daily while there is none."""
    return series is None or (series.first_candle is None and now - series.first_asked_at >= QUIET_EVERY)


def forward(ledger: Ledger, *, confirm: bool) -> Query | None:
    """Return the next request of the forward pass, from the frontier to the newest closed interval.

    Nothing is asked while no interval has closed since the last answer, unless `confirm`: then settled
    intervals that are not final yet are reason enough. A series without coverage starts with its newest page.
    """
    series, grid = ledger.series, ledger.series.timeframe
    closed, settled = grid.closed_end(ledger.now), grid.closed_end(ledger.now, ledger.settle)
    wanted = series.wanted(ledger.now, ledger.settle)
    if series.first_candle is None:
        return None
    asked_to = series.asked_to if series.asked_to is not None else -(2**63)
    if ledger.is_quiet and ledger.now - asked_to < QUIET_EVERY:
        return None
    if ledger.hull is None:
        start = wanted.start
        # Asked before, and uncovered all the same: cleanup took it, and somebody wants it back.
        is_due = closed > start and (closed > asked_to or confirm)
    else:
        start = max(ledger.confirmed_to or ledger.hull.start, wanted.start)
        is_due = closed > start and (closed > asked_to or (confirm and settled > start))
    if not is_due:
        return None
    return Query(series.symbol, grid, Range(start, closed), newest_first=ledger.hull is None)


def backward(ledger: Ledger) -> Query | None:
    """Return the next request of the backward pass, from the hull's old end to the wanted start."""
    wanted = ledger.series.wanted(ledger.now, ledger.settle)
    if ledger.hull is None or ledger.hull.start <= wanted.start or ledger.series.first_candle is None:
        return None
    backlog = Range(wanted.start, ledger.hull.start)
    return Query(ledger.series.symbol, ledger.series.timeframe, backlog, newest_first=True)


def behind(ledger: Ledger, covered: list[Range], before: int, lookback: int) -> list[Range]:
    """Return what is unknown before `before` (ms UTC), back to the frontier and for at most `lookback` ms.

    `covered` (normal) is what is known there. That is what a stream catches up with; the rest is for other jobs.
    """
    series, grid = ledger.series, ledger.series.timeframe
    wanted = series.wanted(ledger.now, ledger.settle)
    start = max(wanted.start, grid.ceil(ledger.now - lookback), ledger.confirmed_to or wanted.start)
    if series.first_candle is None or start >= before:
        return []
    return subtract([Range(start, before)], covered)


def catch_up(ledger: Ledger, covered: list[Range], before: int, lookback: int) -> Query | None:
    """Return the next request for what a stream's snapshot, which begins at `before`, does not reach."""
    missing = behind(ledger, covered, before, lookback)
    if not missing:
        return None
    asked = Range(missing[0].start, missing[-1].end)
    return Query(ledger.series.symbol, ledger.series.timeframe, asked, newest_first=False)


def backlog(ledger: Ledger) -> int:
    """Return how many wanted intervals lie outside the hull: the work of `backfill`."""
    wanted = ledger.series.wanted(ledger.now, ledger.settle)
    count = ledger.series.timeframe.count
    if ledger.hull is None:
        return count(*wanted)
    return count(wanted.start, min(ledger.hull.start, wanted.end)) + count(
        max(ledger.hull.end, wanted.start), wanted.end
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """How much a run may need at most: requests, seconds at the shared rate, bytes on disk."""

    requests: int
    seconds: float
    bytes: int

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.requests + other.requests, self.seconds + other.seconds, self.bytes + other.bytes)


def estimate(intervals: int, delay: float, *, is_new: bool = False) -> Estimate:
    """Return what asking for so many intervals costs; a new series asks for its first candle too."""
    requests = -(-intervals // PAGE_LIMIT) + is_new
    return Estimate(requests, requests * delay, intervals * BYTES_PER_CANDLE)


def in_turn(costs: Iterable[Estimate], seconds: Callable[[int], float]) -> list[Estimate]:
    """Return the estimates with the time that each takes after those before it.

    `seconds` says how long so many requests take in all: the first may leave at once, those that come later wait.
    """
    found, requests = [], 0
    for cost in costs:
        before, requests = seconds(requests), requests + cost.requests
        found.append(replace(cost, seconds=seconds(requests) - before))
    return found


def repair(series: Series, asked: Range, before: int | None, after: int | None, doubted: Range | None) -> Query:
    """Return the request that can prove what is missing in `asked`.

    It reaches from the stored candle `before` the range to the one `after` it, where there are such, and proves
    something only when both come back: an answer that is cut or shifted loses one of them. Where there is but one,
    the answer begins with that, so that a cut shows at the other end.
    """
    start = asked.start if before is None else before
    end = asked.end if after is None else series.timeframe.next(after)
    witnesses = tuple(time for time in (before, after) if time is not None)
    return Query(
        *(series.symbol, series.timeframe, Range(start, end)),
        newest_first=before is None or after is not None,
        doubted=doubted,
        witnesses=witnesses,
    )
