"""A series as the ledger records it, and its wanted range."""

from typing import NamedTuple

from mdata.domain.interval import Range
from mdata.domain.timeframe import DAY, Timeframe
from mdata.domain.venue import Venue


class Series(NamedTuple):
    """One (exchange, symbol, timeframe) of the store; all times are ms UTC.

    `first_candle` is the exchange's first candle, once two answers have agreed on it; `answered_at` is the newest
    instant up to which the exchange has answered about the series. `compared_to` is how far `verify --exchange` has
    come since `compared_since`; `compared_at` is when the last completed round began.
    """

    id: int
    venue: Venue
    symbol: str
    timeframe: Timeframe
    first_candle: int | None
    first_asked_at: int
    wanted_start: int
    cleaned_to: int | None
    frontier: int | None
    asked_to: int | None
    answered_at: int | None
    compared_to: int | None = None
    compared_since: int | None = None
    compared_at: int | None = None

    @property
    def name(self) -> str:
        """How the series is called in messages: exchange, symbol, timeframe."""
        return name_of(self.venue, self.symbol, self.timeframe)

    @property
    def exchange(self) -> str:
        """Return the name of the exchange."""
        return self.venue.name

    def wanted(self, now: int, settle: int) -> Range:
        """Return the wanted range: from the earliest start asked for to the newest settled interval.

        It never begins before the end of what cleanup removed, nor before the exchange's first candle if that is
        known. It is empty (`end <= start`) for a series that has not begun.
        """
        end = self.timeframe.closed_end(now, settle)
        return Range(max(self.wanted_start, self.cleaned_to or 0, self.first_candle or 0), end)

    def wanting(self, start: int, named: int | None) -> "Series":
        """Return the series with its wanted range extended back to `start`, and to `named` if the user named a start.

        Only `named` extends the range to what cleanup removed, or before the exchange's first candle.
        """
        if named is None:
            return self._replace(wanted_start=min(self.wanted_start, start))
        kept_from = None if self.cleaned_to is None else min(self.cleaned_to, named)
        first = None if self.first_candle is not None and named < self.first_candle else self.first_candle
        return self._replace(
            wanted_start=min(self.wanted_start, start, named), cleaned_to=kept_from, first_candle=first
        )


def name_of(venue: Venue, symbol: str, timeframe: Timeframe) -> str:
    """Return how a series is called in messages: exchange, symbol, timeframe."""
    return f"{venue.name}:{symbol} {timeframe.name}"


def days_before(timeframe: Timeframe, now: int, days: int) -> int:
    """Return the open time of the interval that contains 00:00 UTC of the day `days` days before `now` (ms UTC)."""
    return timeframe.floor(now - now % DAY - days * DAY)
