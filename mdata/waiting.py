"""How long this process waits for others, and what it reports meanwhile: one rule for locks and for SQLite.

It waits up to a minute for a lock; `--max-runtime` and a signal limit all waits of the run together. After two
seconds of waiting, it reports for whom it waits. When the time is over, a new wait may still take 0.8 s, so that the
run can record how it ended.
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import Protocol

from mdata.clock import SystemClock
from mdata.errors import Stopped
from mdata.processes import Process

PATIENCE = 60.0  # seconds to wait for a lock
_UNTOLD_SECONDS = 2.0  # seconds before a wait is reported
_LOOK_EVERY = 1.0  # seconds between two checks of who holds the lock
_CLOSING = 0.8  # seconds of waiting that remain when the time is over

_CLOCK = SystemClock()


class WaitingLog(Protocol):
    """Where waits are reported."""

    def notice(self, text: str) -> None:
        """Log what is not a problem."""
        ...

    def warning(self, text: str) -> None:
        """Log what a person should look at."""
        ...


class _Run:
    """The limits of all waits of this process; times are seconds of boot time."""

    def __init__(self) -> None:
        self.log: WaitingLog | None = None
        self.deadline = inf
        self.signal: int | None = None


_RUN = _Run()


def speak_to(log: WaitingLog) -> None:
    """Report waits to `log` from now on."""
    _RUN.log = log


def bound(seconds: float) -> None:
    """End all waits when `seconds` real seconds have passed from now."""
    _RUN.deadline = _CLOCK.boottime() + seconds


def hurry(signal: int) -> None:
    """End all waits, because a signal asks this process to end."""
    _RUN.signal = signal
    _RUN.deadline = min(_RUN.deadline, _CLOCK.boottime())


class Wait:
    """A wait of at most `limit` real seconds for something that other processes hold.

    `since` is the start of an earlier, failed wait for the same thing: the limit counts from then, so that a run that
    is ending because of it does not wait for the full time again.
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
        """Return how many more seconds to wait; 0 or less: no longer."""
        end = min(self.since + self._limit, _RUN.deadline)
        return (end if self._start <= end else end + _CLOSING) - _CLOCK.boottime()

    def pause(self, seconds: float) -> None:
        """Sleep for `seconds`, or for what is left."""
        _CLOCK.sleep(min(seconds, self.left))

    def tell(self, what: str, holders: Callable[[], Iterable[Process]]) -> None:
        """Report after two seconds who holds `what`, and again whenever that changes."""
        if _RUN.log is None or _CLOCK.boottime() < self._look_at:
            return
        self._look_at = _CLOCK.boottime() + _LOOK_EVERY
        found = [*holders()]
        seen = [(one.pid, one.is_stopped) for one in found]
        if seen == self._said or (not seen and self._said):  # it has just been released
            return
        self._said = seen
        say = _RUN.log.warning if any(one.is_stopped for one in found) else _RUN.log.notice
        say(f"waiting for {what}, held by {named(found)}; giving up in {max(0, self.left):.0f} s")

    def end_by_signal(self) -> None:
        """Raise Stopped if a signal ended this wait."""
        if _RUN.signal is not None:
            raise Stopped(_RUN.signal)


def named(holders: Iterable[Process]) -> str:
    """Return the holders for a message."""
    return " and ".join(map(str, holders)) or "a process that is not visible from here"
