"""Candles: their shape, and the rules that every stored candle satisfies.

Measured on 9.4 million recorded Bitfinex 1m rows: none off the grid, none without volume, none with a high
or low that open or close exceed. A row that breaks this is therefore a fault of the answer and not a market.
"""

from mdata.domain.timeframe import Timeframe

# No price or volume is so large; above it a float would not even hold every integer.
LARGEST = 1e15

# What a candle has beside its open time; and all of it, in the order in which it is kept and handed on everywhere.
VALUES = ("open", "high", "low", "close", "volume")
COLUMNS = ("open_time", *VALUES)

# (open_time in ms UTC, open, high, low, close, volume): a plain tuple, because a page holds 10,000 of them.
Candle = tuple[int, float, float, float, float, float]


def fault(candle: Candle, timeframe: Timeframe) -> str | None:
    """Return why this candle cannot be one of `timeframe`, or None if it can."""
    open_time, open_, high, low, close, volume = candle
    if not timeframe.is_aligned(open_time):
        return f"open time {open_time} is off the {timeframe.name} grid"
    if not (high < LARGEST and volume < LARGEST):
        return "a value is too large"
    if low <= 0:
        return "a price is not positive"
    if volume <= 0:
        return "the volume is not positive"
    if high < low:
        return "high is below low"
    if not (low <= open_ <= high and low <= close <= high):
        return "open or close is outside low and high"
    return None


def is_older(candle: Candle, other: Candle) -> bool:
    """Whether `candle` is an earlier state of the same interval than `other`: with every trade its volume grows."""
    return candle[5] < other[5]


def aggregate(candles: list[Candle], open_time: int) -> Candle:
    """Return the coarser candle at `open_time` that these finer ones (ascending, not empty) add up to."""
    return (
        open_time,
        candles[0][1],
        max(candle[2] for candle in candles),
        min(candle[3] for candle in candles),
        candles[-1][4],
        sum(candle[5] for candle in candles),
    )
