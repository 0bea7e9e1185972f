"""What a stream says about a series: ranges that it covers, and rows that cannot be candles."""

from typing import NamedTuple

from mdata.domain.candle import Candle
from mdata.domain.interval import Range


class Claim(NamedTuple):
    """A closed range that a channel vouches for, and its candles, ascending."""

    range: Range
    candles: list[Candle]


class Faulty(NamedTuple):
    """A row that is not a candle: its open time if readable, its text (shortened), and what is wrong."""

    open_time: int | None
    text: str
    reason: str
