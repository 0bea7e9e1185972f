"""Whether a database's file and the log beside it belong together; see `domain.lineage` for the rule.

Only SQLite reads the database's file (as `immutable`, without the log): closing a descriptor of ours would drop
SQLite's locks on it.
"""

from pathlib import Path

from mdata.domain.lineage import File, Mark, belong_together
from mdata.domain.retries import READ_TRIES
from mdata.errors import NotPermittedError, StorageError
from mdata.store.connection import connect
from mdata.store.identity import read
from mdata.store.sqlite_errors import SQLITE_ERRORS
from mdata.store.wal_file import read_log, size_of

_PATIENCE = 5.0  # how long (s) to wait for the lock of file and log

# Errors of SQLite for a file that it cannot parse or open.
_UNREADABLE = (*SQLITE_ERRORS, StorageError, NotPermittedError)


def check(path: Path) -> Mark | None:
    """Compare the database at `path` with its log, as files; return the newest mark in the log, or None.

    Raise StorageError if the log belongs to another file.
    """
    log_path = path.with_name(f"{path.name}-wal")
    if not size_of(log_path):
        return None
    if not size_of(path):
        # SQLite would remove a log without its database.
        if read_log(log_path) is None:
            return None
        raise StorageError(
            f"{path} is missing, but its log {log_path.name} still exists; nothing was changed: put the file back, "
            f"restore a backup with `mdata restore`, or remove {log_path.name} as well to start with an empty store"
        )
    for _ in range(READ_TRIES):
        before, log, after = read_file(path), read_log(log_path), read_file(path)
        if log is None or any(file and belong_together(file, log) for file in (before, after)):
            return log.newest if log else None
    if before != after:
        return None  # another process uses both, and has compared them too
    if log and (before is None or before.mark is None) and _is_whole_with_log(path):
        # A program was killed while it moved the result of VACUUM from the log into the file.
        return log.newest
    raise strangers(path)


def read_file(path: Path) -> File | None:
    """Return what the database's file says without its log; None if SQLite cannot read it alone."""
    try:
        connection = connect(path, "ro&immutable=1")
        try:
            (cookie,) = connection.execute("PRAGMA schema_version").fetchone()
            return File(read(connection), cookie)
        finally:
            connection.close()
    except _UNREADABLE:
        return None


def _is_whole_with_log(path: Path) -> bool:
    try:
        connection = connect(path, "ro", _PATIENCE)
        try:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        finally:
            connection.close()
    except _UNREADABLE:
        return False


def strangers(path: Path) -> StorageError:
    """Return the error for a database whose log belongs to another file."""
    return StorageError(
        f"{path} and its log {path.name}-wal do not belong together: the file was replaced (by a backup copied "
        "over it?) but the log was not; nothing was changed, because together they are a damaged store: run `mdata "
        "restore FILE` with a backup, which keeps both under another name"
    )
