"""The rate budget: which process may send next, and how long all processes pause after a refusal.

An exchange counts requests per IP. If an IP exceeds the limit, it is blocked for a while; clients that resume exactly
when the block ends were seen to be blocked again.
"""

from collections.abc import Callable
from typing import NamedTuple

from mdata.domain.pace import FLIGHT, Pace, Past, Window
from mdata.domain.priority import Priority
from mdata.domain.retries import reconnect_pause

# One in every N slots goes to the lowest waiting class.
LOWEST_EVERY = 4
# A process that does not take its slot for this long (s) has died, or is suspended and will queue again with its old
# rank.
GRACE = 1.0
# How long (s) a connect counts: a minute, plus the largest possible difference between the times that two connects
# take to arrive.
CONNECT_WINDOW = 60.0 + FLIGHT
CALM_SECONDS = 60 * 60.0  # how long no process sends bursts after a block


class Waiter(NamedTuple):
    """A process waiting for a slot: its class, and when it began to wait (seconds of boot time)."""

    id: str
    priority: int
    since: float


class State(NamedTuple):
    """What all processes share; instants are seconds since the boot that the file names.

    `last` is when the newest request left. While a slot is granted but not used, `sender` names its owner and `last`
    is when it was granted. `passed` counts the slots since the lowest waiting class had one. `offered_to` names the
    waiter whose turn it has been since `offered_at`; a process that does not take its turn in time is taken for dead.
    `past` are the requests already sent, and until `calm_until` no process sends bursts. (Versions of mdata that do
    not know `past` and `calm_until` drop both when they write the file.)
    """

    last: float
    sender: str = ""
    blocked_until: float = 0.0
    refusals: int = 0
    passed: int = 0
    waiters: tuple[Waiter, ...] = ()
    offered_to: str = ""
    offered_at: float = 0.0
    connects: tuple[float, ...] = ()
    past: Past = Past()
    calm_until: float = 0.0

    @classmethod
    def unknown(cls, now: float, pace: Pace) -> "State":
        """Return the initial state if nothing is known: the burst counts as used, so the limit is never exceeded."""
        return cls(now, past=pace.fullest(now))

    def pace_at(self, pace: Pace, now: float) -> Pace:
        """Return the pace that applies now to a process with this `pace`."""
        return pace.calmed() if now < self.calm_until else pace

    def ready_at(self, pace: Pace, priority: int, now: float) -> float:
        """Return when the next request of this class may leave, for a process with this pace.

        A granted slot counts as used, because its owner may send at any time.
        """
        pace = self.pace_at(pace, now)
        return max(self.spent(pace).ready_at(pace, kept(priority)), self.blocked_until)

    def spent(self, pace: Pace) -> Past:
        """Return the requests already sent, including the slot that was granted and is not used yet."""
        return self.past.leaving(pace, self.last) if self.sender else self.past

    def clamped(self, now: float, longest_block: float, window: Window) -> "State":
        """Return the state without anything that could stall others longer than the rules allow."""
        return self._replace(
            last=min(self.last, now),
            blocked_until=min(self.blocked_until, now + longest_block),
            waiters=tuple(waiter for waiter in self.waiters if waiter.since <= now),
            offered_at=min(self.offered_at, now),
            connects=tuple(time for time in self.connects if now - CONNECT_WINDOW < time <= now),
            past=self.past.clamped(now, window),
            calm_until=min(self.calm_until, now + longest_block + CALM_SECONDS),
        )

    def without_late_sender(self, pace: Pace, now: float) -> "State":
        """Return the state without a slot that its owner has not used in time: the slot is free and not counted."""
        is_late = now - self.last >= patience(pace)
        return self._replace(sender="") if self.sender and is_late else self

    def head(self) -> Waiter | None:
        """Return whose turn is next: the longest wait in the highest class or, every fourth time, in the lowest.

        A recheck of history only gets a turn if no other process waits.
        """
        if not self.waiters:
            return None
        classes = {waiter.priority for waiter in self.waiters}
        classes = classes - {int(Priority.RECHECK)} or classes
        chosen = max(classes) if self.passed >= LOWEST_EVERY - 1 else min(classes)
        return min((waiter for waiter in self.waiters if waiter.priority == chosen), key=lambda waiter: waiter.since)

    def queued(self, waiter: Waiter) -> "State":
        """Return the state with this waiter in the queue."""
        if waiter in self.waiters:
            return self
        return self._replace(waiters=(*self.waiters, waiter))

    def left(self, waiter_id: str) -> "State":
        """Return the state without this waiter."""
        return self._replace(waiters=tuple(waiter for waiter in self.waiters if waiter.id != waiter_id))

    def offered(self, now: float) -> "State":
        """Return the state with the slot offered to the next waiter; `offered_at` is `now` if the offer is new."""
        head = self.head()
        if head is None or head.id == self.offered_to:
            return self
        return self._replace(offered_to=head.id, offered_at=now)

    def granted(self, waiter: Waiter, now: float) -> "State":
        """Return the state after this waiter got the slot at `now`."""
        lowest = max(min(other.priority, Priority.BACKFILL) for other in (*self.waiters, waiter))
        passed = 0 if waiter.priority >= lowest else self.passed + 1
        left = self.left(waiter.id)
        return left._replace(last=now, sender=waiter.id, passed=passed, offered_to="", offered_at=0.0)

    def may_send(self, waiter: Waiter, pace: Pace, now: float) -> bool:
        """Whether the request of this waiter, who got a slot, may still leave at `now`.

        It may not if a block has begun, or if the waiter took so long that another process got the slot.
        """
        state = self._replace(sender="") if self.sender == waiter.id else self.without_late_sender(pace, now)
        return not state.sender and now >= state.ready_at(pace, waiter.priority, now)

    def left_by_request(self, pace: Pace, now: float) -> "State":
        """Return the state after a request has left at `now`."""
        return self._replace(last=now, sender="", past=self.past.leaving(self.pace_at(pace, now), now))

    def blocked(self, seconds: float, now: float) -> "State":
        """Return the state after a refusal at `now`: all processes pause, and send no bursts for another hour."""
        until = max(self.blocked_until, now + seconds)
        return self._replace(blocked_until=until, calm_until=max(self.calm_until, until + CALM_SECONDS))


def kept(priority: int) -> int:
    """Return how many requests of a burst this class leaves to the others."""
    return LOWEST_EVERY - 1 if priority >= Priority.BACKFILL else 0


def patience(pace: Pace) -> float:
    """Return for how many seconds a granted slot is kept for its owner."""
    return min(GRACE, pace.delay)


def reconnect_delay(
    failures: int, since_last: float, spacing: float, jitter: Callable[[float, float], float]
) -> float:
    """Return for how many seconds to wait before a lost connection is opened again.

    `failures` in a row lengthen it, with full jitter: clients that lost their connections at the same moment
    reconnect spread over the whole delay. `since_last` is how long ago (s) it was opened, and `spacing` the minimum
    time (s) between two openings, so that a server that accepts connections and closes them at once is not hammered.
    """
    return max(reconnect_pause(failures, jitter), spacing - since_last)
