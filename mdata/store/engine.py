"""Connections to the store: which SQLite, how it is opened, how a write transaction is made.

SQLite 3.7.0 to 3.51.2 can lose committed pages when two connections of a WAL database write and checkpoint at
the same instant (fixed in 3.51.3, and in 3.50.7 and 3.44.6). `pysqlite3` brings a newer engine where it is
installed; on any other engine the write lock around every transaction keeps the race out of reach.

Nothing here opens the database's file but SQLite: closing a descriptor of it drops every POSIX lock that this
process holds on it, and a process that serves it has several connections.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mdata.errors import NEXT_ATTEMPT, ConfigurationError, MdataError, NotNowError, NotPermittedError, StorageError
from mdata.files import open_shared
from mdata.flock import FileLock

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import pysqlite3 as sqlite3
    except ImportError:
        import sqlite3

Connection = sqlite3.Connection

# "mdat" in ASCII; tells our files from other programs' ones.
APPLICATION_ID = 0x6D646174
SCHEMA_VERSION = 1

SQLITE_VERSION: str = sqlite3.sqlite_version

# SQLite's message about a damaged schema quotes it, which may not even be text.
_STORAGE = (sqlite3.DatabaseError, UnicodeDecodeError)

# How long a statement waits for another program that holds the database; whoever only looks is told soon.
_BUSY_SECONDS = 30.0
_BUSY_SECONDS_OF_READERS = 5.0
_WAL_SIZE_LIMIT = 64 * 1024 * 1024


def has_wal_reset_bug(version: str = SQLITE_VERSION) -> bool:
    """Whether this SQLite can lose pages when two WAL writers meet (see the module's docstring)."""
    numbers = tuple(int(part) for part in version.split("."))
    if numbers[:2] == (3, 44):
        return numbers < (3, 44, 6)
    if numbers[:2] == (3, 50):
        return numbers < (3, 50, 7)
    return (3, 7, 0) <= numbers < (3, 51, 3)


class Store:
    """One process's hold on the database at `path`: a connection, and the lock that its writes take."""

    def __init__(self, path: Path, connection: Connection, write_lock: FileLock | None) -> None:
        self.path = path
        self.connection = connection
        self._write_lock = write_lock

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection inside one short write transaction: committed on leaving, rolled back on any error.

        The lock file makes writers take turns in order (SQLite's own waiting polls, and starves), and
        `BEGIN IMMEDIATE` means that nothing read inside can be out of date when it is written.
        """
        if self._write_lock is None:
            raise NotPermittedError(f"{self.path} was opened for reading only")
        with self._write_lock, storage_errors(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                # A full disk rolls back by itself; a second ROLLBACK would hide the cause.
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database for as long as the block lasts."""
        with storage_errors(self.path):
            self.connection.execute("BEGIN")
            try:
                yield self.connection
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def checkpoint(self, *, over: int = 0) -> None:
        """Move a write-ahead log of more than `over` bytes into the database, if no reader is in the way."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if self._write_lock is not None and log.exists() and log.stat().st_size > over:
            with self._write_lock, storage_errors(self.path):
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def shrink(self) -> int:
        """Give the database's free pages back to the disk, and empty the log; return the bytes freed."""
        if self._write_lock is None:
            return 0
        before = self.path.stat().st_size
        with self._write_lock, storage_errors(self.path):
            if self.connection.execute("PRAGMA freelist_count").fetchone()[0]:
                self.connection.execute("PRAGMA incremental_vacuum").fetchall()
        self.checkpoint()
        return max(0, before - self.path.stat().st_size)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            # What is read outside of `read` and `write` may meet a damaged file too.
            with storage_errors(self.path):
                if isinstance(error, _STORAGE):
                    raise error
        finally:
            self.close()


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: what happened to which file, and what to do."""
    try:
        yield
    except _STORAGE as error:
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
        return StorageError(
            f"{path} is damaged ({text}); nothing was changed: keep the file, restore a backup or start a new one"
        )
    if isinstance(error, sqlite3.OperationalError) and "I/O" in text:
        return StorageError(f"reading or writing {path} failed ({text}); check the disk, then run this again")
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.InterfaceError):
        raise error
    return StorageError(f"the database {path} reports: {text}")


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


def open_store(path: Path) -> Store:
    """Open the database for reading and writing; create or migrate it under the write lock where needed.

    Raise ConfigurationError for a foreign file or a newer schema, StorageError for a damaged one,
    NotPermittedError where the file may not be written. A refused file is left untouched.
    """
    _refuse_a_folder(path)
    write_lock = FileLock(path.with_name(f"{path.name}.write.lock"))
    if not path.exists() or path.stat().st_size == 0:
        os.close(open_shared(path))
    elif not os.access(path, os.W_OK):
        raise NotPermittedError(_may_not(path, "write"))
    connection = _connect(path, "rw")
    try:
        with storage_errors(path):
            if _schema_version(path, connection) < SCHEMA_VERSION:
                from mdata.store.migrations import migrate

                with write_lock:
                    migrate(path, connection)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_SIZE_LIMIT}")
    except ConfigurationError:
        _close_untouched(path, connection)
        raise
    except BaseException:
        connection.close()
        raise
    return Store(path, connection, write_lock)


def _close_untouched(path: Path, connection: Connection) -> None:
    """Close a connection to a file that is not ours, and leave its log as a crash may have left it.

    The last connection that may write moves the log into the database when it closes; a reader cannot.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        connection.close()
        return
    reader = _connect(path, "ro")
    reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.close()
    reader.close()


def open_for_reading(path: Path) -> Store | None:
    """Open the database for reading only, or return None where there is none yet.

    Nothing is created. Raise as `open_store` does, and ConfigurationError for a schema that is older too.
    """
    _refuse_a_folder(path)
    try:
        if not path.exists() or path.stat().st_size == 0:
            return None
    except PermissionError as error:
        raise NotPermittedError(_may_not(path, "read")) from error
    if not os.access(path, os.R_OK):
        raise NotPermittedError(_may_not(path, "read"))
    connection = _connect(path, "ro")
    try:
        with storage_errors(path):
            version = _schema_version(path, connection)
    except BaseException:
        connection.close()
        raise
    if version == SCHEMA_VERSION:
        return Store(path, connection, None)
    connection.close()
    if version == 0:
        return None
    raise ConfigurationError(
        f"{path} has schema {version}, this mdata wants {SCHEMA_VERSION}: run `mdata backfill` once"
    )


def _may_not(path: Path, verb: str) -> str:
    return f"cannot {verb} {path}; {missing_group(path) or 'check the owner and mode of the file and its folder'}"


def _connect(path: Path, mode: str) -> Connection:
    from urllib.parse import quote

    with storage_errors(path):
        return sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            timeout=_BUSY_SECONDS_OF_READERS if mode == "ro" else _BUSY_SECONDS,
            isolation_level=None,
            cached_statements=256,
        )


def _refuse_a_folder(path: Path) -> None:
    try:
        is_folder = path.is_dir()
    except PermissionError as error:
        raise NotPermittedError(_may_not(path, "read")) from error
    except OSError as error:
        raise ConfigurationError(f"DATABASE_PATH {path} can be no file: {error.strerror}") from error
    if is_folder:
        raise ConfigurationError(f"DATABASE_PATH {path} is a folder; name a file inside it")


def _schema_version(path: Path, connection: Connection) -> int:
    """Return the schema version of our file, 0 for a new one; raise ConfigurationError for any other file."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise ConfigurationError(
                f"{path} has schema {version}, written by a newer mdata; this one knows {SCHEMA_VERSION}: update it"
            )
        return int(version)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id or tables:
        raise ConfigurationError(
            f"{path} is a database of another program; it was left as it is: set DATABASE_PATH to another file"
        )
    return 0
