"""From the rows of an answer to a page, for every exchange: which rows are accepted, and which are rejected.

How a single row is decoded is left to the code of each exchange; the checks that rows lie in the requested range, are
in order and do not repeat are the same for all exchanges.
"""

import json
from collections.abc import Callable, Iterator
from itertools import accumulate
from operator import lt
from typing import Any

from mdata.domain import candle as sanity
from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.query import Page, Query, RefusedRow
from mdata.domain.timeframe import Timeframe
from mdata.errors import BadAnswerError

LONGEST_TEXT = 200
NUMBERS = {int, float}


def rows_of(query: Query, payload: Any) -> list[Any]:
    """Return the rows of an answer, the oldest first; raise BadAnswerError if it is not a list, or too long."""
    if not isinstance(payload, list):
        raise BadAnswerError(f"the exchange sent something other than a list of candles: {shortened(payload)}")
    if len(payload) > query.limit:
        raise BadAnswerError(f"the exchange sent {len(payload)} rows, but at most {query.limit} were requested")
    return payload if query.venue.is_ascending(newest_first=query.newest_first) else payload[::-1]


def are_sound(query: Query, times: list[int]) -> bool:
    """Whether rows at these open times (at least one) are ascending, on the grid and inside the requested range."""
    return (
        set(map(type, times)) == {int}
        and query.within.start <= times[0]
        and times[-1] < query.within.end
        and (
            _are_all_of_the_grid(query.timeframe, times)
            or (all(map(lt, times, times[1:])) and _are_aligned(query.timeframe, times))
        )
    )


def _are_all_of_the_grid(timeframe: Timeframe, times: list[int]) -> bool:
    """Whether no interval is missing between the first and the last time: one comparison shows that, and all else."""
    step, first, last = timeframe.step, times[0], times[-1]
    is_as_long = bool(step) and last - first == step * (len(times) - 1)
    return is_as_long and timeframe.is_aligned(first) and times == [*range(first, last + 1, step)]


def _are_aligned(timeframe: Timeframe, times: list[int]) -> bool:
    if not timeframe.step:
        return all(map(timeframe.is_aligned, times))
    step = timeframe.step
    return {time % step for time in times} == {timeframe.anchor % step}


def read_one_by_one(
    query: Query,
    rows: list[Any],
    asked_at: int,
    candle_of: Callable[[Any], Candle | str],
    time_of: Callable[[Any], int | None],
) -> Page:
    """Return the page of these rows (ascending), in which rows that cannot be candles are set aside.

    `candle_of` returns the candle of a row, or why it is not one; `time_of` returns its open time, if it has one. If
    the exchange sends rows for silence, a candle without volume is a silence. `asked_at` is ms UTC. Raise
    BadAnswerError for rows outside the requested range or order, and for conflicting duplicates.
    """
    times = [time_of(row) for row in rows]
    _refuse_misplaced(query, [time for time in times if time is not None])
    found = [_judged(query, candle_of(row)) for row in rows]
    candles: list[Candle] = []
    silent: list[int] = []
    refused: list[RefusedRow] = []
    known = [None if isinstance(one, str) else one if isinstance(one, int) else one[0] for one in found]
    for row, time, one, (before, after) in zip(rows, times, found, _neighbours(known), strict=True):
        if isinstance(one, str):
            refused.append(RefusedRow(time, shortened(row), one, _unknown(query, time, before, after)))
        elif isinstance(one, int):
            silent.append(one)
        else:
            _append(candles, one)
    if not {candle[0] for candle in candles}.isdisjoint(silent):
        raise BadAnswerError("the exchange sent a candle and a silence for one interval; nothing was stored")
    return Page(query, candles, tuple(refused), len(rows), asked_at, tuple(dict.fromkeys(silent)))


def _judged(query: Query, found: Candle | str) -> Candle | int | str:
    """Return the candle of a row, the open time of a row that means silence, or why the row is rejected."""
    if isinstance(found, str):
        return found
    if query.venue.writes_silence and found[5] == 0 and query.timeframe.is_aligned(found[0]):
        return found[0]
    return sanity.fault(found, query.timeframe) or found


def _neighbours(times: list[int | None]) -> Iterator[tuple[int | None, int | None]]:
    """Yield for each row the last valid time before it, and the first valid time of it or a later row."""
    after = [*accumulate(reversed(times), _newer)]
    return zip([None, *accumulate(times, _newer)], reversed(after), strict=False)


def _newer(last: int | None, time: int | None) -> int | None:
    return last if time is None else time


def _append(candles: list[Candle], found: Candle) -> None:
    if candles and candles[-1][0] == found[0]:
        if candles[-1] != found:
            raise BadAnswerError(f"the exchange sent two different candles for {found[0]}; nothing was stored")
        return
    candles.append(found)


def _refuse_misplaced(query: Query, times: list[int]) -> None:
    for time in times:
        if not query.within.start <= time < query.within.end:
            raise BadAnswerError(
                f"the exchange sent a candle at {time}, outside the requested range ({query.range.start} to "
                f"{query.range.end}); nothing of the answer was stored"
            )
    if times != sorted(times):
        raise BadAnswerError("the exchange sent candles out of order; nothing of the answer was stored")


def _unknown(query: Query, time: int | None, before: int | None, after: int | None) -> Range | None:
    """Return the range that a rejected row may belong to: its interval, or all between the nearest valid rows."""
    grid = query.timeframe
    if time is not None and grid.is_aligned(time):
        return Range(time, grid.next(time))
    start = query.range.start if before is None else grid.next(before)
    end = query.range.end if after is None else grid.floor(after)
    return Range(start, end) if start < end else None


def shortened(value: Any) -> str:
    """Return the received value as text that is short enough to store and show."""
    return json.dumps(value)[:LONGEST_TEXT]
