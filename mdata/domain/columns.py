"""Candles as columns, and what is derived from them: silent intervals, flat candles in their place, coarser candles.

Columns are compact enough for millions of candles: an array takes 8 bytes per value, a tuple of six values about 200.
"""

from array import array
from bisect import bisect_left
from math import fsum
from typing import Any, NamedTuple, TypeAlias

from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.timeframe import Timeframe

# Arrays of integers or of floats.
Column: TypeAlias = "array[Any]"


class Columns(NamedTuple):
    """Candles in ascending order, column by column; `open_time` is ms UTC."""

    open_time: Column
    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column

    @classmethod
    def none(cls) -> "Columns":
        """Return columns without any candle, to which candles are added."""
        return cls(array("q"), array("d"), array("d"), array("d"), array("d"), array("d"))

    def row(self, position: int) -> Candle:
        """Return the candle at a position."""
        open_time, open_, high, low, close, volume = (column[position] for column in self)
        return open_time, open_, high, low, close, volume

    def add(self, candle: Candle) -> None:
        """Add a candle that is later than all others."""
        for column, value in zip(self, candle, strict=True):
            column.append(value)

    def take(self, other: "Columns", start: int, end: int) -> None:
        """Add the candles of `other` between two positions."""
        for column, more in zip(self, other, strict=True):
            column.extend(more[start:end])


def silent(grid: Timeframe, within: Range, open_times: Column) -> list[Range]:
    """Return the stretches of the aligned range `within` in which none of these (ascending) times lies."""
    runs, expected = [], within.start
    for time in open_times:
        if time == expected:
            expected = grid.next(time) if not grid.step else time + grid.step
            continue
        # A row that another program has stored off the grid belongs to an interval, too.
        if (cell := grid.floor(time)) > expected:
            runs.append(Range(expected, cell))
        expected = max(expected, grid.next(time))
    return [*runs, Range(expected, within.end)] if expected < within.end else runs


def filled(
    grid: Timeframe, columns: Columns, start: int, before: float | None, runs: list[Range]
) -> tuple[Columns, bytearray]:
    """Return these candles, with a flat one in each interval of the silent stretches `runs`, and a flag per candle.

    The flag is 1 for a candle that was made up. A stretch is filled with the close of the interval right before it,
    or with `before` if the stretch begins at `start`. If this close is not known, the stretch is not filled.
    """
    found, flags, position = Columns.none(), bytearray(), 0
    for run in runs:
        behind = bisect_left(columns.open_time, run.start)
        found.take(columns, position, behind)
        flags.extend(bytes(behind - position))
        position = behind
        close = before if run.start == start else _close_before(grid, columns, run.start, behind)
        if close is None:
            continue
        for time in grid.open_times(*run):
            found.add((time, close, close, close, close, 0.0))
        flags.extend(b"\x01" * grid.count(*run))
    found.take(columns, position, len(columns.open_time))
    flags.extend(bytes(len(columns.open_time) - position))
    return found, flags


def _close_before(grid: Timeframe, columns: Columns, start: int, behind: int) -> float | None:
    is_next = behind > 0 and columns.open_time[behind - 1] >= grid.previous(start)
    return columns.close[behind - 1] if is_next else None


def parts_of(coarse: Timeframe, open_times: Column) -> list[tuple[int, int, int]]:
    """Return, for each coarse interval with a candle, its open time and the positions `[from, to)` of its candles."""
    parts, position = [], 0
    while position < len(open_times):
        time = coarse.floor(open_times[position])
        behind = bisect_left(open_times, coarse.next(time), position)
        parts.append((time, position, behind))
        position = behind
    return parts


def resampled(columns: Columns, parts: list[tuple[int, int, int]]) -> Columns:
    """Return the coarser candles that these parts add up to."""
    found = Columns.none()
    for time, start, end in parts:
        part = Columns(*(column[start:end] for column in columns))
        found.add((time, part.open[0], max(part.high), min(part.low), part.close[-1], fsum(part.volume)))
    return found
