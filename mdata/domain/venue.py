"""Venues: exchanges described as data. Planning, proof and the rate budget depend on these facts only.

Exchanges differ in what a request for candles means, and in what an answer without a row means; the rest of the
package knows neither the name nor the peculiarities of an exchange.
"""

from typing import Literal, NamedTuple

from mdata.domain.interval import Range
from mdata.domain.pace import Window
from mdata.domain.timeframe import Timeframe

# Which end of the requested range a full answer keeps: the end that the request names, or always the same end.
# `refuses`: a range with more intervals than fit is refused.
Anchor = Literal["asked", "newest", "oldest", "refuses"]
# The order in which the rows of an answer come: the one that the request names, or always the same one.
Order = Literal["asked", "ascending", "descending"]
# Whether a candle at the start, or at the end, that a request names is part of the answer. `containing`: the candle
# whose interval contains the start is part of the answer, too, even if it opens before the start.
Lower = Literal["inclusive", "exclusive", "containing"]
Upper = Literal["inclusive", "exclusive"]
# How an answer shows an interval without a trade: not at all, or as a row without volume.
Silence = Literal["omitted", "zero_rows"]


class Channels(NamedTuple):
    """The limits of an exchange's stream, and how a dead channel is noticed.

    A connection has at most `per_connection` channels. At most `connects` connections may be opened in a minute. A
    lost connection is opened again no earlier than `spacing` seconds after it was last opened. A channel that shows
    nothing for `dead_after` seconds is dead.
    """

    per_connection: int
    connects: int
    spacing: float
    dead_after: float


class Venue(NamedTuple):
    """An exchange: `name` is how the store and `SYMBOLS` write it, `title` how people write it.

    `timeframes` are those that it serves, from fine to coarse; `refused` are the names of other timeframes in lower
    case, each with the reason why it is not used. An answer has at most `page_rows` rows. Candles may change for
    `settle_seconds` after they close. `depth` is how many of the newest intervals are still served (None: all).
    `stream` is None if there is no stream of candles.
    """

    name: str
    title: str
    rest_url: str
    ws_url: str
    timeframes: tuple[Timeframe, ...]
    refused: tuple[tuple[str, str], ...]
    page_rows: int
    anchor: Anchor
    order: Order
    lower: Lower
    upper: Upper
    silence: Silence
    settle_seconds: int
    depth: int | None
    window: Window
    stream: Channels | None

    def grid(self, name: str) -> Timeframe | None:
        """Return the timeframe of this name, or None if the exchange does not serve it."""
        return next((one for one in self.timeframes if one.name == name), None)

    @property
    def writes_silence(self) -> bool:
        """Whether the exchange sends a row for an interval without a trade, so that a missing row is no silence."""
        return self.silence == "zero_rows"

    def bounds(self, timeframe: Timeframe, within: Range) -> tuple[int, int]:
        """Return the start and end (ms UTC) to put into a request for the intervals of `within`."""
        start = within.start - 1 if self.lower == "exclusive" else within.start
        return start, timeframe.previous(within.end) if self.upper == "inclusive" else within.end

    def is_ascending(self, *, newest_first: bool) -> bool:
        """Whether the oldest row of an answer comes first if rows are counted from the given end."""
        return not newest_first if self.order == "asked" else self.order == "ascending"

    def horizon(self, timeframe: Timeframe, now: int) -> int | None:
        """Return the open time (ms UTC) of the oldest interval that is still served at `now`; None: all are."""
        return None if self.depth is None else timeframe.shift(now, 1 - self.depth)
