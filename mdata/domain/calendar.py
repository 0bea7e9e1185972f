"""A calendar of what is known: a cell for each day, each showing the worst of its intervals."""

from typing import NamedTuple

from mdata.domain.coverage_bar import Cell, KnownRanges, draw
from mdata.domain.interval import Range
from mdata.domain.timeframe import DAY, Timeframe


class Day(NamedTuple):
    """A day that begins at `start` (ms UTC), and what it shows: None if nothing of it is wanted."""

    start: int
    cell: Cell | None


def days(timeframe: Timeframe, wanted: Range, known: KnownRanges, shown: Range) -> list[Day]:
    """Return the days of `shown`, which begins and ends at midnight; none if an interval is longer than a day."""
    if not timeframe.step or timeframe.step > DAY:
        return []
    inside = wanted.clip(*shown)
    cells: list[Cell | None] = [None] * ((shown.end - shown.start) // DAY)
    # Only a part of the first and of the last day may be wanted.
    first, last = -(-inside.start // DAY) * DAY, inside.end // DAY * DAY
    for start, end in ((inside.start, min(first, inside.end)), (first, last), (max(first, last), inside.end)):
        if start < end:
            place = (start - shown.start) // DAY
            drawn = draw(timeframe, Range(start, end), known, max(1, (end - start) // DAY))
            cells[place : place + len(drawn)] = drawn
    return [Day(shown.start + place * DAY, cell) for place, cell in enumerate(cells)]
