"""An exclusive lock on a file, which the kernel releases when its owner dies for any reason."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mdata.domain.next_attempt import when
from mdata.errors import ConfigurationError, NotNowError, NotPermittedError, StorageError
from mdata.files import open_shared
from mdata.flock.suspension import SUSPENSION
from mdata.processes import holders
from mdata.waiting import Wait, named

# Seconds between two checks, while waiting, of the time and of signals.
POLL = 0.05


class FileLock:
    """An exclusive lock on the file at `path`; `with FileLock(path):` is for short work that others wait for.

    The `with` statement waits as `waiting` says, raises NotNowError if it does not get the lock, and delays Ctrl-Z
    while the lock is held. Two objects exclude each other, even in one process; one object is for one thread. Taking
    a lock that the object already holds succeeds at once, so that clean-up after a signal cannot block on itself. The
    descriptor stays open between uses, so that the next use costs only two system calls; `close`, or the end of the
    object, closes it. The file is never removed: a process that waited for it would then hold a lock that nobody else
    sees.
    """

    __slots__ = ("_identity", "_since", "fd", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1
        self._identity = (0, 0)
        self._since: float | None = None

    def acquire(self, timeout: float | None = None) -> bool:
        """Take the lock and return whether that succeeded within `timeout` real seconds; 0 tries once.

        If `timeout` is None, wait as long as `waiting` allows. Raise NotPermittedError if the file cannot be opened,
        and ConfigurationError if its file system does not support locks.
        """
        return self._acquire(timeout, is_brief=False)

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self.fd >= 0:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_UN)
            except OSError:
                # Closing the descriptor releases the lock, even if the disk fails.
                self.close()

    def close(self) -> None:
        """Release the lock and close the file."""
        descriptor, self.fd = self.fd, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Self:
        SUSPENSION.hold()
        is_held = False
        try:
            is_held = self._acquire(None, is_brief=True)
        finally:
            if not is_held:
                SUSPENSION.free()
        if not is_held:
            raise self._busy()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        SUSPENSION.free()

    @contextmanager
    def at_once(self) -> Iterator[bool]:
        """Hold the lock if it is free, and yield whether it is held; Ctrl-Z is delayed meanwhile."""
        SUSPENSION.hold()
        try:
            is_held = self.acquire(0)
            try:
                yield is_held
            finally:
                if is_held:
                    self.release()
        finally:
            SUSPENSION.free()

    def _busy(self) -> NotNowError:
        return NotNowError(
            f"{self.path} has been locked for too long by {named(holders(self.path))}",
            next_attempt=when("it is released"),
        )

    def _acquire(self, timeout: float | None, *, is_brief: bool) -> bool:
        wait = Wait(timeout, self._since if timeout is None else None)
        while not self._take():
            if wait.left <= 0:
                self._since = wait.since
                wait.end_by_signal()
                return False
            self._stand_in_line(wait, is_brief=is_brief)
        self._since = None
        return True

    def _stand_in_line(self, wait: Wait, *, is_brief: bool) -> None:
        """Wait until the kernel grants the lock, or until the time limit; then the caller tries to take it again."""
        turn = _turn(self.fd)
        try:
            while wait.left > 0 and not turn.wait(min(POLL, wait.left)):
                wait.tell(str(self.path), lambda: holders(self.path))
                if is_brief and SUSPENSION.is_wanted:
                    self.close()
                    SUSPENSION.free()
                    try:
                        wait.pause(POLL)  # the process is stopped here
                    finally:
                        SUSPENSION.hold()
                    return
        except BaseException:
            self.close()
            raise
        if not turn.is_set():
            self.close()

    def _take(self) -> bool:
        while True:
            if self.fd < 0:
                self.fd = open_shared(self.path)
                status = self._look(lambda: os.fstat(self.fd))
                self._identity = (status.st_dev, status.st_ino)
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError as error:
                raise ConfigurationError(
                    f"cannot lock {self.path}: {error.strerror}; its file system (a network share?) does not "
                    "support locks: set a path on a local disk"
                ) from error
            if self._bears_the_name():
                return True
            self.close()

    def _bears_the_name(self) -> bool:
        # If the file was removed while it was open here, others lock the new one.
        try:
            status = self._look(self.path.lstat)
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _look(self, look: Callable[[], os.stat_result]) -> os.stat_result:
        try:
            return look()
        except FileNotFoundError:
            raise
        except PermissionError as error:
            message = f"cannot access {self.path}: {error.strerror}; check the owner and mode of its folder"
            raise NotPermittedError(message) from error
        except OSError as error:
            message = f"cannot access {self.path}: {error.strerror}; check the disk, then run this again"
            raise StorageError(message) from error


def _turn(descriptor: int) -> threading.Event:
    """Wait in the kernel's queue for the lock, in a thread; return an event that is set when the lock is granted.

    The kernel's queue is fair and wakes at once, while polling can starve; but a call that waits in this queue can
    only be ended by a signal. The thread has its own descriptor of the same open file, and therefore takes the lock
    for the owner of the other descriptor. If the other descriptor has been closed, the lock ends with the thread.
    """
    turn, own = threading.Event(), os.dup(descriptor)

    def stand() -> None:
        with suppress(OSError):  # the thread that called `_turn` tries the lock too, and reports the error
            fcntl.flock(own, fcntl.LOCK_EX)
        os.close(own)
        turn.set()

    try:
        threading.Thread(target=stand, daemon=True).start()
    except RuntimeError:  # the system has no thread left: the lock is tried again from time to time
        os.close(own)
    return turn
