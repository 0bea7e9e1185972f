"""A generated market that is the same every time, and its ledger.

A minute's candle is a pure function of seed, pair and minute, so that years of history need no memory; a coarser
candle is exactly the aggregate of its minutes. Recorded candles can replace a pair.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from mdata.domain.candle import Candle, aggregate
from mdata.domain.interval import Range
from mdata.domain.timeframe import DAY, MINUTE, TIMEFRAMES, Timeframe

# 2024-01-01, for pairs without their own start.
DEFAULT_LISTED = 1_704_067_200_000
NEVER = 2**53
_MASK = (1 << 64) - 1
# From three hours on, candles are aggregated from a finer timeframe, whose closed candles are cached.
_FINER = {"3h": "1h", "6h": "1h", "12h": "1h", "1D": "1h", "1W": "1D", "1M": "1D"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of the simulated exchange.

    `listed`: since when it trades (ms UTC); `delisted`: from when on it no longer trades, and the exchange no longer
    knows it; `density`: the share of minutes with trades; `holes`: ranges without trades; `price`: its approximate
    price (0: something between 1,000 and 3,000).
    """

    symbol: str
    listed: int = DEFAULT_LISTED
    density: float = 1.0
    holes: tuple[Range, ...] = ()
    price: float = 0.0
    delisted: int = NEVER


class Mind(Protocol):
    """How the exchange serves a candle."""

    def told(self, symbol: str, timeframe: Timeframe, candle: Candle, now: int) -> Candle | None:
        """Return a candle as it is served at `now`, or None if it is left out."""
        ...


@dataclass
class Market:
    """All pairs, and candles that replace generated ones: recordings, and revisions made at run time.

    A revision replaces one candle of one timeframe (None removes it) and leaves the other timeframes unchanged; fine
    and coarse candles were seen to differ in the same way around real outages. `lies` change what is served, but
    not the truth.
    """

    pairs: dict[str, Pair]
    seed: int = 1
    recorded: dict[tuple[str, str], list[Candle]] = field(default_factory=dict)
    revised: dict[tuple[str, str, int], Candle | None] = field(default_factory=dict)
    lies: tuple[Mind, ...] = ()

    def symbols(self, now: int = 0) -> list[str]:
        """Return the symbols that the exchange lists at `now` (ms UTC), in order."""
        listed = (symbol for symbol, pair in self.pairs.items() if now < pair.delisted)
        return sorted({*listed, *(symbol for symbol, _ in self.recorded)})

    def since(self, symbol: str, timeframe: Timeframe, now: int) -> int:
        """Return the open time (ms UTC) of the oldest candle of a series; `now` if there is none."""
        return next((candle[0] for candle in self._ledger(symbol, timeframe, Range(0, now + 1), now)), now)

    def candles(self, symbol: str, timeframe: Timeframe, within: Range, now: int) -> list[Candle]:
        """Return the closed candles whose open time lies in `within`, ascending: the truth at `now` (ms UTC)."""
        return list(self._ledger(symbol, timeframe, within.clip(within.start, timeframe.closed_end(now)), now))

    def walk(
        self, symbol: str, timeframe: Timeframe, within: Range, now: int, *, newest_first: bool = False
    ) -> Iterator[Candle]:
        """Yield what is served of `within` in either order, including the forming candle if it has traded."""
        if symbol in self.pairs and now >= self.pairs[symbol].delisted:
            return
        for candle in self._ledger(symbol, timeframe, within, now, newest_first=newest_first):
            told: Candle | None = candle
            for lie in self.lies:
                told = lie.told(symbol, timeframe, told, now) if told else None
            if told:
                yield told

    def _ledger(
        self, symbol: str, timeframe: Timeframe, within: Range, now: int, *, newest_first: bool = False
    ) -> Iterator[Candle]:
        # A copy: another thread may add revisions meanwhile.
        revised = list(self.revised.items())
        named = {time: new for (held, name, time), new in revised if (held, name) == (symbol, timeframe.name)}
        kept = (
            candle
            for candle in self._unrevised(symbol, timeframe, within, now, newest_first=newest_first)
            if candle[0] not in named
        )
        last = min(within.end - 1, now)
        new = [candle for time, candle in named.items() if candle is not None and within.start <= time <= last]
        new.sort(reverse=newest_first)
        yield from merge(kept, new, key=itemgetter(0), reverse=newest_first)

    def trades(self, symbol: str, timeframe: Timeframe, minute: int) -> list[int]:
        """Return when (ms UTC) within the minute that begins at `minute` a candle of the series changes."""
        recorded = self._recorded(symbol, timeframe)
        if recorded is not None:
            # A recorded candle is served whole from its open time on.
            return [candle[0] for candle in recorded if minute <= candle[0] < minute + MINUTE]
        if symbol not in self.pairs:
            return []
        traded = _traded(self.seed, self.pairs[symbol], (minute // MINUTE,))
        return [start + after for start, noise in traded for after in _trades(noise)]

    def _unrevised(
        self, symbol: str, timeframe: Timeframe, within: Range, now: int, *, newest_first: bool
    ) -> Iterator[Candle]:
        recorded = self._recorded(symbol, timeframe)
        if recorded is not None:
            found = [candle for candle in recorded if within.start <= candle[0] < within.end and candle[0] <= now]
            yield from reversed(found) if newest_first else found
        elif symbol in self.pairs:
            pair = self.pairs[symbol]
            start = timeframe.floor(max(within.start, pair.listed))
            first = timeframe.index(start) + (start < within.start)
            last = timeframe.index(min(within.end - 1, now))
            indexes = range(last, first - 1, -1) if newest_first else range(first, last + 1)
            yield from _walk(self.seed, pair, timeframe, indexes, now)

    def _recorded(self, symbol: str, timeframe: Timeframe) -> list[Candle] | None:
        """Return the recorded candles of a series, aggregated from the coarsest finer recording if needed."""
        if (symbol, timeframe.name) in self.recorded:
            return self.recorded[symbol, timeframe.name]
        finer = [TIMEFRAMES[name] for held, name in self.recorded if held == symbol]
        dividing = [grid for grid in finer if 0 < grid.step <= DAY and not (timeframe.step or DAY) % grid.step]
        if not dividing:
            return [] if finer else None
        held = self.recorded[symbol, max(dividing, key=lambda grid: grid.step).name]
        groups = groupby(held, key=lambda candle: timeframe.floor(candle[0]))
        return [aggregate(list(group), open_time) for open_time, group in groups]


def _walk(seed: int, pair: Pair, timeframe: Timeframe, indexes: range, now: int) -> Iterator[Candle]:
    if timeframe.step == MINUTE:
        yield from _minutes(seed, pair, indexes, now)
        return
    for index in indexes:
        candle = _coarse(seed, pair, timeframe, timeframe.open_time(index), now)
        if candle is not None:
            yield candle


def _coarse(seed: int, pair: Pair, timeframe: Timeframe, start: int, now: int) -> Candle | None:
    if timeframe.next(start) <= now:
        return _closed(seed, pair, timeframe.name, start)
    return _added_up(seed, pair, timeframe, start, now)


@lru_cache(maxsize=65_536)
def _closed(seed: int, pair: Pair, timeframe: str, start: int) -> Candle | None:
    return _added_up(seed, pair, TIMEFRAMES[timeframe], start, TIMEFRAMES[timeframe].next(start))


def _added_up(seed: int, pair: Pair, timeframe: Timeframe, start: int, now: int) -> Candle | None:
    """Return the coarse candle of all trades until `now`."""
    end = min(timeframe.next(start), now + 1)
    finer = TIMEFRAMES[_FINER.get(timeframe.name, "1m")]
    indexes = range(finer.index(max(start, pair.listed)), finer.index(end - 1) + 1)
    parts = list(_walk(seed, pair, finer, indexes, now))
    return aggregate(parts, start) if parts else None


def _minutes(seed: int, pair: Pair, minutes: Iterable[int], now: int) -> Iterator[Candle]:
    """Yield the candles of those minutes (counted since 1970) in which the pair was traded until `now`."""
    forming, scale = now // MINUTE * MINUTE, _scale(pair)
    for start, noise in _traded(seed, pair, minutes):
        if start < forming:
            yield _candle(*scale, start, noise)
        elif start == forming and (candle := _so_far(_candle(*scale, start, noise), noise, now - start)) is not None:
            yield candle


def _traded(seed: int, pair: Pair, minutes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the starts of the minutes in which the pair trades, each with the random number for its candle."""
    salt, threshold = _salt(seed, pair.symbol), pair.density * 0x100000
    for minute in minutes:
        # splitmix64: cheap, and every bit of the result depends on every bit of the minute.
        noise = (minute * 0x9E3779B97F4A7C15 + salt) & _MASK
        noise = ((noise ^ noise >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        noise = ((noise ^ noise >> 27) * 0x94D049BB133111EB) & _MASK
        noise ^= noise >> 31
        start = minute * MINUTE
        if noise & 0xFFFFF >= threshold or not pair.listed <= start < pair.delisted:
            continue
        if pair.holes and any(hole.start <= start < hole.end for hole in pair.holes):
            continue
        yield start, noise


@lru_cache(maxsize=131_072)
def _candle(base: float, digits: int, start: int, noise: int) -> Candle:
    level = 1 + 0.2 * math.sin(start / (3 * DAY)) + 0.02 * math.sin(start / (DAY / 7))
    first, last = noise >> 20 & 0xFF, noise >> 28 & 0xFF
    highest = max(first, last) + (noise >> 36 & 0x3F)
    lowest = min(first, last) - (noise >> 42 & 0x3F)
    # Binary fractions have exact sums in any order; a few are small enough to be written with an exponent.
    volume = ((noise >> 44 & 0x3FFF) + 1) / 8 if noise >> 59 else 2**-20
    return (
        start,
        round(base * (level + first / 65_536), digits),
        round(base * (level + highest / 65_536), digits),
        round(base * (level + lowest / 65_536), digits),
        round(base * (level + last / 65_536), digits),
        volume,
    )


def _so_far(candle: Candle, noise: int, elapsed: int) -> Candle | None:
    """Return the candle of a minute `elapsed` ms after its start.

    Its four trades are at open, high, low and close, 14 s apart, with a quarter of the volume each.
    """
    trades = sum(elapsed >= after for after in _trades(noise))
    if not trades:
        return None
    open_time, open_, high, low, close, volume = candle
    prices = (open_, high, low, close)[:trades]
    return (open_time, open_, max(prices), min(prices), prices[-1], volume * trades / 4)


def _trades(noise: int) -> list[int]:
    """Return when (ms after its start) the four trades of a minute happen."""
    return [number * 14_000 + noise % 12_000 for number in range(4)]


@lru_cache
def _scale(pair: Pair) -> tuple[float, int]:
    """Return the approximate price of a pair, and how many decimals give a price five significant digits."""
    base = pair.price or 1000 + sum(map(ord, pair.symbol))
    return base, 4 - math.floor(math.log10(base))


@lru_cache
def _salt(seed: int, symbol: str) -> int:
    return sum(ord(letter) << 7 * position for position, letter in enumerate(symbol)) * (2 * seed + 1)
