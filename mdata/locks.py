"""The lock of each subcommand: two runs of one command on one store never overlap.

The kernel releases a lock when its owner dies, so no lock is ever stale; the file names the owner for people.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from mdata.clock import Clock
from mdata.domain.next_attempt import when
from mdata.domain.times import iso
from mdata.errors import NotNowError
from mdata.flock.lock import POLL, FileLock
from mdata.flock.looking import is_locked
from mdata.processes import process

# Every note overwrites the whole of the previous one in a single write, so nobody reads half a note.
_NOTE_BYTES = 128


class Holder(NamedTuple):
    """The process that holds a command's lock; `since` is ISO 8601.

    Both are None if the note in the file cannot be read.
    """

    pid: int | None
    since: str | None


@contextmanager
def command_lock(database: Path, command: str, wait: float, clock: Clock) -> Iterator[None]:
    """Hold the lock of `command` on the store at `database`; raise NotNowError if it is not free within `wait` s."""
    lock, began = FileLock(_path(database, command)), clock.boottime()
    try:
        # Even without a wait, the lock is tried for two polls: a process that only checks whether a command runs
        # takes the lock of that command for an instant.
        if not lock.acquire(max(clock.real(wait), 2 * POLL)):
            raise _busy(database, command, _read(lock.path), clock.boottime() - began)
        note = {"pid": os.getpid(), "command": command, "since": iso(clock.now())}
        with suppress(OSError):  # the disk is full: the kernel holds the lock, the note is only information
            os.pwrite(lock.fd, json.dumps(note).encode().ljust(_NOTE_BYTES - 1) + b"\n", 0)
        yield
    finally:
        lock.close()


def holder(database: Path, command: str) -> Holder | None:
    """Return which process runs `command` on the store now, or None; nothing is created or changed."""
    path = _path(database, command)
    return _read(path) if is_locked(path) else None


def _path(database: Path, command: str) -> Path:
    return database.with_name(f"{database.name}.{command}.lock")


def _busy(database: Path, command: str, by: Holder, seconds: float) -> NotNowError:
    waited = f"; waited {seconds:.0f} s" if seconds >= 1 else ""
    if by.pid is None:
        return NotNowError(
            f"another `mdata {command}` is running on {database}{waited}", next_attempt=when("it has ended")
        )
    stopped = process(by.pid).is_stopped
    advice = f"`kill -CONT {by.pid}` resumes it" if stopped else f"`kill {by.pid}` ends it without losing anything"
    return NotNowError(
        f"another `mdata {command}` is running on {database} (process {by.pid}, since {by.since}"
        f"{', stopped' if stopped else ''}){waited}; {advice}",
        next_attempt=when("it has ended"),
    )


def _read(path: Path) -> Holder:
    try:
        with path.open("rb") as stream:
            note = json.loads(stream.read(_NOTE_BYTES))
        pid, since = int(note["pid"]), str(note["since"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return Holder(None, None)
    return Holder(pid, since if since.isprintable() else None)
