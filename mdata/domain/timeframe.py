"""Timeframes: the grids of UTC time to which candles belong.

An interval is one cell of a grid, named by its open time (integer ms UTC). Cells are numbered by a grid index, so
that counting never divides by a duration, because months have no constant length.

Alignment, as measured on recorded candles: everything up to 1D is a multiple of its length since 00:00 UTC, weeks
("1W") start on Monday 00:00 UTC, months on the 1st 00:00 UTC. Which timeframes an exchange has is one of the facts
about it (`domain/venue.py`).
"""

from collections.abc import Iterator

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# 1970-01-05, the first Monday of the epoch.
_FIRST_MONDAY = 4 * DAY


def month_start(index: int) -> int:
    """Return the instant (ms UTC) at which month number `index` begins; 0 is January of the year 0."""
    year, month = divmod(index, 12)
    # Days from 0000-03-01, the proleptic Gregorian calendar counted from March so that leap days come last.
    shifted_year = year - (month < 2)
    era_days = 365 * shifted_year + shifted_year // 4 - shifted_year // 100 + shifted_year // 400
    month_days = (153 * ((month + 10) % 12) + 2) // 5
    return (era_days + month_days - 719_468) * DAY


def month_index(instant: int) -> int:
    """Return the number of the calendar month that contains `instant` (ms UTC)."""
    # The mean Gregorian month is 2,629,746 s; the guess is at most one month off.
    guess = 1970 * 12 + instant // 2_629_746_000
    while month_start(guess) > instant:
        guess -= 1
    while month_start(guess + 1) <= instant:
        guess += 1
    return guess


class Timeframe:
    """A grid of intervals: its name at the exchange, and a constant step, or 0 for calendar months."""

    # Not a dataclass: every start of a command needs this class, and a dataclass takes almost a millisecond.
    __slots__ = ("anchor", "name", "step")

    def __init__(self, name: str, step: int, anchor: int = 0) -> None:
        self.name, self.step, self.anchor = name, step, anchor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeframe) and (self.name, self.step, self.anchor) == (
            other.name,
            other.step,
            other.anchor,
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Timeframe({self.name!r}, {self.step}, {self.anchor})"

    @property
    def order(self) -> int:
        """Return what timeframes are sorted by, from fine to coarse: about how long an interval is (ms)."""
        return self.step or 30 * DAY

    def index(self, instant: int) -> int:
        """Return the grid index of the interval that contains `instant` (ms UTC)."""
        return (instant - self.anchor) // self.step if self.step else month_index(instant)

    def open_time(self, index: int) -> int:
        """Return the open time (ms UTC) of the interval with this grid index."""
        return self.anchor + index * self.step if self.step else month_start(index)

    def floor(self, instant: int) -> int:
        """Return the open time of the interval that contains `instant`."""
        return self.open_time(self.index(instant))

    def ceil(self, instant: int) -> int:
        """Return the first open time at or after `instant`."""
        floor = self.floor(instant)
        return floor if floor == instant else self.next(floor)

    def next(self, instant: int) -> int:
        """Return the open time of the interval after the one that contains `instant`."""
        return self.open_time(self.index(instant) + 1)

    def previous(self, instant: int) -> int:
        """Return the open time of the interval before the one that contains `instant`."""
        return self.open_time(self.index(instant) - 1)

    def shift(self, instant: int, intervals: int) -> int:
        """Return the open time `intervals` cells after the interval that contains `instant`."""
        return self.open_time(self.index(instant) + intervals)

    def count(self, start: int, end: int) -> int:
        """Return how many intervals the aligned range `[start, end)` contains; 0 if it is empty."""
        return max(0, self.index(end) - self.index(start))

    def is_aligned(self, instant: int) -> bool:
        """Whether `instant` is an open time of this grid."""
        return self.floor(instant) == instant

    def open_times(self, start: int, end: int) -> Iterator[int]:
        """Yield the open times in the aligned range `[start, end)`."""
        for index in range(self.index(start), self.index(end)):
            yield self.open_time(index)

    def closed_end(self, now: int, settle: int = 0) -> int:
        """Return the end of the newest interval that has been closed for at least `settle` ms at `now`."""
        return self.floor(now - settle)


TIMEFRAMES: dict[str, Timeframe] = {
    timeframe.name: timeframe
    for timeframe in (
        Timeframe("1m", MINUTE),
        Timeframe("5m", 5 * MINUTE),
        Timeframe("15m", 15 * MINUTE),
        Timeframe("30m", 30 * MINUTE),
        Timeframe("1h", HOUR),
        Timeframe("3h", 3 * HOUR),
        Timeframe("6h", 6 * HOUR),
        Timeframe("12h", 12 * HOUR),
        Timeframe("1D", DAY),
        Timeframe("1W", 7 * DAY, _FIRST_MONDAY),
        Timeframe("1M", 0),
    )
}
