"""The rate budget that all processes of a machine share: one small locked JSON file.

The exchange counts requests per IP and not per process, so sent requests, the block after a refusal and the queue
are stored where every process sees them. A caller takes a slot that is free if nobody waits; otherwise it queues,
sleeps with the file unlocked, and takes its slot at its turn. Only one slot is given out at a time, so a process
that dies costs at most one. The slot is checked again at the instant of sending: a process that was too slow, or
that meets a block, has lost it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from mdata.clock import Clock
from mdata.domain.budget import CONNECT_WINDOW, GRACE, State, Waiter, kept, patience
from mdata.domain.pace import Pace
from mdata.domain.priority import Priority
from mdata.domain.retries import backoff, longest_block
from mdata.domain.times import iso
from mdata.domain.venue import Venue
from mdata.errors import NotNowError, SlotLostError
from mdata.exchange.registry import HOME
from mdata.ratefile import RateFile, is_dead, own_name

T = TypeVar("T")

NOBODY = Waiter("", int(Priority.UPDATE), 0.0)
# A process takes an offered slot within milliseconds.
_POLL = 0.02


class SlotWait(NamedTuple):
    """Why a caller waits: at least until `until` (ms UTC), for a block or for `ahead` others.

    It has waited for `lasts` seconds, and checks again in `seconds`.
    """

    seconds: float
    lasts: float
    until: int
    is_blocked: bool
    ahead: int


class BudgetView(NamedTuple):
    """The budget as `status` shows it; times are ms UTC, `waiting` are the priorities that wait, highest first.

    `free_now` requests can be sent now; until `calm_until` there are no bursts, because the exchange refused a
    request. `problem` says why the file could not be read.
    """

    seen_at: int
    pace: Pace
    free_now: int
    next_request_at: int | None = None
    blocked_until: int | None = None
    calm_until: int | None = None
    refusals: int = 0
    waiting: tuple[str, ...] = ()
    problem: str | None = None

    def seconds_for(self, requests: int, priority: Priority = Priority.UPDATE) -> float:
        """Return how many seconds it takes from now to send so many requests of one priority."""
        pace = self.pace.calmed() if self.calm_until else self.pace
        free = max(0, self.free_now - min(kept(priority), pace.burst - 1))
        blocked = max(0, (self.blocked_until or 0) - self.seen_at) / 1000
        return blocked + pace.seconds(requests, free) if requests else 0.0


class RateLimit:
    """The shared budget of an exchange in the file at `path`, for all processes and threads together.

    It allows one request per `delay` seconds on average, and `burst` of them at once; each process applies its own
    settings. `uniform` draws a random number between two others.
    """

    def __init__(
        self,
        path: Path,
        delay: float,
        min_backoff: float,
        clock: Clock,
        uniform: Callable[[float, float], float],
        burst: int = 1,
        venue: Venue = HOME,
    ) -> None:
        self._pace, self._min_backoff, self._clock = Pace(delay, burst, venue.window), min_backoff, clock
        self._uniform, self._connects = uniform, venue.stream.connects if venue.stream else 1
        self._file = RateFile(path, self._pace, longest_block(min_backoff), clock)
        self._granted = NOBODY
        self._left_at = 0.0
        self._not_before = 0.0

    def acquire(
        self,
        priority: Priority,
        plan: Callable[[], T | None],
        deadline: float | None = None,
        on_wait: Callable[[SlotWait], None] | None = None,
    ) -> T | None:
        """Wait for a slot, call `plan`, and return the request that it wants to send, which must be sent at once.

        If the plan returns None (nothing to fetch), others get the slot. `deadline` is in seconds of boot time: raise
        NotNowError if a block lasts longer, TimeoutError if the turn comes too late. `on_wait` is called before
        each sleep with the reason.
        """
        me = Waiter(own_name(self._uniform), int(priority), self._clock.boottime())
        try:
            wait = None if self._is_free(me) else self._try_turn(me, deadline)
            while True:
                if wait is None:
                    request = plan()
                    if request is None or self._confirm(me):
                        return request
                else:
                    if on_wait is not None:
                        on_wait(wait)
                    self._clock.sleep(wait.seconds)
                wait = self._try_turn(me, deadline)
        finally:
            if self._granted != me:  # a waiter that got the slot is no longer in the queue
                self._leave(me)

    def sent(self) -> None:
        """Note that a request is sent now; the time of sending counts, not the time when it was allowed.

        Raise SlotLostError if it may no longer be sent: acquire another slot then.
        """
        with self._file.locked() as shared:
            if not shared.state.may_send(self._granted, self._pace, shared.now):
                raise SlotLostError("the request was not ready when its turn came")
            shared.state = shared.state.left_by_request(self._pace, shared.now)
            self._left_at = shared.now

    def refused(self, retry_after: float | None) -> float:
        """Note a rate-limit refusal; no process sends anything for the returned seconds."""
        with self._file.locked(durable=True) as shared:
            # Requests in flight during a refusal belong to the same event and do not count as another refusal.
            is_news = shared.now >= shared.state.blocked_until
            refusals = max(1, shared.state.refusals + is_news)
            seconds = backoff(refusals, retry_after, self._min_backoff, self._uniform)
            state = shared.state.blocked(seconds, shared.now)
            past = state.past.arrived(self._left_at, shared.now)
            shared.state = state._replace(refusals=refusals, past=past)
            return state.blocked_until - shared.now

    def answered(self) -> None:
        """Note an answer that is not a refusal: the next refusal is the first in a row again."""
        with self._file.locked() as shared:
            past = shared.state.past.arrived(self._left_at, shared.now)
            shared.state = shared.state._replace(refusals=0, past=past)

    def failed(self) -> None:
        """Note that a request failed: this process retries after one delay, and not in a burst."""
        with self._file.locked() as shared:
            shared.state = shared.state._replace(past=shared.state.past.arrived(self._left_at, shared.now))
            self._not_before = shared.now + self._pace.delay

    def connect(self) -> None:
        """Wait for a WebSocket connect; all processes share a limit for any 60 s, in a separate budget."""
        while True:
            with self._file.locked() as shared:
                recent = shared.state.connects
                wait = CONNECT_WINDOW - (shared.now - recent[0]) if len(recent) >= self._connects else 0.0
                if wait <= 0:
                    shared.state = shared.state._replace(connects=(*recent, shared.now))
                    return
            self._clock.sleep(wait)

    def peek(self) -> BudgetView:
        """Return the budget as it is; nothing is locked, created or changed."""
        shared, wall = self._file.look(), self._clock.now()
        now = shared.now
        state = shared.state.without_late_sender(self._pace, now)
        pace = state.pace_at(self._pace, now)

        def instant(boottime: float) -> int | None:
            return wall + int((boottime - now) * 1000) if boottime > now else None

        names = {int(priority): priority.name.lower() for priority in Priority}
        waiting = sorted(one.priority for one in state.waiters if one.priority in names and not is_dead(one.id))
        free = 0 if now < state.blocked_until else state.spent(pace).free(pace, now)
        return BudgetView(
            wall,
            self._pace,
            free,
            None if free else instant(state.ready_at(self._pace, Priority.UPDATE, now)),
            instant(state.blocked_until),
            instant(state.calm_until),
            state.refusals,
            tuple(names[priority] for priority in waiting),
            shared.problem,
        )

    def _is_free(self, me: Waiter) -> bool:
        """Whether a slot is free and nobody waits, as far as a look without the lock can tell."""
        shared = self._file.look()
        now, state = shared.now, shared.state.without_late_sender(self._pace, shared.now)
        ready_at = max(state.ready_at(self._pace, me.priority, now), self._not_before)
        return now >= ready_at and not state.waiters and not state.sender and not shared.problem

    def _try_turn(self, me: Waiter, deadline: float | None) -> SlotWait | None:
        """Return None if it is this waiter's turn, else why to wait, and how long before the next check."""
        with self._file.locked() as shared:
            now, is_early = shared.now, shared.now < self._not_before
            state = shared.state if is_early else shared.state.queued(me)
            state = _without_dead(state.without_late_sender(self._pace, now), me)
            head = me if is_early else state.head() or me
            ready_at = max(state.ready_at(self._pace, head.priority, now), self._not_before)
            if now >= ready_at and not state.sender:
                state = state.offered(now)
                if state.offered_to != me.id and now - state.offered_at > GRACE:
                    state = state.left(state.offered_to).offered(now)
            shared.state = state
        if deadline is not None and ready_at > deadline:
            raise self._too_late(state, ready_at, now)
        if state.offered_to == me.id and now >= ready_at and not state.sender:
            return None
        return self._wait(state, me, ready_at, now)

    def _wait(self, state: State, me: Waiter, ready_at: float, now: float) -> SlotWait:
        seconds = ready_at - now
        if seconds <= 0:  # another process has been offered the slot, or has it
            seconds = max(0.002, min(_POLL, self._pace.delay / 4))
        elif state.sender:
            seconds = min(seconds, max(0.002, state.last + patience(self._pace) - now))
        elif state.head() != me and state.blocked_until <= now:
            seconds = min(seconds, GRACE)  # the first in the queue may die before its turn
        until = self._clock.now() + int(max(seconds, ready_at - now) * 1000)
        return SlotWait(seconds, now - me.since, until, state.blocked_until > now, max(0, len(state.waiters) - 1))

    def _confirm(self, me: Waiter) -> bool:
        """Take the slot, unless others wait or have taken it, or a block came, in the meantime."""
        with self._file.locked() as shared:
            state = shared.state.without_late_sender(self._pace, shared.now)
            if (state.head() or me) != me or state.sender:
                return False
            if shared.now < state.ready_at(self._pace, me.priority, shared.now):
                return False
            shared.state, self._granted = state.granted(me, shared.now), me
            return True

    def _leave(self, me: Waiter) -> None:
        with self._file.locked() as shared:
            if me in shared.state.waiters:
                shared.state = shared.state.left(me.id)

    def _too_late(self, state: State, ready_at: float, now: float) -> Exception:
        until = iso(self._clock.now() + int((ready_at - now) * 1000))
        if state.blocked_until > now:
            return NotNowError(f"the exchange's rate limit blocks all requests until {until}")
        if ready_at <= self._not_before:
            return TimeoutError(f"the request that failed would be repeated at {until}")
        return TimeoutError(f"the next request is possible at {until}")


def _without_dead(state: State, me: Waiter) -> State:
    """Return the state without the slots and turns of processes that are certainly dead."""
    if state.sender and is_dead(state.sender):
        state = state._replace(sender="")
    while (head := state.head()) is not None and head.id != me.id and is_dead(head.id):
        state = state.left(head.id)
    return state
