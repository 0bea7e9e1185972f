"""Candles: their shape, and the rules that every stored candle satisfies.

Measured on 9.4 million recorded Bitfinex 1m rows: none off the grid, none without volume, none whose open or close
was outside low and high. A row that breaks one of these rules is therefore a fault of the answer, not an event in the
market.
"""

from mdata.domain.timeframe import Timeframe

# No price or volume is this large; not far above it (9e15), a float cannot even represent every integer.
LARGEST = 1e15

# The values of a candle besides its open time, and all of its columns, in the order used everywhere.
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
    """Whether `candle` is an earlier state of its interval than `other`: the volume grows with every trade."""
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
