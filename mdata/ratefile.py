"""The file of the shared rate budget: locked while it is changed, shown without a lock, and never trusted."""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mdata.clock import Clock
from mdata.domain.budget import State
from mdata.domain.pace import Pace
from mdata.domain.record import Instant, decode, encode
from mdata.errors import ConfigurationError, NotPermittedError, StorageError
from mdata.files import shared_mode
from mdata.flock.lock import FileLock

_MAX_BYTES = 64 * 1024
# This marker exists from the first use on, so that a lost file is not mistaken for one that never existed.
_USED = ".used"


class Shared:
    """The state while the file is locked, and the instant (boot time) of locking.

    `problem` says why `look` could not read the file.
    """

    __slots__ = ("now", "problem", "state")

    def __init__(self, state: State, now: float, problem: str | None = None) -> None:
        self.state, self.now, self.problem = state, now, problem


class RateFile:
    """The state in the file at `path`, read by a process of this `pace`; no block lasts over `longest_block` s."""

    def __init__(self, path: Path, pace: Pace, longest_block: float, clock: Clock) -> None:
        self._path, self._pace, self._longest_block, self._clock = path, pace, longest_block, clock
        self._lock = FileLock(path)
        # A file lock is for one thread: threads take turns. The clean-up after a signal may find the guard held by
        # its own thread.
        self._guard = threading.RLock()
        self._is_marked = False
        self._written = b"", "", State(0.0)  # the newest text of this process, which need not be decoded again

    @contextmanager
    def locked(self, *, durable: bool = False) -> Iterator[Shared]:
        """Yield the state with the file locked, and write it back if it was changed."""
        try:
            with self._guard, self._lock:
                here = self._here()
                stored = self._read(self._lock.fd)
                is_first = self._is_marked_now() and not stored
                shared = Shared(self._state(stored, here, is_first=is_first), here.now)
                yield shared
                # One write over the whole old text: a kill leaves the old text or the new one.
                text = encode(shared.state, here).ljust(len(stored))
                if text != stored:
                    os.pwrite(self._lock.fd, text, 0)
                    self._written = text, here.boot_id, shared.state
                    if durable:
                        os.fsync(self._lock.fd)
        except PermissionError as error:
            raise NotPermittedError(
                f"cannot use {self._path}: {error.strerror}; check the owner and mode of the file and its folder"
            ) from error
        except OSError as error:
            raise StorageError(
                f"cannot use {self._path}: {error.strerror}; without this file, processes cannot share the rate "
                "limit: free some space, check the disk, or set RATE_LIMIT_STATE_PATH to another file, then run "
                "this again"
            ) from error

    def look(self) -> Shared:
        """Return the current state without locking, creating, changing or waiting for anything."""
        here, stored, is_first, problem = self._here(), b"", False, None
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                stored = self._read(descriptor)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            is_first = not os.path.lexists(self._witness)
        except OSError as error:
            problem = f"cannot read {self._path}, the file of the rate budget: {error.strerror}"
        except ConfigurationError as error:
            problem = str(error)
        return Shared(self._state(stored, here, is_first=is_first), here.now, problem)

    def _here(self) -> Instant:
        return Instant(self._clock.boot_id(), self._clock.boottime(), self._clock.now())

    def _state(self, stored: bytes, here: Instant, *, is_first: bool) -> State:
        if is_first:
            return State(here.now)
        text, boot_id, state = self._written
        if stored == text and here.boot_id == boot_id and not state.connects:
            return state
        return decode(stored, here, self._pace, self._longest_block)

    def _read(self, descriptor: int) -> bytes:
        """Return the content; raise ConfigurationError if it is not a regular file (a pipe, a device)."""
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigurationError(f"{self._path} is not a regular file: set RATE_LIMIT_STATE_PATH to a file")
        return os.pread(descriptor, _MAX_BYTES, 0)

    def _is_marked_now(self) -> bool:
        """Mark the file as used, and return whether this was its first use."""
        if self._is_marked:
            return False
        self._is_marked = True
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(self._witness, flags, 0o600)
            # Whatever the umask: others of the group share the budget too.
            os.fchmod(descriptor, shared_mode(self._path.parent))
            os.close(descriptor)
            return True
        return False

    @property
    def _witness(self) -> Path:
        return self._path.with_name(self._path.name + _USED)


def own_name(uniform: Callable[[float, float], float]) -> str:
    """Return a name for a waiter of this process, from which others can tell whether it is still alive."""
    return f"{os.getpid()}-{_namespace()}-{int(uniform(0, 2**48)):x}"


def is_dead(waiter: str) -> bool:
    """Whether the process of this waiter has ended.

    False for a process in another container, which is not visible here.
    """
    pid, _, rest = waiter.partition("-")
    if rest.partition("-")[0] != _namespace() or not pid.isdecimal() or not _namespace():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    # A zombie: it has ended, but its parent has not collected it yet.
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] in {b"Z", b"X"}
    return False


@cache
def _namespace() -> str:
    """Return the id of the pid namespace of this process; empty if that is hidden."""
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    return ""
