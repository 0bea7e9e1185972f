"""The rate budget that all processes of a machine share: one small locked JSON file.

The exchange counts requests per IP and not per process, so the last slot, the block after a refusal and the
queue are kept where every process sees them. A caller queues, sleeps with the file unlocked, and takes the slot
when its turn has come. Nothing is handed out in advance, so a process that dies costs at most one slot.
"""

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mdata.clock import Clock
from mdata.domain.budget import Priority, State, Waiter, backoff, longest_block
from mdata.domain.moment import iso
from mdata.errors import NotNowError, StorageError
from mdata.flock import FileLock

if TYPE_CHECKING:
    import random

T = TypeVar("T")

# All within one page of memory, which the kernel writes whole even when the process is killed meanwhile.
_MAX_BYTES = 4096
_MAX_WAITERS = 56  # of those that are written down; the others queue again when they look


@dataclass(frozen=True, slots=True)
class BudgetView:
    """The budget as `status` shows it; instants are ms UTC."""

    delay_seconds: float
    next_request_at: int | None
    blocked_until: int | None
    refusals: int
    waiting: int


class RateLimit:
    """The shared budget in the file at `path`: one request in `delay` seconds, all processes together.

    One object is for one thread; make it after forking. NotPermittedError (the file cannot be opened),
    ConfigurationError (its filesystem has no locks) and StorageError (it cannot be written) end any call.
    """

    def __init__(self, path: Path, delay: float, min_backoff: float, clock: Clock, rng: "random.Random") -> None:
        self._path, self._delay, self._min_backoff = path, delay, min_backoff
        self._clock, self._rng = clock, rng
        self._lock = FileLock(path)
        self._boot_id = clock.boot_id()
        self._me = Waiter(f"{os.getpid()}-{os.urandom(4).hex()}", Priority.BACKFILL, 0.0, 0.0)
        self._deadline: float | None = None
        self._known = (b"", State(0.0))  # what the file held when it was last read or written, and its meaning

    def acquire(
        self,
        priority: Priority,
        plan: Callable[[], T | None],
        deadline: float | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> T | None:
        """Wait for a slot and return what `plan`, called when it has come, wants to ask; it must be sent at once.

        None, when the plan finds nothing to ask, leaves the slot to others. `deadline` is in seconds of boot time:
        raise NotNowError when a block lasts longer, TimeoutError when the turn comes too late. `on_wait` is told
        before each nap in how many seconds the next slot opens.
        """
        self._me = replace(self._me, priority=int(priority), since=self._clock.boottime())
        self._deadline = deadline
        return self._wait(plan, on_wait)

    def sent(self) -> None:
        """Note that the request leaves now: the next slot is one delay after this instant, not after the grant.

        Where the slot was lost, because a block came or the process took longer than a delay to come here, this
        waits for another one; raise NotNowError when that lies after the deadline.
        """
        while not self._depart():
            try:
                self._wait(lambda: True, None)
            except TimeoutError as error:
                raise NotNowError(f"the request was not sent in time: {error}") from error

    def refused(self, retry_after: float | None) -> float:
        """Note that the exchange refused for the rate: nobody sends for the seconds returned, whatever happens."""
        with self._lock:
            state, now = self._read()
            seconds = backoff(state.refusals + 1, retry_after, self._min_backoff, self._rng.uniform)
            state = state.refused(now, seconds)
            self._write(state, now, durable=True)
            return state.blocked_until - now

    def answered(self) -> None:
        """Note an answer that is no refusal: the next refusal is the first in a row again."""
        with self._lock:
            state, now = self._read()
            if state.refusals:
                self._write(replace(state, refusals=0), now)

    def connect(self, deadline: float | None = None) -> None:
        """Wait for a WebSocket connect: 20 a minute for all processes, a budget of their own.

        Raise NotNowError when the next one is free only after `deadline` (seconds of boot time).
        """
        while True:
            with self._lock:
                state, now = self._read()
                state, free = state.connected(now)
                self._write(state, now)
            if free <= now:
                return
            if deadline is not None and free > deadline:
                seconds = f"{free - now:.0f} s"
                raise NotNowError(f"20 connections were opened within a minute; the next is free in {seconds}")
            self._clock.sleep(free - now)

    def peek(self) -> BudgetView:
        """Return the budget as it is; nothing is created or changed. A file that cannot be read counts as new."""
        now, wall = self._clock.boottime(), self._clock.now()
        state = self._parsed(self._glance(), now).clamped(now, longest_block(self._min_backoff))

        def instant(boottime: float) -> int | None:
            return wall + int((boottime - now) * 1000) if boottime > now else None

        opens = instant(state.opens(self._delay))
        return BudgetView(self._delay, opens, instant(state.blocked_until), state.refusals, len(state.waiters))

    def _wait(self, plan: Callable[[], T | None], on_wait: Callable[[float], None] | None) -> T | None:
        try:
            while True:
                nap, opens_in = self._look()
                if nap > 0:
                    if on_wait is not None:
                        on_wait(opens_in)
                    self._clock.sleep(nap)
                    continue
                request = plan()
                if request is None:
                    self._leave()
                    return None
                if self._take():
                    return request
        except BaseException:
            self._leave()
            raise

    def _look(self) -> tuple[float, float]:
        """Queue and return for how long to nap (0: the turn has come) and in how many seconds the slot opens."""
        with self._lock:
            state, now = self._read()
            opens = state.opens(self._delay)
            if self._delay == 0 and opens <= now:  # nothing to share out
                return 0.0, 0.0
            state, look = state.queued(self._me, now, self._delay)
            # Written even by one who gives up: what was clamped on reading must begin to run out.
            self._write(state, now)
            if self._deadline is not None and max(opens, look) > self._deadline:
                self._give_up(max(opens, look) - now, blocked=state.blocked_until > now)
            return look - now, max(0.0, opens - now)

    def _take(self) -> bool:
        """Take the slot, unless somebody who goes first has taken it, or a block came, in the meantime."""
        with self._lock:
            state, now = self._read()
            queued, look = state.queued(self._me, now, self._delay)
            mine = look <= now or (self._delay == 0 and state.opens(0) <= now)
            self._write(queued.taken(self._me, now) if mine else queued, now)
            return mine

    def _depart(self) -> bool:
        with self._lock:
            state, now = self._read()
            after = state.sent(self._me, now, self._delay)
            if after is not None:
                self._write(after, now)
            return after is not None

    def _leave(self) -> None:
        with self._lock:
            state, now = self._read()
            self._write(state.without(self._me), now)

    def _give_up(self, seconds: float, *, blocked: bool) -> None:
        until = iso(self._clock.now() + int(seconds * 1000))
        if blocked:
            raise NotNowError(f"the exchange's rate limit blocks every request until {until}; run this again then")
        raise TimeoutError(f"the next free request is at {until}")

    def _read(self) -> tuple[State, float]:
        """Return the state and the present instant (boot time); the file is locked."""
        now = self._clock.boottime()
        try:
            stored = os.pread(self._lock.fd, _MAX_BYTES + 1, 0)
        except OSError as error:
            raise StorageError(f"cannot read {self._path}: {error.strerror}; remove it or choose another") from error
        if stored != self._known[0] or not stored:
            self._known = (stored, self._parsed(stored, now))
        return self._known[1].clamped(now, longest_block(self._min_backoff)), now

    def _write(self, state: State, now: float, *, durable: bool = False) -> None:
        """Write the state in place, in one piece that covers what was there; the file is locked."""
        state = replace(state, waiters=state.waiters[-_MAX_WAITERS:])
        ends = self._clock.now() + int((state.blocked_until - now) * 1000) if state.blocked_until > now else 0
        kept = {
            "boot_id": self._boot_id,
            "last": state.last,
            "holder": state.holder,
            "blocked_until": state.blocked_until,
            "blocked_until_utc_ms": ends,
            "refusals": state.refusals,
            "passed": state.passed,
            "waiters": [(one.id, one.priority, round(one.since, 3), round(one.back, 3)) for one in state.waiters],
            "connects": [round(time, 3) for time in state.connects],
        }
        before = len(self._known[0])
        text = json.dumps(kept).encode().ljust(min(before, _MAX_BYTES))
        try:
            # Short only when the disk is full, and then not whole: what is there counts as damaged.
            written = os.pwrite(self._lock.fd, text, 0)
            if before > _MAX_BYTES:
                os.ftruncate(self._lock.fd, written)
            if durable:
                os.fsync(self._lock.fd)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}; make room on its disk") from error
        self._known = (text, state)

    def _glance(self) -> bytes:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return b""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return os.read(descriptor, _MAX_BYTES + 1)
        except OSError:
            return b""
        finally:
            os.close(descriptor)

    def _parsed(self, stored: bytes, now: float) -> State:
        """Return the stored state; what is damaged or missing costs one delay, never a burst."""
        if not stored:
            return State(now)  # never used on this machine
        try:
            found = json.loads(stored)
            refusals = int(_number(found["refusals"]))
            if found["boot_id"] != self._boot_id:
                # Its boot time means nothing in this boot, but a block lasts on by the wall clock.
                left = (_number(found["blocked_until_utc_ms"]) - self._clock.now()) / 1000
                return replace(State.unknown(now), blocked_until=now + left, refusals=refusals)
            update, repair, backfill = found["passed"]
            return State(
                _number(found["last"]),
                str(found["holder"])[:40],
                _number(found["blocked_until"]),
                refusals,
                tuple(int(_number(count)) for count in (update, repair, backfill)),
                tuple(
                    Waiter(str(name)[:40], Priority(priority), _number(since), _number(back))
                    for name, priority, since, back in found["waiters"]
                ),
                tuple(sorted(map(_number, found["connects"]))),
            )
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
            return State.unknown(now)


def _number(value: Any) -> float:
    """Return a number that can be counted with; NaN, text and what no clock has ever shown are none."""
    if isinstance(value, bool | str) or not -1e15 < value < 1e15:
        raise ValueError(value)
    return float(value)
