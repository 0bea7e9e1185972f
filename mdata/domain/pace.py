"""How fast the exchange may be asked: an average with a burst after a pause, and a limit for any minute.

Bitfinex counts requests in a minute (candles: 30 in its current documents, 90 in older ones) and does not ask for
even spacing. Two rules therefore, over all processes together: a generic cell rate, that is `burst` requests at once
and one more for each `delay` seconds; and never more than 27 in any 60 seconds, whatever the settings say.
"""

from bisect import bisect, insort
from math import ceil
from typing import NamedTuple

DOCUMENTED_PER_MINUTE = 30
MOST_PER_MINUTE = 27  # a tenth less: the exchange's minute is not quite ours
MINUTE = 60.0
# The delay that keeps the documented rate. A shorter one is for an exchange on this machine, and without the minute.
LEAST_DELAY = MINUTE / DOCUMENTED_PER_MINUTE
SPACING = 0.1  # seconds between two requests of a burst, at least
# A request has reached the exchange so many seconds after it left, unless its answer says when it had.
FLIGHT = 2.0
# After a refusal the exchange's true limit is lower than ours: even spacing, and a tenth longer.
_CALMED = 1.1


class Pace(NamedTuple):
    """One request in `delay` seconds on average, `burst` of them at once after a pause; 1 is even spacing."""

    delay: float
    burst: int = 1

    @property
    def counts_minutes(self) -> bool:
        """Whether the limit of a minute holds: everywhere but in rehearsals that are to be faster."""
        return self.delay >= LEAST_DELAY

    @property
    def spacing(self) -> float:
        """Return how many seconds lie between two requests at least."""
        return min(SPACING, self.delay)

    @property
    def sustained(self) -> float:
        """Return the seconds that a request takes when there are many: the slower of the two rules."""
        return max(self.delay, MINUTE / MOST_PER_MINUTE) if self.counts_minutes else self.delay

    def calmed(self) -> "Pace":
        """Return the pace of the hour after a refusal."""
        return Pace(self.delay * _CALMED, 1)

    def seconds(self, requests: int, free: int) -> float:
        """Return how long it takes until so many requests have left, when `free` of them may leave at once."""
        if requests <= 0:
            return 0.0
        by_average = (requests - free) * self.delay
        by_minutes = (requests - 1) // MOST_PER_MINUTE * MINUTE if self.counts_minutes else 0.0
        return max(requests * self.spacing, by_average, by_minutes)

    def fullest(self, at: float) -> "Past":
        """Return the most that can have left up to `at` under this pace: what is unknown is taken for that.

        Of any stretch that ends at `at` it holds as many as the two rules allow, so that nothing that they allow
        afterwards can break them, whatever was sent in truth.
        """
        before = [at - number * self.delay for number in range(1, MOST_PER_MINUTE - self.burst + 1)]
        times = [*reversed(before), *[at] * self.burst]
        return Past(float(self.burst), at, tuple(_ms(time) for time in times if time > at - MINUTE))


class Past(NamedTuple):
    """What has left: how much of the burst was spent when the newest request left, and when they arrived.

    `level` counts requests, and falls by one in each delay after `at`, seconds of boot time. `arrivals` (ascending,
    the newest 27) are the instants by which the requests of the last minute had reached the exchange, in whole ms of
    it, rounded up: they are written and read at every look.
    """

    level: float = 0.0
    at: float = 0.0
    arrivals: tuple[int, ...] = ()

    def leaving(self, pace: Pace, now: float) -> "Past":
        """Return the past after a request has left at `now`."""
        arrivals = [*self.arrivals]
        insort(arrivals, _ms(now + FLIGHT))
        return Past(self._level(pace, now) + 1, now, tuple(arrivals[-MOST_PER_MINUTE:]))

    def arrived(self, left_at: float, now: float) -> "Past":
        """Return the past after the answer came at `now` to what left at `left_at`: it had arrived by then."""
        arrivals, assumed = [*self.arrivals], _ms(left_at + FLIGHT)
        if assumed not in arrivals:
            return self
        arrivals.remove(assumed)
        insort(arrivals, _ms(now))
        return self._replace(arrivals=tuple(arrivals))

    def clamped(self, now: float) -> "Past":
        """Return the past without anything that could stall others longer than the rules allow."""
        arrivals = sorted(self.arrivals)
        kept = arrivals[bisect(arrivals, _ms(now - MINUTE)) : bisect(arrivals, _ms(now + FLIGHT))]
        level = min(max(0.0, self.level), float(MOST_PER_MINUTE))
        return Past(level, min(self.at, now), tuple(kept[-MOST_PER_MINUTE:]))

    def ready_at(self, pace: Pace, kept: int = 0) -> float:
        """Return when the next request may leave; it leaves `kept` of a burst to others.

        Nobody waits for longer than a delay: what flows back is there for whoever is next, so that `kept` is not
        filled up again while anybody waits, nor what a process with a larger burst has spent.
        """
        burst = max(1, pace.burst - kept)
        ready = max(self.at + min(1.0, self.level + 1 - burst) * pace.delay, self.at + pace.spacing)
        if pace.counts_minutes and len(self.arrivals) >= MOST_PER_MINUTE:
            ready = max(ready, self.arrivals[-MOST_PER_MINUTE] / 1000 + MINUTE)
        return ready

    def free(self, pace: Pace, now: float) -> int:
        """Return how many requests may leave at `now`, one after the other."""
        free = max(int(pace.burst - self._level(pace, now) + 1e-9), int(now >= self.at + pace.delay))
        if pace.counts_minutes:
            free = min(free, MOST_PER_MINUTE - sum(time > _ms(now - MINUTE) for time in self.arrivals))
        return max(0, free)

    def _level(self, pace: Pace, now: float) -> float:
        return max(0.0, self.level - (now - self.at) / pace.delay) if pace.delay > 0 else 0.0


def _ms(seconds: float) -> int:
    return ceil(seconds * 1000)
