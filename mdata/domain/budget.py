"""The rate budget: who may send next, and how long nobody may after a refusal.

Bitfinex counts requests per IP (candles: 30 a minute in its current documents, 90 in older ones) and blocks an
IP that exceeds them for about 60 s; clients that resume at exactly 60 s are caught again.

All instants here are seconds of boot time; `delay` is the seconds between two requests.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

# A class that waits is passed over three times at most: every fourth slot goes to the lowest.
_PATIENCE = 3
# Nobody sleeps longer in one go: a sleep does not count while the machine is suspended, boot time does.
LONGEST_NAP = 5.0
_MAX_BLOCK = 15 * 60.0
# The documents allow 20 connects a minute; the second more is for connects that the network brings together.
_CONNECTS, _CONNECT_WINDOW = 20, 61.0


class Priority(IntEnum):
    """The classes of requests; the lower number goes first."""

    UPDATE = 0
    REPAIR = 1
    BACKFILL = 2


@dataclass(frozen=True, slots=True)
class Waiter:
    """Who waits for a slot: its class, since when, and when it has promised to look again."""

    id: str
    priority: int
    since: float
    back: float


def grace(delay: float) -> float:
    """Return by how much (s) a waiter may be late before it counts as dead; short, so that death costs one slot."""
    return min(0.25, max(0.002, delay / 4))


def planning_time(delay: float) -> float:
    """Return how long (s) one whose turn it is may plan before others may overtake it."""
    return min(1.0, max(0.005, delay / 2))


@dataclass(frozen=True, slots=True)
class State:
    """What all processes share.

    `last` is when the last slot was taken, or the request in it sent; `holder` has taken it and not sent yet.
    `passed` counts for each class how often it was passed over while it waited.
    """

    last: float
    holder: str = ""
    blocked_until: float = 0.0
    refusals: int = 0
    passed: tuple[int, ...] = (0, 0, 0)
    waiters: tuple[Waiter, ...] = ()
    connects: tuple[float, ...] = ()

    @classmethod
    def unknown(cls, now: float) -> "State":
        """Return the state to assume when nothing is known: as if everything had been used at an even pace."""
        pace = _CONNECT_WINDOW / _CONNECTS
        return cls(now, connects=tuple(now - pace * back for back in range(_CONNECTS - 1, 0, -1)))

    def clamped(self, now: float, longest: float) -> "State":
        """Return the state without anything that could stall others for longer than `longest` seconds."""
        blocked_until = min(self.blocked_until, now + longest)
        return State(
            min(self.last, now),
            self.holder,
            blocked_until if blocked_until > now else 0.0,
            max(0, min(self.refusals, 1000)),
            tuple(max(0, min(count, _PATIENCE)) for count in self.passed),
            tuple(
                one if one.back <= now + LONGEST_NAP else replace(one, back=now + LONGEST_NAP) for one in self.waiters
            ),
            tuple(min(time, now) for time in self.connects[-_CONNECTS:]),
        )

    def opens(self, delay: float) -> float:
        """Return when the next request may leave."""
        return max(self.last + delay, self.blocked_until)

    def head(self) -> Waiter | None:
        """Return whose turn is next: the lowest class passed over too often, or the highest; then who came first."""
        if not self.waiters:
            return None
        waiting = {one.priority for one in self.waiters}
        chosen = max((one for one in waiting if self.passed[one] >= _PATIENCE), default=min(waiting))
        return min((one for one in self.waiters if one.priority == chosen), key=lambda one: (one.since, one.id))

    def queued(self, me: Waiter, now: float, delay: float) -> tuple["State", float]:
        """Return the state with `me` in the queue and the dead out of it, and when `me` must look again.

        That is now when its turn has come. The head of the queue looks when the slot opens; everybody else a
        little later, to find the slot taken or the head dead.
        """
        late = now - grace(delay)
        others = tuple(one for one in self.waiters if one.id != me.id and one.back > late)
        head = replace(self, waiters=(*others, me)).head() or me
        opens = self.opens(delay)
        if head.id == me.id:
            look = max(opens, now)
        else:
            # The least nap keeps rounding errors from making a wait of nothing.
            look = max((opens if opens > now else head.back) + grace(delay), now + 0.001)
        look = min(look, now + LONGEST_NAP)
        back = look if look > now else now + planning_time(delay)
        return replace(self, waiters=(*others, replace(me, back=back))), look

    def without(self, me: Waiter) -> "State":
        """Return the state with `me` out of the queue."""
        return replace(self, waiters=tuple(one for one in self.waiters if one.id != me.id))

    def taken(self, me: Waiter, now: float) -> "State":
        """Return the state after `me` took the slot."""
        rest = self.without(me)
        waiting = {one.priority for one in rest.waiters}
        passed = tuple(
            0 if number == me.priority else min(count + 1, _PATIENCE) if number in waiting else count
            for number, count in enumerate(self.passed)
        )
        return replace(rest, last=now, holder=me.id, passed=passed)

    def sent(self, me: Waiter, now: float, delay: float) -> "State | None":
        """Return the state after `me` sends; None when it may not, because it lost its slot or a block came."""
        holds = self.holder == me.id and now >= self.blocked_until
        return replace(self, last=now, holder="") if holds or now >= self.opens(delay) else None

    def refused(self, now: float, seconds: float) -> "State":
        """Return the state after one more refusal in a row, which blocks everybody for `seconds`."""
        return replace(self, refusals=self.refusals + 1, blocked_until=max(self.blocked_until, now + seconds))

    def connected(self, now: float) -> tuple["State", float]:
        """Return the state after a WebSocket connect and `now`; or as it is, and when the next one is free."""
        recent = tuple(time for time in self.connects if time > now - _CONNECT_WINDOW)
        if len(recent) >= _CONNECTS:
            return self, recent[-_CONNECTS] + _CONNECT_WINDOW
        return replace(self, connects=(*recent, now)), now


def backoff(
    refusals: int, retry_after: float | None, minimum: float, jitter: Callable[[float, float], float]
) -> float:
    """Return for how many seconds nobody may send after the nth refusal in a row.

    `jitter(low, high)` draws from a range: 5 to 20 s, less when the minimum is set below 10 s, as in rehearsals.
    A wish of the exchange that is no positive number counts as none.
    """
    wish = retry_after if retry_after is not None and retry_after > 0 else 0.0
    doubled = min(120.0, 2.0 ** min(refusals, 10))
    spread = jitter(5.0, 20.0) * min(1.0, minimum / 10)
    return min(max(wish, minimum, doubled) + spread, longest_block(minimum))


def longest_block(minimum: float) -> float:
    """Return the longest time (s) that any block may last."""
    return max(_MAX_BLOCK, minimum)
