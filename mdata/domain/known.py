"""What the ledger knows about the range of an answer: the basis on which the answer is judged."""

from typing import NamedTuple

from mdata.domain.candle import Candle
from mdata.domain.doubt import Doubt
from mdata.domain.interval import Range
from mdata.domain.silence import Density


class Known(NamedTuple):
    """What the ledger knows about the range of an answer; all times are ms UTC.

    `stored` holds the candles within the span of the answer's rows; `lost`, `final` and `provisional` cover the
    requested range, `unobtainable` and `doubts` the whole series. `has_witness`: a candle is stored in the requested
    range. `held_before` and `held_after`: a covered candle is stored in the part of the requested range before, or
    after, the span. `before` and `after` tell how busy the market is beside the span. No interval before `floor` is
    wanted.
    """

    stored: list[Candle]
    lost: list[int]
    final: list[Range]
    provisional: list[Range]
    unobtainable: list[Range]
    doubts: list[Doubt]
    has_witness: bool
    held_before: bool
    held_after: bool
    before: Density
    after: Density
    floor: int
