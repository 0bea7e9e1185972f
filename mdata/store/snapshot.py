"""One look at the store: opened, read in one transaction, closed.

Nothing stays open between two looks, so that threads and forked processes have nothing to share, and no reader keeps
others from emptying the log.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mdata.errors import NEXT_ATTEMPT, NotNowError, NotThereError, StorageError
from mdata.store.engine import Connection, open_for_reading

T = TypeVar("T")

_LOOKS = 3


def look(path: Path, read: Callable[[Connection], T]) -> T:
    """Return what `read` finds in one state of the store; raise NotThereError where there is none."""
    if not _is_shut(path):
        return _look(path, read, immutable=False)
    for _ in range(_LOOKS):
        found = _look_unlocked(path, read)
        if found is not None:
            return found[0]
    raise NotNowError(f"others keep writing to {path}; {NEXT_ATTEMPT} as soon as they have ended")


def _is_shut(path: Path) -> bool:
    """Whether SQLite could not put its lock file beside the store, and nobody else has put one there."""
    try:
        return path.exists() and not os.access(path.parent, os.W_OK) and not _log(path).exists()
    except OSError:
        return False


def _look_unlocked(path: Path, read: Callable[[Connection], T]) -> tuple[T] | None:
    """Return what `read` finds without any lock, or None if somebody wrote meanwhile.

    Whoever writes makes a log first, and touches the database itself only to move the log into it.
    """
    before = _stamp(path)
    try:
        found = _look(path, read, immutable=True)
    except StorageError:
        if _stamp(path) == before:
            raise
        return None
    return (found,) if _stamp(path) == before else None


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _look(path: Path, read: Callable[[Connection], T], *, immutable: bool) -> T:
    store = open_for_reading(path, immutable=immutable)
    if store is None:
        raise NotThereError(f"there is no store at {path}; `mdata backfill` makes one, DATABASE_PATH says where")
    with store, store.read() as connection:
        return read(connection)
