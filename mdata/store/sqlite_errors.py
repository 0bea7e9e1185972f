"""What SQLite's errors mean for the user."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mdata.domain.next_attempt import when
from mdata.errors import MdataError, NotNowError, NotPermittedError, StorageError
from mdata.store.sqlite import sqlite3

# How many characters of SQLite's text about damage a message contains: it may list every page.
_LONGEST = 200

# The exceptions that SQLite raises; a message about a damaged schema quotes the schema, which may not even be text.
SQLITE_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)

# Result codes (https://sqlite.org/rescode.html): the lowest byte is the kind, the rest is the detail.
_PERM, _BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _CONSTRAINT, _NOTADB = (
    3, 5, 6, 8, 10, 11, 13, 14, 19, 26
)  # fmt: skip
_BUSY_SNAPSHOT, _READONLY_DBMOVED, _CONSTRAINT_TRIGGER = 517, 1032, 1811


def is_busy(error: Exception) -> bool:
    """Whether another program blocks a statement, so that a retry may succeed."""
    code = _code(error)
    return code & 0xFF == _BUSY and code != _BUSY_SNAPSHOT


def _code(error: Exception) -> int:
    """Return SQLite's extended result code, or 0 for an error that is not SQLite's."""
    return getattr(error, "sqlite_errorcode", 0)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: what happened to which file, and what to do."""
    try:
        yield
    except SQLITE_ERRORS as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: sqlite3.DatabaseError | UnicodeDecodeError) -> Exception:
    """Return the mdata error for an SQLite error, by its code: the text may quote foreign content."""
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
    held = f"another program has locked {path} for too long"
    return NotNowError(held, next_attempt=when("it has closed the file"))


def _refused(path: Path, text: str) -> MdataError:
    advice = missing_group(path) or "check the owner and mode of the file"
    return NotPermittedError(f"cannot write {path}: {text}; {advice}")


def _moved(path: Path, _: str) -> MdataError:
    return StorageError(
        f"{path} was moved, replaced or removed while it was open; what was committed is in the old file"
    )


def _full(path: Path, _: str) -> MdataError:
    return StorageError(
        f"the disk is full: {path} keeps everything committed so far; free some space and run this again"
    )


def _failed(path: Path, text: str) -> MdataError:
    return StorageError(f"reading or writing {path} failed ({text}); check the disk, then run this again")


def _foreign(path: Path, _: str) -> MdataError:
    return StorageError(
        f"{path} is not an SQLite database, or its header is damaged; it was not changed: set DATABASE_PATH to "
        "another file, or restore a backup"
    )


def _vetoed(path: Path, text: str) -> MdataError:
    return StorageError(
        f"a trigger in {path} rejects the write ({text}); it does not belong to mdata: drop it, or change it so "
        "that it allows this"
    )


def damaged(path: Path, text: str) -> StorageError:
    """Return the error for a file in which SQLite finds damage; `text` is SQLite's message."""
    said = " ".join(text.split())
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    return StorageError(
        f"{path} is damaged ({said}); nothing was changed: run `mdata restore FILE` with a backup, which keeps the "
        "damaged store under another name, or move it away and run `mdata backfill`"
    )


# Found by the extended code, or else by the kind, which is its lowest byte: https://sqlite.org/rescode.html
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
    """Return a sentence that names the group which may use `path`, or an empty text if that is not the reason."""
    import grp

    try:
        folder = path.parent.stat()
        group = grp.getgrgid(folder.st_gid).gr_name
    except (OSError, KeyError):
        return ""
    if not folder.st_mode & stat.S_IWGRP or folder.st_gid in {os.getegid(), *os.getgroups()}:
        return ""
    return f"it belongs to the group {group}: ask for `usermod -aG {group} USER` and log in again"
