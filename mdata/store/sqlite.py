"""Which SQLite this is, and what its errors mean to people.

SQLite 3.7.0 to 3.51.2 can lose committed pages when two connections of a WAL database write and checkpoint at
the same instant (fixed in 3.51.3, and in 3.50.7 and 3.44.6). `pysqlite3` brings a newer engine where it is
installed; on any other engine the write lock around every transaction keeps the race out of reach.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from mdata.errors import NEXT_ATTEMPT, MdataError, NotNowError, NotPermittedError, StorageError
from mdata.processes import holders
from mdata.waiting import Wait, named

if TYPE_CHECKING:
    import sqlite3

    _OPTIONS: dict[str, Any] = {}
else:
    try:
        import pysqlite3 as sqlite3

        # Extended result codes, which the standard library always gives: SQLITE_OPEN_EXRESCODE.
        _OPTIONS = {"flags": sqlite3.SQLITE_OPEN_READWRITE | 0x02000000}
    except ImportError:
        import sqlite3

        _OPTIONS = {}

__all__ = [
    "SQLITE_VERSION", "STORAGE", "Connection", "connect", "damaged", "has_wal_reset_bug", "is_busy", "missing_group",
    "sqlite3", "storage_errors",
]  # fmt: skip

SQLITE_VERSION: str = sqlite3.sqlite_version

# So much of what SQLite says about damage stands in a sentence: it may list every page.
_LONGEST = 200

# What tells of a damaged file; SQLite's message about a damaged schema quotes it, which may not even be text.
STORAGE = (sqlite3.DatabaseError, UnicodeDecodeError)

# SQLite itself is left to wait for so long (s): a signal acts only when it returns.
_AT_A_TIME = 0.1
_BETWEEN = 0.02

# Result codes (https://sqlite.org/rescode.html): the lowest byte tells the kind, the rest what exactly.
_PERM, _BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _CONSTRAINT, _NOTADB = (
    3, 5, 6, 8, 10, 11, 13, 14, 19, 26
)  # fmt: skip
_BUSY_SNAPSHOT, _READONLY_DBMOVED, _CONSTRAINT_TRIGGER = 517, 1032, 1811


def has_wal_reset_bug(version: str = SQLITE_VERSION) -> bool:
    """Whether this SQLite can lose pages when two WAL writers meet (see the module's docstring)."""
    numbers = tuple(int(part) for part in version.split("."))
    if numbers[:2] == (3, 44):
        return numbers < (3, 44, 6)
    if numbers[:2] == (3, 50):
        return numbers < (3, 50, 7)
    return (3, 7, 0) <= numbers < (3, 51, 3)


class Connection(sqlite3.Connection):
    """A connection that waits for others in small steps, so that a signal or a time limit can end that.

    `limit` is for how many seconds at most; None waits as `waiting` says.
    """

    path: Path
    limit: float | None = None
    _since: float | None = None  # when waiting began that was in vain

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor that waits so."""
        return super().cursor(factory or _Cursor)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement, waiting for others where need be."""
        cursor: sqlite3.Cursor = self.cursor()
        return cursor.execute(sql, parameters)

    def tries(self, sql: str) -> bool:
        """Execute a statement once, and return whether no other program was in the way."""
        try:
            super().cursor().execute(sql).fetchall()
        except sqlite3.DatabaseError as error:
            if is_busy(error):
                return False
            raise
        self._since = None
        return True

    def wait(self) -> Wait:
        """Begin to wait for those that are in the way."""
        return Wait(self.limit, self._since)

    def pause(self, wait: Wait) -> None:
        """Go on waiting for a moment; raise NotNowError when it is enough."""
        log = self.path.with_name(f"{self.path.name}-shm")
        if wait.left > 0:
            wait.tell(str(self.path), lambda: holders(self.path, log))
            wait.pause(_BETWEEN)
            return
        self._since = wait.since
        wait.end_by_signal()
        raise NotNowError(
            f"another program has held {self.path} for too long to wait for it: {named(holders(self.path, log))}; "
            f"{NEXT_ATTEMPT} as soon as that has closed it"
        )


class _Cursor(sqlite3.Cursor):
    """A cursor that waits as its connection does."""

    connection: Connection

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        """Execute a statement, waiting for others where need be."""
        wait = None
        while True:
            try:
                return super().execute(sql, parameters)
            except sqlite3.DatabaseError as error:
                if not is_busy(error):
                    raise
            wait = wait or self.connection.wait()
            self.connection.pause(wait)


def connect(path: Path, mode: str, limit: float | None = None) -> Connection:
    """Open the database with the `mode` of an SQLite URI."""
    from mdata.store.minimum import refuse_old_engine

    refuse_old_engine()
    with storage_errors(path):
        connection: Connection = sqlite3.connect(
            f"file:{quote(bytes(path))}?mode={mode}",
            uri=True, timeout=_AT_A_TIME, isolation_level=None, cached_statements=256, factory=Connection, **_OPTIONS,
        )  # fmt: skip
    connection.path, connection.limit = path, limit
    return connection


def is_busy(error: Exception) -> bool:
    """Whether another program is in the way of a statement, which may succeed when it is executed again."""
    code = _code(error)
    return code & 0xFF == _BUSY and code != _BUSY_SNAPSHOT


def _code(error: Exception) -> int:
    """Return SQLite's extended result code, or 0 for what is no error of SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: what happened to which file, and what to do."""
    try:
        yield
    except STORAGE as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: sqlite3.DatabaseError | UnicodeDecodeError) -> Exception:
    """Return what an error is to people, by its code: the text may quote what somebody else has written."""
    if isinstance(error, UnicodeDecodeError):
        return damaged(path, "malformed text")
    code = _code(error)
    sentence = _OF_CODE.get(code) or _OF_CODE.get(code & 0xFF)
    if sentence is not None:
        return sentence(path, str(error))
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError) or code & 0xFF == _CONSTRAINT:
        return error  # a bug of ours
    return StorageError(f"the database {path} reports: {error}")


def _held(path: Path, _: str) -> MdataError:
    held = f"another program has held {path} for too long to wait for it"
    return NotNowError(f"{held}; {NEXT_ATTEMPT} as soon as that has closed it")


def _refused(path: Path, text: str) -> MdataError:
    advice = missing_group(path) or "check the owner and mode of the file"
    return NotPermittedError(f"cannot write {path}: {text}; {advice}")


def _moved(path: Path, _: str) -> MdataError:
    return StorageError(
        f"{path} was moved, replaced or removed while it was open; what was committed is in the old file"
    )


def _full(path: Path, _: str) -> MdataError:
    return StorageError(f"the disk is full: {path} keeps what was committed; make room and run this again")


def _failed(path: Path, text: str) -> MdataError:
    return StorageError(f"reading or writing {path} failed ({text}); check the disk, then run this again")


def _foreign(path: Path, _: str) -> MdataError:
    return StorageError(
        f"{path} is no SQLite database, or its beginning is damaged; it was left as it is: set DATABASE_PATH to "
        "another file, or restore a backup"
    )


def _vetoed(path: Path, text: str) -> MdataError:
    return StorageError(
        f"a trigger in {path} refuses what is written ({text}); it is none of mdata's: drop it, or have it allow this"
    )


def damaged(path: Path, text: str) -> StorageError:
    """Return the error of a file in which SQLite finds damage, as `text` says."""
    said = " ".join(text.split())
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    return StorageError(
        f"{path} is damaged ({said}); nothing was changed: run `mdata restore FILE` with a backup, which keeps the "
        "damaged store under another name, or move it away and run `mdata backfill`"
    )


# By extended code, else by its lowest byte, which tells the kind: https://sqlite.org/rescode.html
_OF_CODE: dict[int, Callable[[Path, str], MdataError]] = {
    _PERM: _refused,
    _BUSY: _held,
    _LOCKED: _held,
    _READONLY: _refused,
    _READONLY_DBMOVED: _moved,
    _IOERR: _failed,
    _CORRUPT: damaged,
    _FULL: _full,
    _CANTOPEN: _refused,
    _CONSTRAINT_TRIGGER: _vetoed,
    _NOTADB: _foreign,
}


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
