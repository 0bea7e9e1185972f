"""A lake for Python: it returns candles with the same kind of verdict as a store."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mdata.config.values import optional_lake
from mdata.domain.columns import Columns
from mdata.domain.digest import digest
from mdata.domain.interval import BEGINNING_OF_TIME, Range, clip, intersect, normal, subtract
from mdata.domain.publication import Key, Proof, period_of
from mdata.domain.suggest import did_you_mean
from mdata.domain.timeframe import TIMEFRAMES, Timeframe
from mdata.errors import NotThereError, UsageError
from mdata.exchange import registry
from mdata.lake.lake import Lake
from mdata.reading.candles import Candles
from mdata.reading.reader import Asked, Reader, StoredSeries


@dataclass(frozen=True, slots=True)
class LakeReader(Reader):
    """A lake, read-only, as it was when it was opened; `path` is its place.

    The default range is from the first to the last published interval. A month that does not contain what its proof
    says is unknown.
    """

    lake: Lake
    proofs: dict[Key, list[Proof]]
    first_candles: dict[Key, int | None]

    @classmethod
    def at(cls, place: str) -> Self:
        """Return the lake in a folder or at an address; raise NotThereError if nothing was ever published."""
        try:
            url = optional_lake(place)
        except ValueError as error:
            raise UsageError(str(error)) from error
        lake = Lake.opened(url or place)
        proofs = {
            key: sorted(one for those in months.values() for one in those) for key, months in lake.proofs().items()
        }
        first = {key: row.first_candle for key, row in lake.newest_series().items()}
        return cls(Path(lake.url), lake, proofs, first)

    def series(self) -> list[StoredSeries]:
        """Return what is published, by symbol and then from fine to coarse."""
        grids = list(TIMEFRAMES)
        found = [
            StoredSeries(*key, rows[0].start, rows[-1].end, sum(one.candles for one in rows))
            for key, rows in self.proofs.items()
        ]
        return sorted(found, key=lambda one: (one.symbol, grids.index(one.timeframe)))

    def _find(self, asked: Asked) -> Key:
        venue, symbol = registry.resolve(asked.pair)
        key = Key(venue.name, symbol, asked.timeframe.name)
        if key not in self.proofs:
            near = did_you_mean(key.name, [one.name for one in self.proofs])
            raise NotThereError(f"nothing is published of {key.name} in {self.lake.url}{near}")
        return key

    def _range(self, asked: Asked) -> Range:
        proofs = self.proofs[self._find(asked)]
        return asked.range(Range(proofs[0].start, proofs[-1].end))

    def _read(self, asked: Asked, within: Range | None = None) -> Candles:
        key, grid, within = self._find(asked), asked.timeframe, within or self._range(asked)
        rows = [one for one in self.proofs[key] if Range(one.start, one.end).overlaps(within)]
        held = self._columns(key, grid, rows)
        sound = [one for one in rows if _holds(held, one)]
        final = [Range(one.start, one.end) for one in sound if one.kind == "final"]
        lacking = intersect(normal(Range(one.start, one.end) for one in sound if one.kind != "final"), [within])
        found = Columns.none()
        for part in clip(normal(Range(one.start, one.end) for one in sound), *within):
            found.take(held, *_positions(held, part))
        # Candles that the exchange has served but no longer serves are known.
        stored = [
            Range(time, grid.next(time))
            for part in lacking
            for time in found.open_time[slice(*_positions(found, part))]
        ]
        unknown = subtract([within], normal([*final, *self._before_all(key), *stored]))
        return Candles(
            exchange=key.exchange,
            symbol=key.symbol,
            grid=grid,
            start=within.start,
            end=within.end,
            columns=found,
            unknown=tuple(unknown),
            provisional=(),
            unobtainable=tuple(lacking),
            close_before=self._close_before(key, grid, within.start),
        )

    def _columns(self, key: Key, grid: Timeframe, rows: Sequence[Proof]) -> Columns:
        found = Columns.none()
        for period in sorted({period_of(grid, one.month) for one in rows}):
            part = self.lake.candles(key, [period])
            if part is not None:
                found.take(part, 0, len(part.open_time))
        return found

    def _before_all(self, key: Key) -> list[Range]:
        first = self.first_candles.get(key)
        return [] if first is None else [Range(BEGINNING_OF_TIME, first)]

    def _close_before(self, key: Key, grid: Timeframe, start: int) -> float | None:
        """Return the last close before `start` (ms UTC) if every interval between is proven empty."""
        found = self.lake.close_before(key, start)
        if found is None:
            return None
        time, close = found
        between = Range(grid.next(time), start)
        proven = [Range(one.start, one.end) for one in self.proofs[key] if one.kind == "final"]
        if between.start < between.end and subtract([between], normal(proven)):
            return None
        return close


def _holds(held: Columns, proof: Proof) -> bool:
    """Whether these candles contain what a proof vouches for."""
    first, last = _positions(held, Range(proof.start, proof.end))
    return last - first == proof.candles and digest(held, first, last).hex() == proof.digest


def _positions(held: Columns, part: Range) -> tuple[int, int]:
    first, last = (bisect_left(held.open_time, instant) for instant in part)
    return first, last
