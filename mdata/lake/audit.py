"""Checks from the lake alone whether its months contain what is vouched for."""

from collections.abc import Iterable, Iterator

from mdata.domain.columns import Columns
from mdata.domain.publication import fault, fault_of_coverage, of_month, period_of
from mdata.domain.timeframe import TIMEFRAMES, Timeframe, month_index, month_start
from mdata.errors import StorageError
from mdata.lake.lake import Lake, Look


def damaged_months(lake: Lake, look: Look) -> set[int]:
    """Return those months that another program may have changed and that do not contain what is vouched for."""
    grid = TIMEFRAMES[look.key.timeframe]
    said = {month for month, proofs in look.proofs.items() if fault_of_coverage(grid, proofs)}
    return said | {month for month, _ in faults(lake, look, lake.suspects(look))}


def faults(lake: Lake, look: Look, months: Iterable[int] | None = None) -> Iterator[tuple[int, str]]:
    """Yield the months of a series that do not contain what is vouched for, and what is wrong with each.

    Without `months`, all are read, including candles for which there is no proof.
    """
    grid, chosen = TIMEFRAMES[look.key.timeframe], None if months is None else set(months)
    for period in _periods(lake, look, chosen):
        try:
            held = lake.candles(look.key, [period])
        except StorageError as error:
            held, unreadable = None, str(error)
        else:
            unreadable = "a value is missing"
        vouched = {month for month in look.proofs if period_of(grid, month) == period}
        for month in sorted(vouched | (set() if held is None else _months_of(held))):
            if chosen is not None and month not in chosen:
                continue
            wrong = unreadable if held is None else _fault(grid, look, period, month, held)
            if wrong is not None:
                yield month, wrong


def _periods(lake: Lake, look: Look, months: set[int] | None) -> list[str]:
    grid = TIMEFRAMES[look.key.timeframe]
    if months is not None:
        return sorted({period_of(grid, month) for month in months})
    held = {period for (key, period), one in lake.held().items() if key == look.key and one.rows != 0}
    return sorted(held | {period_of(grid, month) for month in look.proofs})


def _months_of(held: Columns) -> set[int]:
    return {month_start(index) for index in set(map(month_index, held.open_time))}


def _fault(grid: Timeframe, look: Look, period: str, month: int, held: Columns) -> str | None:
    if period_of(grid, month) != period:
        return f"candles of it lie in the partition {period}"
    return fault(grid, look.proofs.get(month, []), of_month(held, month))
