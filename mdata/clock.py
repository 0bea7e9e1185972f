"""The only place that reads a clock or sleeps.

Three readings, because each is unreliable in its own way: wall time (integer ms UTC) jumps when the clock is set.
Boot time (seconds) does not jump and keeps counting during suspend, but restarts at each boot. The boot id tells one
boot from another.
"""

import threading
import time
from functools import cache
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """The interface to time for the rest of mdata; passed in everywhere."""

    def now(self) -> int:
        """Return the wall time, ms UTC."""
        ...

    def boottime(self) -> float:
        """Return seconds since boot, suspended time included."""
        ...

    def boot_id(self) -> str:
        """Return what identifies this boot of the machine."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`; a signal handler that raises ends the wait."""
        ...

    def real(self, seconds: float) -> float:
        """Convert `seconds` of this clock to real seconds, for waits that an event, a lock or input can end early."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> int:
        """Return the wall time, ms UTC."""
        return time.time_ns() // 1_000_000

    def boottime(self) -> float:
        """Return seconds since boot, suspended time included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """Return the kernel's random id of this boot."""
        return _boot_id()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        if seconds > 0:
            time.sleep(seconds)

    def real(self, seconds: float) -> float:
        """Return `seconds`: this clock runs in real time."""
        return seconds


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


class RehearsalClock:
    """A clock that runs `speed` times as fast as real time, to simulate hours with the sandbox in minutes.

    `origin_wall` (ms UTC) is what it shows when the machine's boot time is `origin_boot` (s); a sandbox and
    any number of processes that are given the same three numbers agree on the time.
    """

    def __init__(self, origin_wall: int, origin_boot: float, speed: float) -> None:
        self._origin_wall, self._origin_boot, self._speed = origin_wall, origin_boot, speed
        self._system = SystemClock()

    def _elapsed(self) -> float:
        return (self._system.boottime() - self._origin_boot) * self._speed

    def now(self) -> int:
        """Return the rehearsed wall time, ms UTC."""
        return self._origin_wall + int(self._elapsed() * 1000)

    def boottime(self) -> float:
        """Return the rehearsed seconds since boot."""
        return self._origin_boot + self._elapsed()

    def boot_id(self) -> str:
        """Return the machine's boot id."""
        return self._system.boot_id()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of rehearsed time."""
        self._system.sleep(self.real(seconds))

    def real(self, seconds: float) -> float:
        """Return how many real seconds `seconds` of rehearsed time last."""
        return seconds / self._speed


class Halted(BaseException):
    """A wait was ended because the run is over; like a signal, this is not an error."""


class HaltingClock:
    """Wraps a clock for several threads: setting `halt` wakes every sleeper with `Halted`."""

    def __init__(self, clock: Clock, halt: threading.Event) -> None:
        self._clock, self._halt = clock, halt
        self.now, self.boottime, self.boot_id, self.real = clock.now, clock.boottime, clock.boot_id, clock.real

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, or raise Halted."""
        if self._halt.wait(max(0.0, self.real(seconds))):
            raise Halted
