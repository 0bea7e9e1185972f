"""The proof from the lake alone: whether a month holds what is vouched for."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from mdata.domain.columns import Columns
from mdata.domain.publication import fault, period_of
from mdata.domain.timeframe import TIMEFRAMES, month_index, month_start
from mdata.lake.lake import Lake, Look


def damaged_months(lake: Lake, look: Look) -> set[int]:
    """Return the months that do not hold what is vouched for, of those that somebody else may have changed."""
    return {month for month, _ in faults(lake, look, lake.suspects(look))}


def faults(lake: Lake, look: Look, months: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Yield, of these months of a series, those that do not hold what is vouched for, and what is wrong with them."""
    grid = TIMEFRAMES[look.key.timeframe]
    periods: dict[str, list[int]] = {}
    for month in sorted(months):
        periods.setdefault(period_of(grid, month), []).append(month)
    for period, those in periods.items():
        held = lake.candles(look.key, [period])
        for month in those:
            wrong = (
                "a value is missing"
                if held is None
                else fault(grid, look.proofs.get(month, []), of_month(held, month))
            )
            if wrong is not None:
                yield month, wrong


def of_month(held: Columns, month: int) -> Columns:
    """Return those of these candles (ascending) that open in the month that begins at `month` (ms UTC)."""
    found = Columns.none()
    found.take(held, *positions(held, month))
    return found


def positions(held: Columns, month: int) -> tuple[int, int]:
    """Return the positions of the candles that open in the month that begins at `month` (ms UTC)."""
    index = month_index(month)
    first, last = (bisect_left(held.open_time, month_start(number)) for number in (index, index + 1))
    return first, last
