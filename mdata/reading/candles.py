"""The candles of a range of one series, and the ledger's verdict on exactly that range."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple, Self, overload

from mdata.domain.coarser import parse_coarser
from mdata.domain.columns import Columns, filled, parts_of, resampled, silent
from mdata.domain.interval import Range, normal, subtract
from mdata.domain.timeframe import Timeframe
from mdata.domain.times import iso
from mdata.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa

# How many ranges a message lists; there may be thousands.
_NAMED = 3


class Candle(NamedTuple):
    """A candle; `open_time` (ms UTC) is the start of its interval."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, eq=False, repr=False)
class Candles(Sequence[Candle]):
    """The candles that open in `[start, end)`, ascending, and what is known of that range; all times are ms UTC.

    `unknown`: the exchange has not answered for these ranges; `provisional`: their candles may still change;
    `unobtainable`: the exchange no longer serves them. `is_filled` is set by `fill()`: it is 1 for each filled
    candle.
    """

    exchange: str
    symbol: str
    grid: Timeframe
    start: int
    end: int
    columns: Columns
    unknown: tuple[Range, ...]
    provisional: tuple[Range, ...]
    unobtainable: tuple[Range, ...]
    # The last close before the start, if every interval between is proven empty.
    close_before: float | None = None
    is_filled: bytearray | None = None

    @property
    def timeframe(self) -> str:
        """Return the timeframe's name."""
        return self.grid.name

    @property
    def complete(self) -> bool:
        """Whether the exchange has answered for every interval."""
        return not self.unknown and not self.unobtainable

    @cached_property
    def empty(self) -> tuple[Range, ...]:
        """Return the intervals that are proven to have no candle, also after `fill()`."""
        if self.is_filled is not None:
            return self._unfilled().empty
        silence = silent(self.grid, Range(self.start, self.end), self.columns.open_time)
        return tuple(subtract(silence, normal([*self.unknown, *self.provisional])))

    @property
    def intervals(self) -> int:
        """Return how many intervals the range has."""
        return self.grid.count(self.start, self.end)

    def require_complete(self) -> Self:
        """Return these candles; raise IncompleteError, with the missing ranges, if some are missing."""
        if self.complete:
            return self
        lacking = tuple(normal([*self.unknown, *self.unobtainable]))
        named = ", ".join(f"{iso(start)} to {iso(end)}" for start, end in lacking[:_NAMED])
        more = f", and {len(lacking) - _NAMED} more ranges" if len(lacking) > _NAMED else ""
        count = sum(self.grid.count(*part) for part in lacking)
        raise IncompleteError(
            f"{count} of {self.intervals} intervals of {self.exchange}:{self.symbol} {self.timeframe} "
            f"{'is' if count == 1 else 'are'} unknown: {named}{more}; to fetch them, run `mdata backfill` (with "
            "--since for older ones), `mdata detect-gaps` and `mdata repair`",
            lacking,
        )

    def fill(self) -> "Candles":
        """Return these candles and flat ones without volume for intervals that are proven empty after a known close.

        Unknown intervals are not filled. Neither are empty intervals between an unknown one and the next candle.
        """
        if self.is_filled is not None:
            return self
        columns, flags = filled(self.grid, self.columns, self.start, self.close_before, list(self.empty))
        return replace(self, columns=columns, is_filled=flags)

    def resample(self, timeframe: str) -> "Candles":
        """Return these candles aggregated to a coarser timeframe: `4h`, `1D`, `1W`, `1M`, or any divisor of a day.

        Each coarse candle has the time of its start; weeks start on Monday. Intervals with an unknown part are
        `unknown`, also at the ends of the range, and those with a provisional part are `provisional`. Filled candles
        are left out and filled again afterwards, because a flat candle has no first traded price.
        """
        if self.is_filled is not None:
            return self._unfilled().resample(timeframe).fill()
        try:
            grid = parse_coarser(timeframe, self.grid)
        except ValueError as error:
            raise UsageError(str(error)) from error
        start, end = grid.floor(self.start), grid.ceil(self.end)
        outside = [Range(start, self.start), Range(self.end, end)]
        unknown = _whole(grid, [*self.unknown, *outside])
        parts = parts_of(grid, self.columns.open_time)
        return replace(
            self,
            grid=grid,
            start=start,
            end=end,
            columns=resampled(self.columns, parts),
            unknown=tuple(unknown),
            provisional=tuple(subtract(_whole(grid, self.provisional), unknown)),
            unobtainable=tuple(_whole(grid, self.unobtainable)),
            close_before=self.close_before if start == self.start else None,
        )

    def _unfilled(self) -> "Candles":
        real = [not flag for flag in self.is_filled or b""]
        columns = Columns(*(array(column.typecode, compress(column, real)) for column in self.columns))
        return replace(self, columns=columns, is_filled=None)

    def numpy(self) -> "dict[str, np.ndarray[Any, Any]]":
        """Return the columns as NumPy arrays, `time` (datetime64[ms], UTC) first; no copies."""
        from mdata.reading import frames

        return frames.numpy(self.columns, self.is_filled)

    def arrow(self) -> "pa.Table":
        """Return an Arrow table, `time` (timestamp[ms, UTC]) first; no copies."""
        from mdata.reading import frames

        return frames.arrow(self.columns, self.is_filled)

    def polars(self) -> "pl.DataFrame":
        """Return a Polars data frame, `time` (Datetime[ms, UTC]) first."""
        from mdata.reading import frames

        return frames.polars(self.columns, self.is_filled)

    def pandas(self) -> "pd.DataFrame":
        """Return a pandas data frame, `time` (datetime64[ms, UTC]) first."""
        from mdata.reading import frames

        return frames.pandas(self.columns, self.is_filled)

    def __len__(self) -> int:
        return len(self.columns.open_time)

    def __iter__(self) -> Iterator[Candle]:
        return map(Candle, *self.columns)

    @overload
    def __getitem__(self, index: int) -> Candle: ...
    @overload
    def __getitem__(self, index: slice) -> list[Candle]: ...
    def __getitem__(self, index: int | slice) -> Candle | list[Candle]:
        if isinstance(index, slice):
            return [Candle(*values) for values in zip(*(column[index] for column in self.columns), strict=True)]
        return Candle(*self.columns.row(index))

    def __repr__(self) -> str:
        if self.complete:
            verdict = "complete"
        else:
            verdict = f"{sum(self.grid.count(*part) for part in self.unknown)} of {self.intervals} intervals unknown"
        return (
            f"<Candles {self.exchange}:{self.symbol} {self.timeframe}, {iso(self.start)} to {iso(self.end)}: "
            f"{len(self)} candles, {verdict}>"
        )


def _whole(grid: Timeframe, ranges: Sequence[Range]) -> list[Range]:
    """Return the intervals of a grid that overlap these ranges."""
    return normal(Range(grid.floor(start), grid.ceil(end)) for start, end in ranges if start < end)
