"""The coverage strip: the wanted range of a series as a row of cells, each showing its worst interval.

It is drawn from the ledger alone, so that a year of minutes costs as little as a year of days. A cell is empty if a
silence fills all of it; shorter silences do not show.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from mdata.domain.interval import Range, clip
from mdata.domain.timeframe import Timeframe

Cell = Literal["present", "empty", "provisional", "in doubt", "unobtainable", "partly unknown", "unknown", "lost"]


class KnownRanges(NamedTuple):
    """What the ledger says about a series: lists of ranges are normal, `lost` are open times, all in ms UTC.

    `silent` are the final ranges without a candle. Two kinds of unknown ranges are listed: `doubted` ranges, which
    only one answer has called silent, and `unobtainable` ranges, which the exchange no longer serves.
    """

    final: list[Range]
    provisional: list[Range]
    silent: list[Range]
    lost: list[int]
    doubted: Sequence[Range] = ()
    unobtainable: Sequence[Range] = ()


def draw(timeframe: Timeframe, wanted: Range, known: KnownRanges, width: int) -> list[Cell]:
    """Return `width` cells for the wanted range, oldest first; none if nothing is wanted.

    Every interval is in exactly one cell; if there are fewer intervals than cells, each fills several.
    """
    count = timeframe.count(*wanted)
    cells = min(count, width)
    if cells <= 0:
        return []
    edges = [timeframe.index(wanted.start) + position * count // cells for position in range(cells + 1)]

    def shares(ranges: Sequence[Range]) -> list[int]:
        parts = clip(list(ranges), *wanted)
        return _shares(edges, [(timeframe.index(start), timeframe.index(end)) for start, end in parts])

    lost = shares([Range(time, timeframe.next(time)) for time in known.lost])
    parts = (known.final, known.provisional, known.silent, known.doubted, known.unobtainable)
    filled = zip(*(shares(ranges) for ranges in parts), lost, strict=True)
    drawn = [_worst(end - start, *found) for (start, end), found in zip(pairwise(edges), filled, strict=True)]
    return [drawn[position * cells // width] for position in range(width)]


def _worst(size: int, final: int, provisional: int, silent: int, doubted: int, unobtainable: int, lost: int) -> Cell:
    """Return the verdict of a cell of `size` intervals: a single lost or unknown interval is never hidden."""
    if lost:
        return "lost"
    unknown = size - final - provisional
    if 0 < unknown <= unobtainable:
        return "unobtainable"
    if 0 < unknown <= doubted:
        return "in doubt"
    if unknown > 0:
        return "partly unknown" if final + provisional else "unknown"
    if provisional:
        return "provisional"
    return "empty" if silent == size else "present"


def _shares(edges: list[int], parts: list[tuple[int, int]]) -> list[int]:
    """Return how much of each cell (between neighbouring edges) the ascending, disjoint `parts` fill."""
    found = [0] * (len(edges) - 1)
    cell = 0
    for start, end in parts:
        while edges[cell + 1] <= start:
            cell += 1
        while cell < len(found) and edges[cell] < end:
            found[cell] += min(end, edges[cell + 1]) - max(start, edges[cell])
            if edges[cell + 1] > end:
                break
            cell += 1
    return found
