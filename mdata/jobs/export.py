"""`export`: the candles of a range, and whether they are complete."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from mdata.domain.interval import Range, normal
from mdata.domain.timeframe import Timeframe
from mdata.errors import NotThereError
from mdata.fetching.wanted import Target
from mdata.reading.candles import Candles
from mdata.reading.look import at_hand, read
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.opening import Hear, unheard
from mdata.store.reading import kept
from mdata.store.snapshot import look

Write = Callable[[Candles], None]
# Intervals per read transaction: a slow reader must not prevent the log from being emptied.
_SLICE = 10_000


class Selection(NamedTuple):
    """Which candles are asked for at `now` (ms UTC).

    If `since` is None, they begin at the wanted start; if `until` is None, they end at the newest answer. The candles
    can be aggregated to coarser ones, and flat candles can fill intervals that are proven empty.
    """

    since: int | None
    until: int | None
    now: int
    resample: Timeframe | None = None
    fill: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What was exported of a series: times are ms UTC; `candles` and `filled` count rows, the rest intervals.

    `provisional` intervals may still change; the exchange no longer serves those that are `unobtainable`. If `start`
    and `end` are None, nothing of the series is stored.
    """

    exchange: str
    symbol: str
    timeframe: str
    start: int | None = None
    end: int | None = None
    intervals: int = 0
    candles: int = 0
    filled: int = 0
    provisional: int = 0
    unknown: int = 0
    unobtainable: int = 0
    unknown_ranges: list[Range] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether the exchange has answered for every interval."""
        return self.start is not None and not self.unknown and not self.unobtainable


def export(path: Path, wanted: list[Target], asked: Selection, write: Write, told: Hear = unheard) -> list[Exported]:
    """Pass the candles of these series in the store at `path` to `write`, oldest first; return what was exported.

    `told` is called with a message if they are read without locks, or from a copy.
    """
    tell = cache(told)  # once only, not at every read
    with kept():
        return [_export(path, target, asked, write, tell) for target in wanted]


def _export(path: Path, target: Target, asked: Selection, write: Write, told: Hear) -> Exported:
    grid = asked.resample or target.timeframe
    nothing = Exported(target.venue.name, target.symbol, grid.name)
    try:
        within = look(path, lambda connection: _range(connection, target, asked), told)
    except NotThereError:
        return nothing
    if within is None:
        return nothing
    found = replace(nothing, start=within.start, end=within.end, intervals=grid.count(*within))
    unknown: list[Range] = []
    for stretch in _stretches(target.timeframe, asked.resample, within):
        part = look(path, partial(_look, target=target, within=stretch), told)
        # The series may have been deleted in the meantime, and its id may belong to another one.
        if part is None:
            unknown.append(stretch)
            continue
        part = _made_of(part, asked)
        write(part)
        unknown.extend(part.unknown)
        found = _added(found, part)
    unknown = normal(unknown)
    return replace(found, unknown=sum(grid.count(*one) for one in unknown), unknown_ranges=unknown)


def _added(found: Exported, part: Candles) -> Exported:
    filled = sum(part.is_filled or b"")
    return replace(
        found,
        candles=found.candles + len(part) - filled,
        filled=found.filled + filled,
        provisional=found.provisional + sum(part.grid.count(*one) for one in part.provisional),
        unobtainable=found.unobtainable + sum(part.grid.count(*one) for one in part.unobtainable),
    )


def _made_of(part: Candles, asked: Selection) -> Candles:
    if asked.resample is not None:
        part = part.resample(asked.resample.name)
    return part.fill() if asked.fill else part


def _range(connection: Connection, target: Target, asked: Selection) -> Range | None:
    """Return the intervals that open in the requested range, have closed, and do not precede the first candle.

    Without a given end, intervals not fetched yet are left out, unless there are no others.
    """
    series = table.find(connection, *target)
    if series is None:
        return None
    grid, usual = series.timeframe, at_hand(connection, series, asked.now)
    cells, start = asked.resample or grid, usual.start
    if asked.since is not None:
        start = max(grid.ceil(asked.since), series.first_candle or 0)
    # Intervals that were already fetched count as closed, even if the local clock is behind.
    closed = max(grid.closed_end(asked.now), usual.end)
    end = cells.floor(closed if usual.end <= start else usual.end)
    if asked.until is not None:
        end = min(cells.ceil(asked.until), cells.floor(closed))
    # A coarse interval that contains the exchange's first candle is complete: there is nothing before it.
    start = cells.floor(start) if start == series.first_candle else cells.ceil(start)
    return Range(start, max(start, end))


def _stretches(grid: Timeframe, coarse: Timeframe | None, within: Range) -> Iterator[Range]:
    """Yield a range in parts of whole coarse intervals; each part is read at once."""
    start = within.start
    while start < within.end:
        end = grid.shift(start, _SLICE)
        if coarse is not None:
            end = max(coarse.floor(end), coarse.next(start))
        yield Range(start, min(end, within.end))
        start = end


def _look(connection: Connection, target: Target, within: Range) -> Candles | None:
    series = table.find(connection, *target)
    return None if series is None else read(connection, series, within)
