"""A series as the ledger knows it, and what is wanted of it."""

from typing import NamedTuple

from mdata.domain.interval import Range
from mdata.domain.timeframe import DAY, Timeframe


class Series(NamedTuple):
    """One (exchange, symbol, timeframe) of the store; all times are ms UTC."""

    id: int
    exchange: str
    symbol: str
    timeframe: Timeframe
    first_candle: int | None
    first_asked_at: int
    wanted_start: int
    cleaned_to: int | None
    frontier: int | None
    asked_to: int | None

    @property
    def name(self) -> str:
        """How the series is called in messages: `tBTCUSD 1m`."""
        return f"{self.symbol} {self.timeframe.name}"

    def wanted(self, now: int, settle: int) -> Range:
        """Return the wanted range: from the earliest start asked for to the newest settled interval.

        It never begins before what cleanup removed, nor before the exchange's first candle; it is empty
        (`end <= start`) for a series that has no candle yet.
        """
        end = self.timeframe.closed_end(now, settle)
        if self.first_candle is None:
            return Range(end, end)
        return Range(max(self.wanted_start, self.cleaned_to or 0, self.first_candle), end)


def asked_start(timeframe: Timeframe, now: int, backfill_days: int, retention_days: int) -> int:
    """Return the wanted start that the settings ask for at `now`: midnight UTC, `backfill_days` ago.

    A retention (0: none) that keeps less sets the start instead; either way it is an open time.
    """
    today = now - now % DAY
    days = min(backfill_days, retention_days) if retention_days else backfill_days
    return timeframe.floor(today - days * DAY)
