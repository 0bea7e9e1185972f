"""Which SQLite this is, and what its errors mean to people.

SQLite 3.7.0 to 3.51.2 can lose committed pages when two connections of a WAL database write and checkpoint at
the same instant (fixed in 3.51.3, and in 3.50.7 and 3.44.6). `pysqlite3` brings a newer engine where it is
installed; on any other engine the write lock around every transaction keeps the race out of reach.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mdata.errors import NEXT_ATTEMPT, MdataError, NotNowError, NotPermittedError, StorageError

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import pysqlite3 as sqlite3
    except ImportError:
        import sqlite3

__all__ = [
    "SQLITE_VERSION", "STORAGE", "Connection", "damaged", "has_wal_reset_bug", "missing_group", "sqlite3",
    "storage_errors",
]  # fmt: skip

Connection = sqlite3.Connection

SQLITE_VERSION: str = sqlite3.sqlite_version

# So much of what SQLite says about damage stands in a sentence: it may list every page.
_LONGEST = 200

# What tells of a damaged file; SQLite's message about a damaged schema quotes it, which may not even be text.
STORAGE = (sqlite3.DatabaseError, UnicodeDecodeError)


def has_wal_reset_bug(version: str = SQLITE_VERSION) -> bool:
    """Whether this SQLite can lose pages when two WAL writers meet (see the module's docstring)."""
    numbers = tuple(int(part) for part in version.split("."))
    if numbers[:2] == (3, 44):
        return numbers < (3, 44, 6)
    if numbers[:2] == (3, 50):
        return numbers < (3, 50, 7)
    return (3, 7, 0) <= numbers < (3, 51, 3)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: what happened to which file, and what to do."""
    try:
        yield
    except STORAGE as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: sqlite3.DatabaseError | UnicodeDecodeError) -> MdataError:
    text = "malformed text" if isinstance(error, UnicodeDecodeError) else str(error)
    if "locked" in text or "busy" in text:
        held = f"another program has held {path} for too long to wait for it"
        return NotNowError(f"{held}; {NEXT_ATTEMPT} as soon as that has closed it")
    if "readonly" in text or "unable to open" in text:
        return NotPermittedError(
            f"cannot write {path}: {text}; {missing_group(path) or 'check the owner and mode of the file'}"
        )
    if "full" in text:
        return StorageError(f"the disk is full: {path} keeps what was committed; make room and run this again")
    if "not a database" in text:
        return StorageError(
            f"{path} is no SQLite database, or its beginning is damaged; it was left as it is: set DATABASE_PATH to "
            "another file, or restore a backup"
        )
    if "malformed" in text:
        return damaged(path, text)
    if isinstance(error, sqlite3.OperationalError) and "I/O" in text:
        return StorageError(f"reading or writing {path} failed ({text}); check the disk, then run this again")
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.InterfaceError):
        raise error
    return StorageError(f"the database {path} reports: {text}")


def damaged(path: Path, text: str) -> StorageError:
    """Return the error of a file in which SQLite finds damage, as `text` says."""
    said = " ".join(text.split())
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    return StorageError(
        f"{path} is damaged ({said}); nothing was changed: run `mdata restore FILE` with a backup, which keeps the "
        "damaged store under another name, or move it away and run `mdata backfill`"
    )


def missing_group(path: Path) -> str:
    """Return a sentence that names the group which may use `path`, or an empty text if that is not the matter."""
    import grp

    try:
        folder = path.parent.stat()
        group = grp.getgrgid(folder.st_gid).gr_name
    except (OSError, KeyError):
        return ""
    if not folder.st_mode & stat.S_IWGRP or folder.st_gid in {os.getegid(), *os.getgroups()}:
        return ""
    return f"it belongs to the group {group}: ask for `usermod -aG {group} USER` and log in again"
