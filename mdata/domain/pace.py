"""How fast requests may be sent: an average with a burst after a pause, and a limit for any minute.

An exchange counts the requests in a window of time and does not require even spacing. Two rules therefore apply to
all processes together. The first is a generic cell rate: `burst` requests at once, and one more every `delay`
seconds. The second is that no window ever contains more requests than the exchange allows (`Window`), whatever the
settings say.
"""

from bisect import bisect, insort
from math import ceil
from typing import NamedTuple

SPACING = 0.1  # seconds between two requests of a burst, at least
# A request is assumed to have reached the exchange this many seconds after it was sent, until its answer shows when
# it arrived.
FLIGHT = 2.0
# After a refusal the exchange's true limit is lower than ours: requests are then evenly spaced, with a tenth more
# time between them.
_CALMED = 1.1


class Window(NamedTuple):
    """The rate limit of an exchange: in any period of `seconds` it allows `documented` requests; we send `most`.

    `most` is smaller because the exchange's window is not exactly ours.
    """

    seconds: float
    documented: int
    most: int

    @property
    def least_delay(self) -> float:
        """Return the delay (s) that keeps the documented rate.

        A shorter delay is only meant for an exchange on this machine; the limit of the window then does not apply.
        """
        return self.seconds / self.documented


class Pace(NamedTuple):
    """One request every `delay` seconds on average, and `burst` at once after a pause.

    A `burst` of 1 means even spacing.
    """

    delay: float
    burst: int
    window: Window

    @property
    def counts_windows(self) -> bool:
        """Whether the limit of the window applies: always, except in rehearsals that are meant to be faster."""
        return self.delay >= self.window.least_delay

    @property
    def spacing(self) -> float:
        """Return the minimum time (s) between two requests."""
        return min(SPACING, self.delay)

    @property
    def sustained(self) -> float:
        """Return how many seconds each of many requests takes on average: by the slower of the two rules."""
        return max(self.delay, self.window.seconds / self.window.most) if self.counts_windows else self.delay

    def calmed(self) -> "Pace":
        """Return the pace of the hour after a refusal."""
        return Pace(self.delay * _CALMED, 1, self.window)

    def seconds(self, requests: int, free: int) -> float:
        """Return how long it takes to send this many requests, of which `free` can be sent at once."""
        by_average = (requests - free) * self.delay
        by_windows = (requests - 1) // self.window.most * self.window.seconds if self.counts_windows else 0.0
        return max(requests * self.spacing, by_average, by_windows)

    def fullest(self, at: float) -> "Past":
        """Return the maximum that can have been sent up to `at` at this pace; used if the real past is unknown.

        Every period that ends at `at` contains as many requests as the two rules allow. Later requests that obey the
        rules with this assumed past therefore also obey them with the real one.
        """
        before = [at - number * self.delay for number in range(1, self.window.most - self.burst + 1)]
        times = [*reversed(before), *[at] * self.burst]
        return Past(float(self.burst), at, tuple(_ms(time) for time in times if time > at - self.window.seconds))


class Past(NamedTuple):
    """The requests already sent: how much of the burst was spent when the newest left, and when each arrived.

    `level` counts requests; after `at` (seconds of boot time), it falls by one in each delay. `arrivals` (ascending,
    at most as many as a window allows) are the instants by which the requests of the last window had reached the
    exchange. They are whole ms of boot time, rounded up, so that the text of the file stays short: every look at the
    budget parses it.
    """

    level: float = 0.0
    at: float = 0.0
    arrivals: tuple[int, ...] = ()

    def leaving(self, pace: Pace, now: float) -> "Past":
        """Return the past after a request has left at `now`."""
        arrivals = [*self.arrivals]
        insort(arrivals, _ms(now + FLIGHT))
        return Past(self._level(pace, now) + 1, now, tuple(arrivals[-pace.window.most :]))

    def arrived(self, left_at: float, now: float) -> "Past":
        """Return the past after a request that left at `left_at` was answered at `now`: it had arrived by then."""
        arrivals, assumed = [*self.arrivals], _ms(left_at + FLIGHT)
        if assumed not in arrivals:
            return self
        arrivals.remove(assumed)
        insort(arrivals, _ms(now))
        return self._replace(arrivals=tuple(arrivals))

    def clamped(self, now: float, window: Window) -> "Past":
        """Return the past, limited so that it cannot delay others longer than the rules allow."""
        arrivals = sorted(self.arrivals)
        kept = arrivals[bisect(arrivals, _ms(now - window.seconds)) : bisect(arrivals, _ms(now + FLIGHT))]
        level = min(max(0.0, self.level), float(window.most))
        return Past(level, min(self.at, now), tuple(kept[-window.most :]))

    def ready_at(self, pace: Pace, kept: int = 0) -> float:
        """Return when the next request may leave if `kept` requests of the burst are reserved for others.

        By the average rule, nobody waits longer than one delay after the newest request. In particular, nobody has to
        wait for the reserve (`kept`) to be restored, which might never end: the burst does not refill while processes
        wait, because they use each slot as it becomes free. Nor does anybody have to wait because another process,
        with a larger burst, has sent more requests than this pace allows.
        """
        burst = max(1, pace.burst - kept)
        ready = max(self.at + min(1.0, self.level + 1 - burst) * pace.delay, self.at + pace.spacing)
        if pace.counts_windows and len(self.arrivals) >= pace.window.most:
            ready = max(ready, self.arrivals[-pace.window.most] / 1000 + pace.window.seconds)
        return ready

    def free(self, pace: Pace, now: float) -> int:
        """Return how many requests may leave at `now`, one after the other."""
        free = max(int(pace.burst - self._level(pace, now) + 1e-9), int(now >= self.at + pace.delay))
        if pace.counts_windows:
            window = pace.window
            free = min(free, window.most - sum(time > _ms(now - window.seconds) for time in self.arrivals))
        return max(0, free)

    def _level(self, pace: Pace, now: float) -> float:
        return max(0.0, self.level - (now - self.at) / pace.delay) if pace.delay > 0 else 0.0


def _ms(seconds: float) -> int:
    return ceil(seconds * 1000)
