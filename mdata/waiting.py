"""For how long this process waits for others, and what it says meanwhile: one rule for locks and for SQLite.

A lock is waited for a minute; `--max-runtime` and a signal bound all waits of the run together. Whoever waits for
longer than two seconds says for whom. When the time is over a last second is left, so that a run can still write
down how it ended.
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import Protocol

from mdata.clock import SystemClock
from mdata.errors import Stopped
from mdata.processes import Process

PATIENCE = 60.0  # seconds that a lock is waited for
_UNTOLD_SECONDS = 2.0  # seconds that a wait may last before it is spoken of
_LOOK_EVERY = 1.0  # seconds between two looks at who holds what is waited for
_CLOSING = 0.8  # seconds of waiting that are left when the time is over

_CLOCK = SystemClock()


class WaitingLog(Protocol):
    """Where a wait is spoken of."""

    def notice(self, text: str) -> None:
        """Say what is no fault."""
        ...

    def warning(self, text: str) -> None:
        """Say what somebody should look at."""
        ...


class _Run:
    """What bounds all waits of this process; times are seconds of boot time."""

    def __init__(self) -> None:
        self.log: WaitingLog | None = None
        self.deadline = inf
        self.signal: int | None = None


_RUN = _Run()


def speak_to(log: WaitingLog) -> None:
    """Speak of waits to `log` from now on."""
    _RUN.log = log


def bound(seconds: float) -> None:
    """Let all waits together end when `seconds` of life have passed from now."""
    _RUN.deadline = _CLOCK.boottime() + seconds


def hurry(signal: int) -> None:
    """End all waits: a signal asks this process to end."""
    _RUN.signal = signal
    _RUN.deadline = min(_RUN.deadline, _CLOCK.boottime())


class Wait:
    """A wait of at most `limit` seconds of life for what other processes hold.

    `since` is when waiting for the same began, if that was in vain: a run that ends because of it does not wait
    for as long again.
    """

    __slots__ = ("_limit", "_look_at", "_said", "_start", "since")

    def __init__(self, limit: float | None = None, since: float | None = None) -> None:
        self._limit = PATIENCE if limit is None else limit
        self._start = _CLOCK.boottime()
        self.since = self._start if since is None else since
        self._look_at = self._start + _UNTOLD_SECONDS
        self._said: list[tuple[int, bool]] | None = None

    @property
    def left(self) -> float:
        """Return for how many more seconds to wait; 0 or less when it is enough."""
        end = min(self.since + self._limit, _RUN.deadline)
        return (end if self._start <= end else end + _CLOSING) - _CLOCK.boottime()

    def pause(self, seconds: float) -> None:
        """Sleep for so long, or for what is left."""
        _CLOCK.sleep(min(seconds, self.left))

    def tell(self, what: str, holders: Callable[[], Iterable[Process]]) -> None:
        """Say after two seconds who holds `what`, and again whenever that changes."""
        if _RUN.log is None or _CLOCK.boottime() < self._look_at:
            return
        self._look_at = _CLOCK.boottime() + _LOOK_EVERY
        found = [*holders()]
        seen = [(one.pid, one.is_stopped) for one in found]
        if seen == self._said or (not seen and self._said):  # it was given back just now
            return
        self._said = seen
        say = _RUN.log.warning if any(one.is_stopped for one in found) else _RUN.log.notice
        say(f"waiting for {what}, held by {named(found)}; giving up in {max(0, self.left):.0f} s")

    def end_by_signal(self) -> None:
        """Raise Stopped when it was a signal that ended this wait."""
        if _RUN.signal is not None:
            raise Stopped(_RUN.signal)


def named(holders: Iterable[Process]) -> str:
    """Return the holders for a sentence."""
    return " and ".join(map(str, holders)) or "a process that cannot be seen from here"
