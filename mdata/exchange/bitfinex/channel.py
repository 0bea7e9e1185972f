"""The state of one channel of Bitfinex's WebSocket, and what can be concluded from it.

The exchange never says that a candle is closed and sends nothing for a quiet interval. It sends earlier candles
again, in any order, and may stop sending without closing the connection. Hence:

- an interval is known to be closed when a newer candle appears, or when the channel has shown data or a heartbeat
  after its end and a short grace has passed;
- a channel vouches for every interval from the oldest row of its snapshot on (without a snapshot: from the first
  interval that began while it was open), but only up to what it has shown to be closed: while not even a
  heartbeat comes, nothing further is proven;
- a candle only grows, so two states can come in either order: the one with more volume is the later one;
- a row that cannot be a candle makes its interval unknown until a valid row comes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mdata.domain import candle as sanity
from mdata.domain.candle import Candle
from mdata.domain.claim import Claim, Faulty
from mdata.domain.interval import Range, normal, subtract
from mdata.domain.timeframe import Timeframe

# How long (ms) after a close the last update may still be on its way if no newer candle has appeared.
GRACE = 1_000
# A row may be this far (ms) ahead of our clock; a row further ahead is invalid.
TOLERANCE = 5_000
# How many candles are kept per channel. An update can still correct these; the next REST answer corrects older ones.
KEPT = 60
# How many rejected rows are kept per channel for the record; more are not needed.
MOST_REFUSED = 20


@dataclass(slots=True)
class Channel:
    """The state of one channel, from its subscription to its end; `now` and `at` are the exchange's time, ms UTC.

    It vouches for every interval from `start` on; `refused` are rejected rows to keep for the record.
    """

    timeframe: Timeframe
    start: int | None = None
    seen_at: int | None = None
    has_snapshot: bool = False
    refused: list[Faulty] = field(default_factory=list)
    _refusals: int = 0
    _candles: dict[int, Candle] = field(default_factory=dict)
    _stored: dict[int, Candle] = field(default_factory=dict)
    _spoiled: set[int] = field(default_factory=set)
    _done: list[Range] = field(default_factory=list)

    def beat(self, at: int) -> None:
        """Record activity: a heartbeat, or data."""
        self.seen_at = at if self.seen_at is None else max(self.seen_at, at)
        if self.start is None:
            self.start = self.timeframe.ceil(at)

    def snapshot(self, rows: Iterable[Candle | Faulty], at: int) -> None:
        """Take the newest candles, contiguous and in any order; only those after the newest invalid row are used."""
        sound, bad = self._sorted_out(rows)
        self.has_snapshot = True
        for row in bad:
            self._refuse(row)
        believed_from = max((self._after(row, at) for row in bad), default=-(2**63))
        believed = [row for row in sound if believed_from <= row[0] <= at + TOLERANCE]
        if believed:
            oldest = min(row[0] for row in believed)
            self.start = oldest if self.start is None else min(self.start, oldest)
        self.beat(at)
        for candle in believed:
            self._take(candle)

    def update(self, row: Candle | Faulty, at: int) -> None:
        """Take one candle: the forming one, an earlier one again, or an invalid one."""
        self.beat(at)
        sound, bad = self._sorted_out([row])
        for candle in sound:
            if self._is_in_reach(candle[0], at):
                self._take(candle)
        for faulty in bad:
            self._refuse(faulty)
            # A row without a time was meant for the forming interval or the one before.
            around = (at, self.timeframe.previous(at)) if faulty.open_time is None else (faulty.open_time,)
            for time in map(self.timeframe.floor, around):
                if self._is_in_reach(time, at) and not self._is_done(time):
                    self._spoiled.add(time)

    def due(self, now: int) -> list[Claim]:
        """Return what may be stored at `now` and is not stored yet: candles that were corrected, and new ranges."""
        end = self.closed_to(now)
        if self.start is None or end is None:
            return []
        spoiled = normal(self._interval(time) for time in self._spoiled)
        fresh = subtract(subtract([Range(self.start, end)] if self.start < end else [], spoiled), self._done)
        corrected = [
            Claim(self._interval(time), [candle])
            for time, candle in sorted(self._candles.items())
            if self._stored.get(time) != candle and self._is_done(time)
        ]
        return corrected + [Claim(part, self._within(part)) for part in fresh]

    def due_at_its_end(self, now: int) -> list[Claim]:
        """Return what may be stored at `now`, when the channel has ended: no late update can come any more."""
        return [] if self.seen_at is None else self.due(min(self.seen_at, now) + GRACE)

    def mark(self, claims: list[Claim]) -> None:
        """Record that these claims are stored, and discard intervals that are too old to be updated."""
        self._done = normal([*self._done, *(claim.range for claim in claims)])
        for claim in claims:
            self._stored.update((candle[0], candle) for candle in claim.candles)
        horizon = self.timeframe.shift(self.seen_at or 0, -KEPT)
        old = {time for time in self._spoiled if time < horizon}
        self._done = normal([*self._done, *map(self._interval, old)])
        self._spoiled -= old
        for time in [time for time in self._candles if time < horizon and self._is_done(time)]:
            del self._candles[time]
            self._stored.pop(time, None)

    def closed_to(self, now: int) -> int | None:
        """Return up to when every interval is known to be closed at `now`, or None if nothing was shown yet."""
        if self.seen_at is None:
            return None
        by_clock = self.timeframe.floor(min(self.seen_at, now - GRACE))
        return by_clock if self.newest is None else max(by_clock, self.newest[0])

    @property
    def newest(self) -> Candle | None:
        """Return the newest candle that was shown, usually the forming one."""
        return self._candles[max(self._candles)] if self._candles else None

    def _sorted_out(self, rows: Iterable[Candle | Faulty]) -> tuple[list[Candle], list[Faulty]]:
        sound: list[Candle] = []
        bad: list[Faulty] = []
        for row in rows:
            if isinstance(row, Faulty):
                bad.append(row)
            elif (reason := sanity.fault(row, self.timeframe)) is not None:
                bad.append(Faulty(row[0], repr(row), reason))
            else:
                sound.append(row)
        return sound, bad

    def _take(self, candle: Candle) -> None:
        held = self._candles.get(candle[0])
        if held is None or not sanity.is_older(candle, held):
            self._candles[candle[0]] = candle
            self._spoiled.discard(candle[0])

    def _refuse(self, row: Faulty) -> None:
        self._refusals += 1
        if self._refusals <= MOST_REFUSED:
            self.refused.append(row)

    def _after(self, row: Faulty, at: int) -> int:
        return self.timeframe.next(at if row.open_time is None else min(row.open_time, at))

    def _is_in_reach(self, time: int, at: int) -> bool:
        """Whether an update may change the interval at `time`: one from `start` on, and among the newest `KEPT`."""
        return max(self.start or 0, self.timeframe.shift(at, -KEPT)) <= time <= at + TOLERANCE

    def _is_done(self, time: int) -> bool:
        return any(part.start <= time < part.end for part in self._done)

    def _interval(self, time: int) -> Range:
        return Range(time, self.timeframe.next(time))

    def _within(self, part: Range) -> list[Candle]:
        return [candle for time, candle in sorted(self._candles.items()) if part.start <= time < part.end]
