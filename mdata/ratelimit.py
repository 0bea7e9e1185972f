"""The rate budget that all processes of a machine share: one small locked JSON file.

The exchange counts requests per IP and not per process, so the next free slot, the block after a refusal and
the queue are kept where every process sees them. A caller queues, sleeps with the file unlocked, and takes its
slot when its turn has come; only one slot is ever given away, so a process that dies costs at most one. At the
instant of sending the slot is looked at once more: a process that was slow, or met a block, has lost it.
"""

import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mdata.clock import Clock
from mdata.domain.budget import CONNECTS_PER_MINUTE, Priority, State, Waiter, backoff, longest_block
from mdata.domain.moment import iso
from mdata.errors import NotNowError, SlotLostError, StorageError
from mdata.flock import FileLock

T = TypeVar("T")

_MAX_FILE = 64 * 1024
# Whoever does not take an offered slot for so long has died (or is stopped: it queues again with its old rank).
_GRACE = 1.0


class BudgetView(NamedTuple):
    """The budget as `status` shows it; instants are ms UTC, `waiting` the classes that wait, the first ones first."""

    delay_seconds: float
    next_request_at: int | None
    blocked_until: int | None
    refusals: int
    waiting: tuple[str, ...]


class RateLimit:
    """The shared budget in the file at `path`: one request in `delay` seconds, all processes and threads together."""

    def __init__(self, path: Path, delay: float, min_backoff: float, clock: Clock, rng: random.Random) -> None:
        self._path, self._delay, self._min_backoff = path, delay, min_backoff
        self._clock, self._rng = clock, rng
        self._lock = FileLock(path)
        self._granted = ""
        # One file lock is for one thread; this one may be taken again by the same, in the clean-up after a signal.
        self._guard = threading.RLock()

    def acquire(
        self,
        priority: Priority,
        plan: Callable[[], T | None],
        deadline: float | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> T | None:
        """Wait for a slot and return what `plan`, called when it has come, wants to ask; it is to be sent at once.

        None, when the plan finds nothing to ask, leaves the slot to others. `deadline` is in seconds of boot time:
        raise NotNowError when a block lasts longer, TimeoutError when the turn comes too late.
        """
        me = Waiter(f"{os.getpid()}-{self._rng.getrandbits(48):x}", int(priority), self._clock.boottime())
        try:
            while True:
                wait = self._try_turn(me, deadline)
                if wait is None:
                    request = plan()
                    if request is None or self._confirm(me):
                        return request
                    continue
                if on_wait is not None:
                    on_wait(wait)
                self._clock.sleep(wait)
        finally:
            if self._granted != me.id:  # whoever got the slot has left the queue by that
                self._leave(me)

    def sent(self) -> None:
        """Note that a request leaves now: the next slot is one delay after this instant, not after the grant.

        Raise SlotLostError when it may not leave any more: acquire another slot then.
        """
        with self._state() as shared:
            if not shared.state.may_send(self._granted, shared.now, self._delay):
                raise SlotLostError("the request was not ready when its turn came")
            shared.state = shared.state._replace(last=shared.now, sender="")

    def refused(self, retry_after: float | None) -> float:
        """Note that the exchange refused for the rate: nobody sends for the seconds returned, whatever happens."""
        with self._state(durable=True) as shared:
            # What was on its way when another refusal came is the same event, and not the next one in a row.
            is_news = shared.now >= shared.state.blocked_until
            refusals = max(1, shared.state.refusals + is_news)
            seconds = backoff(refusals, retry_after, self._min_backoff, self._rng.uniform)
            until = max(shared.state.blocked_until, shared.now + seconds)
            shared.state = shared.state._replace(refusals=refusals, blocked_until=until)
            return until - shared.now

    def answered(self) -> None:
        """Note an answer that is no refusal: the next refusal is the first in a row again."""
        with self._state() as shared:
            if shared.state.refusals:
                shared.state = shared.state._replace(refusals=0)

    def connect(self) -> None:
        """Wait for a WebSocket connect: 20 in any 60 s for all processes, a budget of their own."""
        while True:
            with self._state() as shared:
                recent = shared.state.connects
                wait = 60 - (shared.now - recent[0]) if len(recent) >= CONNECTS_PER_MINUTE else 0.0
                if wait <= 0:
                    shared.state = shared.state._replace(connects=(*recent, shared.now))
                    return
            self._clock.sleep(wait)

    def peek(self) -> BudgetView:
        """Return the budget as it is; nothing is locked, created or changed."""
        now, wall = self._clock.boottime(), self._clock.now()
        try:
            state = self._parsed(self._path.read_bytes(), now, wall)
        except OSError:
            state = State(now - self._delay)

        def instant(boottime: float) -> int | None:
            return wall + int((boottime - now) * 1000) if boottime > now else None

        names = {int(priority): priority.name.lower() for priority in Priority}
        waiting = sorted(waiter.priority for waiter in state.waiters if waiter.priority in names)
        return BudgetView(
            self._delay,
            instant(state.ready_at(self._delay)),
            instant(state.blocked_until),
            state.refusals,
            tuple(names[priority] for priority in waiting),
        )

    def _try_turn(self, me: Waiter, deadline: float | None) -> float | None:
        """Return None when it is this waiter's turn, else for how many seconds to sleep before looking again."""
        with self._state() as shared:
            state, now = shared.state.queued(me), shared.now
            ready_at = state.ready_at(self._delay)
            if now >= ready_at:
                state = state.offered(now)
                if state.offered_to != me.id and now - state.offered_at > _GRACE:
                    state = state.left(state.offered_to).offered(now)
            shared.state = state
        if deadline is not None and ready_at > deadline:
            raise self._too_late(state, ready_at, now)
        if now < ready_at:
            return ready_at - now
        return None if state.offered_to == me.id else max(0.002, min(0.02, self._delay / 4))

    def _confirm(self, me: Waiter) -> bool:
        """Take the slot, unless somebody else has taken it, or a block came, in the meantime."""
        with self._state() as shared:
            state = shared.state
            if me not in state.waiters or state.head() != me or shared.now < state.ready_at(self._delay):
                return False
            shared.state, self._granted = state.granted(me, shared.now), me.id
            return True

    def _leave(self, me: Waiter) -> None:
        with self._state() as shared:
            if me in shared.state.waiters:
                shared.state = shared.state.left(me.id)

    def _too_late(self, state: State, ready_at: float, now: float) -> Exception:
        until = iso(self._clock.now() + int((ready_at - now) * 1000))
        if state.blocked_until > now:
            return NotNowError(f"the exchange's rate limit blocks every request until {until}")
        return TimeoutError(f"the next free request is at {until}")

    @contextmanager
    def _state(self, *, durable: bool = False) -> "Iterator[_Shared]":
        """Give the state with the file locked, and write it back if it was changed."""
        with self._guard, self._lock:
            now = self._clock.boottime()
            wall = self._clock.now()
            stored = os.pread(self._lock.fd, _MAX_FILE, 0)
            shared = _Shared(self._parsed(stored, now, wall), now)
            yield shared
            # Over the whole of what was there, in one piece: whoever is killed leaves the old text or the new one.
            text = self._written(shared.state, now, wall).ljust(len(stored))
            if text != stored:
                self._write(text, durable=durable)

    def _write(self, text: bytes, *, durable: bool) -> None:
        try:
            os.pwrite(self._lock.fd, text, 0)
            if durable:
                os.fsync(self._lock.fd)
        except OSError as error:
            raise StorageError(
                f"cannot write {self._path}: {error.strerror}; without it processes cannot share the rate limit: "
                "make room, or set RATE_LIMIT_STATE_PATH to another disk, then run this again"
            ) from error

    def _written(self, state: State, now: float, wall: int) -> bytes:
        block_ends = wall + int((state.blocked_until - now) * 1000) if state.blocked_until > now else 0
        kept = {"boot_id": self._clock.boot_id(), "blocked_until_utc_ms": block_ends, **state._asdict()}
        kept["waiters"] = [waiter._asdict() for waiter in state.waiters]
        return json.dumps(kept, separators=(",", ":")).encode()

    def _parsed(self, stored: bytes, now: float, wall: int) -> State:
        """Return the stored state; what is damaged or missing costs one delay, never a burst."""
        longest = longest_block(self._min_backoff)
        try:
            found = json.loads(stored)
            if found["boot_id"] != self._clock.boot_id():
                # Another boot: its boot time means nothing here, but a block lasts by the wall clock.
                left = min(max(0.0, (_number(found["blocked_until_utc_ms"]) - wall) / 1000), longest)
                return State(now, blocked_until=now + left, refusals=int(found["refusals"]))
            state = State(
                last=_number(found["last"]),
                sender=str(found["sender"]),
                blocked_until=_number(found["blocked_until"]),
                refusals=int(_number(found["refusals"])),
                passed=int(_number(found["passed"])),
                waiters=tuple(
                    Waiter(str(one["id"]), int(one["priority"]), _number(one["since"])) for one in found["waiters"]
                ),
                offered_to=str(found["offered_to"]),
                offered_at=_number(found["offered_at"]),
                connects=tuple(sorted(map(_number, found["connects"]))),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return State(now)
        return state.clamped(now, longest)


@dataclass(slots=True)
class _Shared:
    """The state while the file is locked, and the instant (boot time) of locking."""

    state: State
    now: float


def _number(value: Any) -> float:
    number = float(value)
    if not isfinite(number):
        raise ValueError(value)
    return number
