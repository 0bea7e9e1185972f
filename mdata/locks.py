"""The lock of each subcommand: two runs of one command on one store never overlap.

The kernel takes a lock back when its owner dies, so there is nothing stale to judge; who holds one is written
into its file for people to read.
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

# Every note is written over the whole of the one before it, in one piece: nobody reads half of one.
_NOTE_BYTES = 128


class Holder(NamedTuple):
    """Who holds a command's lock; `since` is ISO 8601. None where the note in the file cannot be read."""

    pid: int | None
    since: str | None


@contextmanager
def command_lock(database: Path, command: str, wait: float, clock: Clock) -> Iterator[None]:
    """Hold the lock of `command` on the store at `database`; raise NotNowError when others hold it for `wait` s."""
    lock, began = FileLock(_path(database, command)), clock.boottime()
    try:
        # Somebody who only looks whether a command runs holds its lock for an instant.
        if not lock.acquire(max(clock.real(wait), 2 * POLL)):
            raise _busy(database, command, _read(lock.path), clock.boottime() - began)
        note = {"pid": os.getpid(), "command": command, "since": iso(clock.now())}
        with suppress(OSError):  # a full disk: it is the kernel that holds the lock, the note is for people
            os.pwrite(lock.fd, json.dumps(note).encode().ljust(_NOTE_BYTES - 1) + b"\n", 0)
        yield
    finally:
        lock.close()


def holder(database: Path, command: str) -> Holder | None:
    """Return who runs `command` on the store right now, or None; nothing is created or changed."""
    path = _path(database, command)
    return _read(path) if is_locked(path) else None


def _path(database: Path, command: str) -> Path:
    return database.with_name(f"{database.name}.{command}.lock")


def _busy(database: Path, command: str, by: Holder, seconds: float) -> NotNowError:
    waited = f"; waited {seconds:.0f} s" if seconds >= 1 else ""
    if by.pid is None:
        return NotNowError(
            f"another `mdata {command}` is at work on {database}{waited}", next_attempt=when("that has ended")
        )
    stopped = process(by.pid).is_stopped
    advice = f"`kill -CONT {by.pid}` lets it go on" if stopped else f"`kill {by.pid}` ends it, and nothing is lost"
    return NotNowError(
        f"another `mdata {command}` is at work on {database} (process {by.pid}, since {by.since}"
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
