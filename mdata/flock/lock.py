"""An exclusive lock on a file, which the kernel takes back when its owner dies, however it dies."""

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

# Seconds between two looks, while waiting, at the time and at what is asked of this process.
POLL = 0.05


class FileLock:
    """An exclusive lock on the file at `path`; `with FileLock(path):` is for what others wait for, and short.

    It waits as `waiting` says, raises NotNowError when that was in vain, and keeps Ctrl-Z off as long as it is held.
    Two objects exclude each other, in one process too; one object is for one thread. Taking a lock that the
    object already holds succeeds at once, so that clean-up after a signal cannot block on itself. The
    descriptor stays open between uses, which makes the next use cost two system calls; `close` ends that, or the
    end of the object, as for Python's own files.
    The file is never removed: whoever waited for it would then hold a lock that nobody else sees.
    """

    __slots__ = ("_identity", "_since", "fd", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1
        self._identity = (0, 0)
        self._since: float | None = None

    def acquire(self, timeout: float | None = None) -> bool:
        """Take the lock and return whether that succeeded within `timeout` seconds of life; 0 tries once.

        None waits as `waiting` says. Raise NotPermittedError when the file cannot be opened and
        ConfigurationError when its filesystem has no locks.
        """
        return self._acquire(timeout, is_brief=False)

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
        """Hold the lock if nobody else does, and give whether that is so; Ctrl-Z is kept off meanwhile."""
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
            f"{self.path} is held by {named(holders(self.path))}, for too long to wait for it",
            next_attempt=when("that has given it back"),
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
        """Wait until it is this object's turn, and perhaps it is no more when this returns, or for long enough."""
        turn = _turn(self.fd)
        try:
            while wait.left > 0 and not turn.wait(min(POLL, wait.left)):
                wait.tell(str(self.path), lambda: holders(self.path))
                if is_brief and SUSPENSION.is_wanted:
                    self.close()
                    SUSPENSION.free()
                    try:
                        wait.pause(POLL)  # here it is stopped
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
                    f"cannot lock {self.path}: {error.strerror}; its filesystem (a network share?) has no "
                    "usable locks: choose a path on a local disk in the settings"
                ) from error
            if self._bears_the_name():
                return True
            self.close()

    def _bears_the_name(self) -> bool:
        # Somebody may have removed the file while it was open here; others then lock the new one.
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
            message = f"cannot look at {self.path}: {error.strerror}; check the owner and mode of its folder"
            raise NotPermittedError(message) from error
        except OSError as error:
            message = f"cannot look at {self.path}: {error.strerror}; check the disk, then run this again"
            raise StorageError(message) from error


def _turn(descriptor: int) -> threading.Event:
    """Stand in the kernel's line for the lock, in a thread, and return what is set when the lock was given.

    The line is in order and wakes at once, where trying again and again starves; and a call that waits in it can be
    ended by nothing but a signal. The thread has a descriptor of its own for the same open file: it holds the lock
    for whoever has the other one, and when that has been closed, the lock ends with the thread.
    """
    turn, own = threading.Event(), os.dup(descriptor)

    def stand() -> None:
        with suppress(OSError):  # whoever waits tries it, too, and says what is wrong
            fcntl.flock(own, fcntl.LOCK_EX)
        os.close(own)
        turn.set()

    try:
        threading.Thread(target=stand, daemon=True).start()
    except RuntimeError:  # the system has no thread left: the lock is tried again from time to time
        os.close(own)
    return turn
