"""The lock of each subcommand: two runs of one command on one store never overlap.

The kernel takes a lock back when its owner dies, so there is nothing stale to judge; who holds one is written
into its file for people to read.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mdata.clock import Clock
from mdata.domain.moment import iso
from mdata.errors import NotNowError
from mdata.flock import FileLock


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a command's lock; `since` is ISO 8601."""

    pid: int
    since: str


@contextmanager
def command_lock(database: Path, command: str, wait: float, clock: Clock) -> Iterator[None]:
    """Hold the lock of `command` on the store at `database`; raise NotNowError when others hold it for `wait` s."""
    lock = FileLock(_path(database, command))
    try:
        if not lock.acquire(wait, clock):
            held_by = _read(lock.path)
            who = f"process {held_by.pid}, since {held_by.since}" if held_by else "another process"
            raise NotNowError(
                f"another `mdata {command}` is at work on {database} ({who}); it was left to it after {wait:g} s"
            )
        note = json.dumps({"pid": os.getpid(), "since": iso(clock.now())}).encode()
        os.ftruncate(lock.fd, 0)
        os.pwrite(lock.fd, note, 0)
        yield
    finally:
        lock.close()


def holder(database: Path, command: str) -> Holder | None:
    """Return who runs `command` on the store right now, or None."""
    path = _path(database, command)
    if not path.exists():
        return None
    lock = FileLock(path)
    try:
        return None if lock.acquire(0) else _read(path)
    finally:
        lock.close()


def _path(database: Path, command: str) -> Path:
    return database.with_name(f"{database.name}.{command}.lock")


def _read(path: Path) -> Holder | None:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return Holder(int(note["pid"]), str(note["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
