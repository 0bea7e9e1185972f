"""An exclusive lock on a file, which the kernel takes back when its owner dies, however it dies."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from mdata.clock import Clock
from mdata.errors import ConfigurationError
from mdata.files import open_shared

POLL = 0.05  # seconds between two tries of a wait that ends, at most; one without end sleeps in the kernel


class FileLock:
    """An exclusive lock on the file at `path`; `with FileLock(path):` waits for it without end.

    Two objects exclude each other, in one process too; one object is for one thread. Taking a lock that the
    object already holds succeeds at once, so that clean-up after a signal cannot block on itself. The
    descriptor stays open between uses, which makes the next use cost two system calls; `close` ends that.
    The file is never removed: whoever waited for it would then hold a lock that nobody else sees.
    """

    __slots__ = ("_identity", "fd", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1
        self._identity = (0, 0)

    def acquire(self, timeout: float | None = None, clock: Clock | None = None) -> bool:
        """Take the lock and return whether that succeeded within `timeout` seconds of `clock`.

        None waits without end; 0, or a timeout without a clock, tries once. Raise NotPermittedError when the
        file cannot be opened and ConfigurationError when its filesystem has no locks.
        """
        if timeout is None:
            return self._take(fcntl.LOCK_EX)
        until = clock.boottime() + timeout if clock else 0.0
        pause = POLL / 32  # at first, for whoever only looks holds it for an instant
        while not self._take(fcntl.LOCK_EX | fcntl.LOCK_NB):
            left = until - clock.boottime() if clock else 0.0
            if clock is None or left <= 0:
                return False
            clock.sleep(min(left, pause))
            pause = min(2 * pause, POLL)
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self.fd >= 0:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_UN)
            except OSError:
                # With the descriptor goes the lock, on a disk that fails too.
                self.close()

    def close(self) -> None:
        """Give the lock back and close the file."""
        descriptor, self.fd = self.fd, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _take(self, operation: int) -> bool:
        while True:
            if self.fd < 0:
                self.fd = open_shared(self.path)
                status = os.fstat(self.fd)
                self._identity = (status.st_dev, status.st_ino)
            try:
                fcntl.flock(self.fd, operation)
            except BlockingIOError:
                return False
            except OSError as error:
                raise ConfigurationError(
                    f"cannot lock {self.path}: {error.strerror}; its filesystem (a network share?) has no "
                    "usable locks: choose a path on a local disk in the settings"
                ) from error
            if self._bears_the_name():
                return True
            self.close()

    def _bears_the_name(self) -> bool:
        # Somebody may have removed the file while it was open here; others then lock the new one.
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock on `path` now; creates nothing, and says no where the file cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that those who look do not take one another for a holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
