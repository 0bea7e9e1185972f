"""What a stream says of a series: ranges that it speaks for, and rows that cannot be candles."""

from dataclasses import dataclass
from typing import NamedTuple

from mdata.domain.candle import Candle
from mdata.domain.interval import Range


class Claim(NamedTuple):
    """A closed range that a channel speaks for, and the candles in it, ascending."""

    range: Range
    candles: list[Candle]


@dataclass(frozen=True, slots=True)
class Faulty:
    """A row that spells no candle: its open time where that can be read, its text (shortened), and what is wrong."""

    open_time: int | None
    text: str
    reason: str
