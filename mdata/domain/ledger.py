"""What is known of a series when a plan is made, and how much is left to request."""

from typing import NamedTuple

from mdata.domain.doubt import Doubt, DoubtKind
from mdata.domain.interval import Range, normal, subtract
from mdata.domain.query import MORE_WITNESSES, WITNESSES
from mdata.domain.quiet import ABSENT_FOR, is_quiet
from mdata.domain.series import Series


class Ledger(NamedTuple):
    """What a plan needs to know of a series at `now` (ms UTC); `settle` in ms.

    `confirmed_to` is the end of the final coverage that contains the frontier (the frontier itself if there is none).
    `reaches_from` is where a request that continues from `confirmed_to` starts: a few stored candles earlier, if
    there are any. `doubts` are ascending; `unobtainable` (normal) is what the exchange no longer serves.
    """

    series: Series
    hull: Range | None
    confirmed_to: int | None
    reaches_from: int | None
    last_candle: int | None
    doubts: tuple[Doubt, ...]
    unobtainable: tuple[Range, ...]
    now: int
    settle: int

    @property
    def wanted(self) -> Range:
        """Return the wanted range of the series."""
        return self.series.wanted(self.now, self.settle)

    @property
    def is_quiet(self) -> bool:
        """Whether the pair has traded so little that it is only requested once a day.

        The exchange has answered for 30 days without a candle, or no candle is known at all and the answers have said
        so for a day, or the pair is delisted.
        """
        if self.last_candle is None:
            absent = self.doubt("silence")
            return absent is not None and absent.asked_at - absent.since >= ABSENT_FOR
        answered_to = self.hull.end if self.hull else self.last_candle
        return is_quiet(self.series.timeframe, self.last_candle, answered_to) or self.is_delisted

    @property
    def is_delisted(self) -> bool:
        """Whether the exchange has served nothing of the pair since its last candle."""
        return bool(self.unobtainable) and self.unobtainable[-1].end > self.now

    def doubt(self, kind: DoubtKind, *, since: int | None = None, until: int | None = None) -> Doubt | None:
        """Return the newest doubt of this kind whose range begins at `since` and ends at `until` (None: anywhere)."""
        found = (
            doubt
            for doubt in reversed(self.doubts)
            if doubt.kind == kind and since in {None, doubt.range.start} and until in {None, doubt.range.end}
        )
        return next(found, None)

    @property
    def witnesses(self) -> int:
        """Return how many stored candles the next request includes."""
        return MORE_WITNESSES if self.doubt("unwitnessed") else WITNESSES


def backlog(ledger: Ledger) -> int:
    """Return how many wanted intervals outside the hull are obtainable: the work of `backfill`."""
    wanted, count = ledger.wanted, ledger.series.timeframe.count
    outside = subtract(normal([wanted]), [ledger.hull] if ledger.hull else [])
    return sum(count(*part) for part in subtract(outside, list(ledger.unobtainable)))


def doubted_outside(ledger: Ledger) -> int:
    """Return how many wanted intervals outside the hull are in doubt: only one answer has called them silent."""
    wanted, count = ledger.wanted, ledger.series.timeframe.count
    doubted = normal(doubt.range.clip(*wanted) for doubt in ledger.doubts if doubt.kind == "silence")
    return sum(count(*part) for part in subtract(doubted, [ledger.hull] if ledger.hull else []))
