"""The progress of a stream: how far each series is stored, and how that is displayed."""

from dataclasses import dataclass

from mdata.domain.candle import Candle
from mdata.domain.times import iso
from mdata.fetching.wanted import Target
from mdata.streaming.feed import Due, Feed


@dataclass(frozen=True, slots=True)
class SeriesView:
    """One series as a person sees it: the newest candle shown, the newest one stored, and how far that lags.

    `lag_seconds` is how long the oldest interval that is not stored has been closed; None: nothing is stored.
    """

    name: str
    is_subscribed: bool
    newest: Candle | None
    stored: Candle | None
    stored_to: int | None
    lag_seconds: int | None


@dataclass(frozen=True, slots=True)
class StreamView:
    """The whole stream at one instant."""

    series: list[SeriesView]
    reconnects: int
    candles_written: int
    seconds_left: float

    @property
    def summary(self) -> str:
        """Return the stream in one line."""
        channels = sum(one.is_subscribed for one in self.series)
        newest = max((one.stored[0] for one in self.series if one.stored is not None), default=None)
        candle = "no candle yet" if newest is None else f"last candle {iso(newest)}"
        lag = max((one.lag_seconds for one in self.series if one.lag_seconds is not None), default=0)
        return f"{channels} of {len(self.series)} channels, {candle}, lag {lag} s, {self.reconnects} reconnects"


class Standing:
    """Remembers how far each target has been stored in this run."""

    def __init__(self, targets: list[Target]) -> None:
        self._targets = targets
        self._to: dict[Target, int] = {}
        self._candles: dict[Target, Candle] = {}

    def note(self, due: Due) -> None:
        """Record that this is stored now."""
        for part, candles in due.claims:
            self._to[due.target] = max(part.end, self._to.get(due.target, part.end))
            for candle in candles[-1:]:
                held = self._candles.get(due.target, candle)
                self._candles[due.target] = candle if candle[0] >= held[0] else held

    def view(self, feeds: list[Feed], now: int, candles_written: int, seconds_left: float) -> StreamView:
        """Return what to show at `now` (the exchange's time, ms UTC)."""
        shown = {sight.target: sight.newest for feed in feeds for sight in feed.sights()}
        series = [
            SeriesView(
                target.as_written,
                target in shown,
                shown.get(target),
                self._candles.get(target),
                self._to.get(target),
                self._lag(target, now),
            )
            for target in self._targets
        ]
        reconnects = sum(max(0, feed.connects - 1) for feed in feeds)
        return StreamView(series, reconnects, candles_written, seconds_left)

    def _lag(self, target: Target, now: int) -> int | None:
        stored_to = self._to.get(target)
        if stored_to is None:
            return None
        return max(0, now - target.timeframe.next(stored_to)) // 1000
