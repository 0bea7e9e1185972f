"""A made-up market that is the same every time, and the ledger of what it holds.

A minute's candle is a pure function of seed, pair and minute, so that years of history need no memory; a
coarser candle is exactly what its minutes add up to. Recorded candles can take a pair's place.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from mdata.domain.candle import Candle, aggregate
from mdata.domain.interval import Range
from mdata.domain.timeframe import DAY, MINUTE, TIMEFRAMES, Timeframe

# 2024-01-01, for pairs that name no other beginning.
DEFAULT_LISTED = 1_704_067_200_000
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of the made-up exchange: since when it trades, in what share of the minutes, and when not at all."""

    symbol: str
    listed: int = DEFAULT_LISTED
    density: float = 1.0
    holes: tuple[Range, ...] = ()


@dataclass
class Market:
    """All pairs, and candles that replace made-up ones: recordings, and revisions made at run time."""

    pairs: dict[str, Pair]
    seed: int = 1
    recorded: dict[tuple[str, str], list[Candle]] = field(default_factory=dict)
    revised: dict[tuple[str, str, int], Candle] = field(default_factory=dict)

    def knows(self, symbol: str) -> bool:
        """Whether the exchange lists this pair."""
        return symbol in self.pairs or any(symbol == name for name, _ in self.recorded)

    def candles(self, symbol: str, timeframe: Timeframe, within: Range, now: int) -> list[Candle]:
        """Return the closed candles whose open time lies in `within`, ascending: the truth at `now` (ms UTC)."""
        return list(self.walk(symbol, timeframe, within.clip(within.start, timeframe.closed_end(now)), now))

    def walk(
        self, symbol: str, timeframe: Timeframe, within: Range, now: int, *, newest_first: bool = False
    ) -> Iterable[Candle]:
        """Yield candles of `within` in either order, the forming one included where it has traded."""
        recorded = self.recorded.get((symbol, timeframe.name))
        if recorded is not None:
            found = [candle for candle in recorded if within.start <= candle[0] < within.end and candle[0] <= now]
            yield from reversed(found) if newest_first else found
            return
        pair = self.pairs.get(symbol)
        if pair is None:
            return
        first = timeframe.index(max(within.start, pair.listed))
        if timeframe.open_time(first) < within.start:
            first += 1
        last = timeframe.index(min(within.end - 1, now))
        indexes = range(last, first - 1, -1) if newest_first else range(first, last + 1)
        for index in indexes:
            candle = self._candle(pair, timeframe, index, now)
            if candle is not None:
                yield self.revised.get((symbol, timeframe.name, candle[0]), candle)

    def first(self, symbol: str, timeframe: Timeframe, now: int) -> Candle | None:
        """Return the oldest candle of a series."""
        pair = self.pairs.get(symbol)
        start = timeframe.floor(pair.listed) if pair else 0
        return next(iter(self.walk(symbol, timeframe, Range(start, now + 1), now)), None)

    def _candle(self, pair: Pair, timeframe: Timeframe, index: int, now: int) -> Candle | None:
        start, end = timeframe.open_time(index), timeframe.open_time(index + 1)
        if timeframe.step == MINUTE:
            return _minute(self.seed, pair, start, now)
        if end <= now:
            return _closed(self.seed, pair, timeframe.name, start)
        return _added_up(self.seed, pair, start, min(end, now + 1), now)


@lru_cache(maxsize=65_536)
def _closed(seed: int, pair: Pair, timeframe: str, start: int) -> Candle | None:
    """Return a closed coarse candle; days and longer ones are added up from hours, which add up to the same."""
    grid = TIMEFRAMES[timeframe]
    end = grid.next(start)
    finer = {"1W": "1D", "1M": "1D", "1D": "1h"}.get(timeframe)
    if finer is None:
        return _added_up(seed, pair, start, end, end)
    parts = [_closed(seed, pair, finer, time) for time in TIMEFRAMES[finer].open_times(start, end)]
    found = [candle for candle in parts if candle is not None]
    return aggregate(found, start) if found else None


def _added_up(seed: int, pair: Pair, start: int, end: int, now: int) -> Candle | None:
    minutes = (_minute(seed, pair, time, now) for time in range(start, end, MINUTE))
    found = [candle for candle in minutes if candle is not None]
    return aggregate(found, start) if found else None


def _minute(seed: int, pair: Pair, start: int, now: int) -> Candle | None:
    """Return the candle of one minute, or None where nothing was traded; a forming one has traded in part."""
    if start < pair.listed or start > now or any(hole.start <= start < hole.end for hole in pair.holes):
        return None
    noise = _noise(seed, pair.symbol, start // MINUTE)
    if (noise & 0xFFFFF) / 0x100000 >= pair.density:
        return None
    open_ = _price(pair.symbol, start, noise >> 20 & 0xFFF)
    close = _price(pair.symbol, start, noise >> 32 & 0xFFF)
    high = max(open_, close) + (noise >> 44 & 0xFF) / 16
    low = min(open_, close) - (noise >> 52 & 0x3F) / 16
    # Eighths add up exactly, in whatever order they are added.
    volume = ((noise >> 4 & 0xFFFF) + 1) / 8
    if now < start + MINUTE:
        volume = max(0.125, math.floor(volume * (now - start) / MINUTE * 8) / 8)
        close = open_
    return (start, open_, high, low, close, volume)


def _price(symbol: str, start: int, noise: int) -> float:
    level = 1000 + sum(map(ord, symbol))
    wave = math.sin(start / (3 * DAY)) * 200 + math.sin(start / (DAY / 7)) * 20
    return round(level + wave, 1) + noise / 256


def _noise(seed: int, symbol: str, minute: int) -> int:
    # splitmix64: cheap, and every bit of the result depends on every bit of the minute.
    value = (minute * 0x9E3779B97F4A7C15 + _salt(seed, symbol)) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31


@lru_cache
def _salt(seed: int, symbol: str) -> int:
    return sum(ord(letter) << 7 * position for position, letter in enumerate(symbol)) * (2 * seed + 1)
