"""`lake`: shows what is published and proven, checks it, and removes old files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mdata.domain.publication import Key, Proof, month_name, period_of, state_of
from mdata.domain.timeframe import TIMEFRAMES, month_index
from mdata.lake.audit import faults
from mdata.lake.lake import Lake, Look
from mdata.lake.vacuum import Vacuumed as Vacuumed  # noqa: PLC0414 - exported for the code that shows it
from mdata.lake.vacuum import vacuum as remove

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PublishedSeries:
    """What is published of a series.

    Its months are complete, partial, or contain an `unobtainable` range; `missing` counts the unpublished months
    between the first and the last published one. `as_of` is when the newest answer came (ms UTC).
    """

    exchange: str
    symbol: str
    timeframe: str
    first: str
    last: str
    months: int
    complete: int
    partial: int
    unobtainable: int
    missing: int
    candles: int
    bytes: int
    as_of: int
    hosts: tuple[str, ...]


class DamagedMonth(NamedTuple):
    """A month of the lake that does not contain what its proof says, and what is wrong with it."""

    symbol: str
    timeframe: str
    month: str
    reason: str


@dataclass(frozen=True, slots=True)
class Checked:
    """How much of a lake was read, and what is wrong with it."""

    series: int
    months: int
    candles: int
    faults: tuple[DamagedMonth, ...]


def status(url: str) -> list[PublishedSeries]:
    """Return what is published of each series, by symbol and then from fine to coarse."""
    lake, grids = Lake.opened(url), list(TIMEFRAMES)
    found = [_standing(lake, key, proofs) for key, proofs in lake.proofs().items()]
    return sorted(found, key=lambda one: (one.exchange, one.symbol, grids.index(one.timeframe)))


def _standing(lake: Lake, key: Key, proofs: dict[int, list[Proof]]) -> PublishedSeries:
    grid, first, last = TIMEFRAMES[key.timeframe], min(proofs), max(proofs)
    states = [state_of(grid, those) for those in proofs.values()]
    rows = [proof for those in proofs.values() for proof in those]
    held, periods = lake.held(), {period_of(grid, month) for month in proofs}
    return PublishedSeries(
        exchange=key.exchange,
        symbol=key.symbol,
        timeframe=key.timeframe,
        first=month_name(first),
        last=month_name(last),
        months=len(proofs),
        complete=states.count("complete"),
        partial=states.count("partial"),
        unobtainable=states.count("unobtainable"),
        missing=month_index(last) - month_index(first) + 1 - len(proofs),
        candles=sum(proof.candles for proof in rows),
        bytes=sum(held[key, period].bytes for period in periods if (key, period) in held),
        as_of=max(proof.as_of for proof in rows),
        hosts=tuple(sorted({proof.host for proof in rows})),
    )


def check(url: str, report: Report) -> Checked:
    """Read everything that is published, and compare it with the proofs."""
    lake = Lake.opened(url)
    every, found = lake.proofs(), list[DamagedMonth]()
    # Candles without a proof may belong to a series that has no proof at all, so those series are checked too.
    keys = sorted({*every, *(key for key, _ in lake.held())})
    for number, key in enumerate(keys):
        report(number, len(keys))
        look = Look(key, every.get(key, {}), 0, 0)
        found += [
            DamagedMonth(key.symbol, key.timeframe, month_name(month), why) for month, why in faults(lake, look)
        ]
    months = [those for proofs in every.values() for those in proofs.values()]
    return Checked(len(keys), len(months), sum(_candles(those) for those in months), tuple(found))


def _candles(proofs: Sequence[Proof]) -> int:
    return sum(proof.candles for proof in proofs)


def vacuum(url: str, hours: int, now: int, *, dry_run: bool) -> list[Vacuumed]:
    """Remove the files that no version of the last `hours` hours needs, and with them older versions."""
    return remove(Lake.opened(url), hours, now, dry_run=dry_run)
