"""What a candles channel sends, and when: functions of the market and the time, the same for all listeners."""

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import count, islice
from operator import itemgetter
from typing import NamedTuple

from mdata.domain.interval import Range
from mdata.domain.timeframe import MINUTE, TIMEFRAMES
from mdata.sandbox.market import Market
from mdata.sandbox.rest import row

# How many candles a snapshot holds at most; how often (ms) a heartbeat comes, on the same tick for every channel.
SNAPSHOT, HEARTBEAT = 240, 15_000
# Later than anything.
NEVER = 2**63
# How long (ms) after the first trade of an interval the exchange sends the previous candle again.
_SENT_AGAIN = 2_000


class Subject(NamedTuple):
    """The series of a candles channel."""

    symbol: str
    timeframe: str


class Revision(NamedTuple):
    """A candle that was changed or removed later."""

    subject: Subject
    open_time: int


class MarketFeed:
    """What the channels of a market send, computed once for all listeners."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.revisions: list[Revision] = []
        self._row = lru_cache(maxsize=4096)(self._worked_out)

    def row(self, subject: Subject, open_time: int, now: int) -> str | None:
        """Return a candle as it is at `now` (ms UTC), in JSON; None if there is none."""
        return self._row(subject, open_time, now, (len(self.revisions), *self.market.lies))

    def _worked_out(self, subject: Subject, open_time: int, now: int, _: tuple[object, ...]) -> str | None:
        within = Range(open_time, open_time + 1)
        found = next(self.market.walk(subject.symbol, TIMEFRAMES[subject.timeframe], within, now), None)
        return json.dumps(row(found), separators=(",", ":")) if found else None

    def snapshot(self, subject: Subject, now: int) -> str:
        """Return the newest candles at `now`, newest first and the forming one included, in JSON."""
        grid = TIMEFRAMES[subject.timeframe]
        walk = self.market.walk(subject.symbol, grid, Range(0, now + 1), now, newest_first=True)
        return json.dumps(list(map(row, islice(walk, SNAPSHOT))), separators=(",", ":"))

    def newest(self, subject: Subject, now: int, back: int = 0) -> int | None:
        """Return the open time of the newest candle at `now`, or of the one `back` candles before it."""
        grid = TIMEFRAMES[subject.timeframe]
        walk = self.market.walk(subject.symbol, grid, Range(0, now + 1), now, newest_first=True)
        found = next(islice(walk, back, None), None)
        return found[0] if found else None

    def moments(self, subject: Subject, after: int) -> Iterator[tuple[int, int | None]]:
        """Yield when (ms UTC, later than `after`) a channel sends something, and the open time of the candle.

        Every trade sends the candle that it changes; the first trade of an interval also sends the previous candle
        again, a little later. If the open time is None, a heartbeat is due. The moments never end.
        """
        grid = TIMEFRAMES[subject.timeframe]
        latest = self.newest(subject, after) or 0
        for minute in count(after // MINUTE * MINUTE, MINUTE):
            due: list[tuple[int, int | None]] = [(minute + beat, None) for beat in range(0, MINUTE, HEARTBEAT)]
            for traded in self.market.trades(subject.symbol, grid, minute):
                open_time = grid.floor(traded)
                due.append((traded, open_time))
                if open_time > latest:
                    if latest == grid.previous(open_time):
                        due.append((traded + _SENT_AGAIN, latest))
                    latest = open_time
            yield from (moment for moment in sorted(due, key=itemgetter(0)) if moment[0] > after)
