"""Contradictions between an answer and the store, and when the answer is accepted.

One answer alone changes nothing: the stored candle stays. When a second, independent answer says the same, the store
follows the exchange.
"""

from bisect import bisect_left
from itertools import groupby
from typing import NamedTuple

from mdata.domain import silence
from mdata.domain.candle import Candle
from mdata.domain.doubt import Doubt, raised
from mdata.domain.interval import Range, intersect, normal, subtract
from mdata.domain.known import Known
from mdata.domain.query import Page, is_same


class Found(NamedTuple):
    """What to store of the settled part of an answer, and where it contradicts the store (see `Verdict`).

    `unsettled` are intervals that stay provisional: the stream has shown a candle there, and this answer has none.
    `unproven` are the uncovered parts of a hole between two rows. This answer does not cover them either, because it
    lacks known candles in the same hole, and the hole is remarkable or already unobtainable.
    """

    candles: list[Candle]
    changed: list[Candle]
    withdrawn: list[Candle]
    lost: list[int]
    unobtainable: list[Range]
    unsettled: list[Range]
    unproven: list[Range]
    doubts: list[Doubt]
    ended: list[Doubt]


def find(page: Page, known: Known, settled: list[Range]) -> Found:
    """Compare the settled part of an answer (`settled`: ranges, normal as in `domain.interval`) with the store."""
    answered = [row for part in settled for row in within(page.candles, part)]
    covered = intersect(settled, normal([*known.final, *known.provisional]))
    held = [candle for part in covered for candle in within(known.stored, part)]
    lost = [time for time in known.lost if is_in(time, settled)]
    first, last = _positions(answered, held, lost, known.doubts)
    rows = {row[0]: row for row in answered[first:last]}
    found = Found([], [], [], [], [], [], [], [], [])
    _compare(page, known, [candle for candle in held if candle[0] in rows], rows, found)
    missing = {candle[0]: candle for candle in held if candle[0] not in rows}
    lost = [time for time in lost if time not in rows]
    if missing or lost:
        _miss(page, known, missing, lost, rows, found)
    found.candles.extend([*answered[:first], *map(rows.__getitem__, sorted(rows)), *answered[last:]])
    return found


def _positions(answered: list[Candle], held: list[Candle], lost: list[int], doubts: list[Doubt]) -> tuple[int, int]:
    """Return the positions of the rows that can contradict something: usually a few of a full page."""
    times = [*(candle[0] for candle in held), *lost, *(doubt.range.start for doubt in doubts)]
    return (bisect_left(answered, (min(times),)), bisect_left(answered, (max(times) + 1,))) if times else (0, 0)


def is_in(time: int, ranges: list[Range]) -> bool:
    """Whether an instant is in one of the ranges."""
    return any(part.start <= time < part.end for part in ranges)


def within(candles: list[Candle], part: Range) -> list[Candle]:
    """Return the candles (ascending) whose open time is in `part`."""
    if candles and part.start <= candles[0][0] and candles[-1][0] < part.end:
        return candles
    first, last = (bisect_left(candles, (instant,)) for instant in part)
    return candles[first:last]


def changed(page: Page, known: Known, row: Candle, interval: Range) -> Doubt:
    """Return the doubt about a candle that came back with other values."""
    return raised(page, interval, "changed", known.doubts, row)


def _compare(page: Page, known: Known, held: list[Candle], rows: dict[int, Candle], found: Found) -> None:
    """Compare returned candles with the stored ones, which stay until a second answer agrees on a change."""
    told = {doubt.range.start: doubt for doubt in known.doubts if doubt.kind == "changed"}
    grid = page.query.timeframe
    for candle in held:
        time, row = candle[0], rows[candle[0]]
        doubt = told.get(time)
        if candle == row and doubt is None:
            continue
        if not is_in(time, known.final):
            continue  # candles of the stream are simply replaced
        if is_same(candle, row):
            # A volume that differs only in its last digits is not a change.
            rows[time] = candle
            found.ended.extend([doubt] if doubt else [])
        elif doubt and _agrees(page, doubt) and doubt.candle and is_same(doubt.candle, row):
            found.changed.append(candle)
            found.ended.append(doubt)
        else:
            found.doubts.append(changed(page, known, row, Range(time, grid.next(time))))
            rows[time] = candle
    back = [candle[0] for candle in held]
    came_back = set(back)
    # If no candle was stored at the doubted time, the answer's row is stored now, whether or not it equals the
    # doubted row. The doubt is over in either case.
    found.ended.extend(doubt for time, doubt in told.items() if time in rows and time not in came_back)
    found.ended.extend(
        doubt
        for doubt in known.doubts
        if doubt.kind == "absent" and bisect_left(back, doubt.range.start) < bisect_left(back, doubt.range.end)
    )


def _agrees(page: Page, doubt: Doubt) -> bool:
    return doubt.has_second_opinion(page)


def _miss(
    page: Page, known: Known, missing: dict[int, Candle], lost: list[int], rows: dict[int, Candle], found: Found
) -> None:
    """Judge the stored candles that the answer lacks, grouped by the hole in the answer in which they lie."""
    grid, times = page.query.timeframe, _edges(page)
    absent, covered = sorted({*missing, *lost}), normal([*known.final, *known.provisional])
    for index, group in groupby(absent, key=lambda time: bisect_left(times, time)):
        gone = list(group)
        if not 0 < index < len(times):
            _keep(page, known, gone, missing, rows, found, is_doubted=False)
            continue
        hole = Range(grid.next(times[index - 1]), times[index])
        is_known, is_remarkable = _is_unobtainable(known, hole), _is_remarkable(page, known, hole)
        if is_known or is_remarkable:
            found.unproven.extend(subtract([hole], covered))
        agreed = [time for time in gone if _is_agreed(page, known, time)]
        if is_known or not agreed:
            _keep(page, known, gone, missing, rows, found, is_doubted=not is_known)
        elif is_remarkable:
            found.unobtainable.append(hole)
            _end_absent(known, hole, found)
            _keep(page, known, gone, missing, rows, found, is_doubted=False)
        else:
            _end_absent(known, hole, found)
            found.withdrawn.extend(missing[time] for time in agreed if time in missing)
            others = sorted(set(gone).difference(agreed))
            _keep(page, known, others, missing, rows, found, is_doubted=True)


def _edges(page: Page) -> list[int]:
    """Return the open times (ascending) that bound an answer's holes: it has no candle between two neighbours.

    If some of its rows report silence, the answer vouches for its whole span and not only from its first candle to
    its last; the ends of the span are then included.
    """
    times = [row[0] for row in page.candles]
    if not (page.silent and page.span):
        return times
    return [page.query.timeframe.previous(page.span.start), *times, page.span.end]


def _is_agreed(page: Page, known: Known, time: int) -> bool:
    return any(
        doubt.kind == "absent" and is_in(time, [doubt.range]) and _agrees(page, doubt) for doubt in known.doubts
    )


def _is_unobtainable(known: Known, hole: Range) -> bool:
    return any(part.overlaps(hole) for part in known.unobtainable)


def _is_remarkable(page: Page, known: Known, hole: Range) -> bool:
    """Whether the hole is unusually long.

    This is judged by the density of candles in the answer and, if the answer is short, also by the density of the
    stored candles on both sides of the answer.
    """
    grid, times = page.query.timeframe, [row[0] for row in page.candles]
    span = page.span if page.silent and page.span else Range(times[0], grid.next(times[-1]))
    nearby = silence.density_beside(grid, times, span, hole)
    if nearby.intervals < silence.NEARBY:
        nearby += known.before + known.after
    return silence.is_remarkable(grid, grid.count(*hole), nearby)


def _end_absent(known: Known, hole: Range, found: Found) -> None:
    found.ended.extend(doubt for doubt in known.doubts if doubt.kind == "absent" and doubt.range.overlaps(hole))


def _keep(
    page: Page, known: Known, gone: list[int], missing: dict[int, Candle], rows: dict[int, Candle], found: Found,
    *, is_doubted: bool,
) -> None:  # fmt: skip
    """Keep candles that the answer lacks; those that only the stream has shown stay provisional."""
    if not gone:
        return
    grid = page.query.timeframe
    for time in gone:
        if time not in missing:
            found.lost.append(time)
        elif is_in(time, known.final):
            rows[time] = missing[time]
        else:
            found.unsettled.append(Range(time, grid.next(time)))
    found.unsettled[:] = normal(found.unsettled)
    if is_doubted:
        about = Range(gone[0], grid.next(gone[-1]))
        found.doubts.append(raised(page, about, "absent", known.doubts))
