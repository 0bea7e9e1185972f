"""Connections to the store: how it is opened, and how a write transaction is made.

Nothing here opens the database's file but SQLite: closing a descriptor of it drops every POSIX lock that this
process holds on it, and a process that serves it has several connections.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mdata.errors import ConfigurationError, NotNowError, NotPermittedError
from mdata.files import open_shared
from mdata.flock import FileLock
from mdata.store import identity
from mdata.store.mending import mend
from mdata.store.sqlite import STORAGE, Connection, connect, missing_group, sqlite3, storage_errors
from mdata.store.watch import Watch, file_status

if TYPE_CHECKING:
    from mdata.store.reading import Detour

__all__ = [
    "APPLICATION_ID", "SCHEMA_VERSION", "Connection", "Store", "open_for_reading", "open_lone", "open_store",
    "sqlite3", "unheard",
]  # fmt: skip

# "mdat" in ASCII; tells our files from other programs' ones.
APPLICATION_ID = 0x6D646174
SCHEMA_VERSION = 5

# How long whoever only looks waits for another program that holds the database: he is told soon.
_PATIENCE_OF_READERS = 5.0
_WAL_SIZE_LIMIT = 64 * 1024 * 1024
_PAGES_AT_A_TIME = 2_000  # some 50 ms

# What stays open until the process ends: to close it would move its log into a file that it does not belong to, or
# remove the log of the one that has taken the file's place.
_abandoned: list[Connection] = []


class Store:
    """One process's hold on the database at `path`: a connection, and the lock that its writes take."""

    def __init__(
        self, path: Path, connection: Connection, write_lock: FileLock | None, detour: "Detour | None" = None
    ) -> None:
        self.path = path
        self.connection = connection
        self.detour = detour  # how it is read where its folder may not be written
        self._write_lock = write_lock
        self._watch = Watch(path)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection inside one short write transaction: committed on leaving, rolled back on any error.

        The lock file makes writers take turns in order (SQLite's own waiting polls, and starves), and
        `BEGIN IMMEDIATE` means that nothing read inside can be out of date when it is written.

        Raise StorageError where `path` names another file by now, or its content is not what was written last.
        """
        if self._write_lock is None:
            raise NotPermittedError(f"{self.path} was opened for reading only")
        with storage_errors(self.path), self._begun(self._write_lock):
            mark = self._watch.count(self.connection)
            yield self.connection
            self.connection.execute("COMMIT")
            self._watch.committed(mark)

    @contextmanager
    def _begun(self, write_lock: FileLock) -> Iterator[None]:
        """Hold the write lock with a transaction begun; while another program is in the way, hold neither."""
        wait = None
        while True:
            with write_lock:
                self._watch.look()
                try:
                    if self.connection.tries("BEGIN IMMEDIATE"):
                        yield
                        return
                finally:
                    # A full disk rolls back by itself; a second ROLLBACK would hide the cause.
                    if self.connection.in_transaction:
                        self.connection.execute("ROLLBACK")
            self._watch.forget()
            wait = wait or self.connection.wait()
            self.connection.pause(wait)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other writers of ours away for as long as the block lasts."""
        if self._write_lock is None:
            raise NotPermittedError(f"{self.path} was opened for reading only")
        with self._write_lock:
            self._watch.look()
            yield

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
                self._confirm()

    def checkpoint(self, *, over: int = 0) -> None:
        """Move a write-ahead log of more than `over` bytes into the database, if no reader is in the way."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if self._write_lock is not None and (found := file_status(log)) and found.st_size > over:
            # SQLite waits a moment only for a reader of everything, who may take minutes: whoever writes waits, too.
            # Where that is not enough the next run does it.
            with suppress(NotNowError), self._write_lock, storage_errors(self.path):
                self._watch.look()
                self.connection.tries("PRAGMA wal_checkpoint(TRUNCATE)")

    def shrink(self) -> int:
        """Give the database's free pages back to the disk, and empty the log; return the bytes freed.

        Some thousand pages at a time: others get their turn in between, and the log stays small.
        """
        if self._write_lock is None:
            return 0
        before, free, left = self.path.stat().st_size, 0, self._free_pages()
        # A file that was made without `auto_vacuum` keeps its pages.
        while left and left != free:
            with self.write() as connection:
                connection.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_A_TIME})").fetchall()
            free, left = left, self._free_pages()
        self.checkpoint()
        return max(0, before - self.path.stat().st_size)

    def _free_pages(self) -> int:
        with storage_errors(self.path):
            return int(self.connection.execute("PRAGMA freelist_count").fetchone()[0])

    def _confirm(self) -> None:
        """Raise NotNowError where this was read without locks, and somebody wrote meanwhile."""
        if self.detour is not None:
            self.detour.confirm()

    def close(self) -> None:
        """Close the connection; raise StorageError where the file is not the one any more that was opened.

        The last connection that may write moves the log into the file as it closes, or removes the log: of another
        file, then.
        """
        if self._write_lock is not None:
            with self._write_lock.at_once() as is_held:
                try:
                    if is_held:
                        self._watch.look()
                except BaseException:
                    _abandoned.append(self.connection)
                    raise
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            if error is None or isinstance(error, STORAGE):
                self._confirm()
            # What is read outside of `read` and `write` may meet a damaged file too.
            with storage_errors(self.path):
                if isinstance(error, STORAGE):
                    raise error
        finally:
            self.close()


def unheard(_: str) -> None:
    """Tell nobody."""


def open_store(path: Path, told: Callable[[str], None] = unheard) -> Store:
    """Open the database for reading and writing; create or migrate it under the write lock where needed.

    What other tools have changed is put back, and `told` gets a sentence about it.
    Raise ConfigurationError for a foreign file or a newer schema, StorageError for a damaged one,
    NotPermittedError where the file may not be written. A refused file is left untouched.
    """
    found = _refuse_a_folder(path)
    write_lock = FileLock(path.with_name(f"{path.name}.write.lock"))
    identity.check(path)
    if found is None:
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
    store = Store(path, connection, write_lock)
    try:
        with storage_errors(path):
            mend(store, told)
    except BaseException:
        store.close()
        raise
    return store


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


def open_for_reading(path: Path, told: Callable[[str], None] = unheard, *, may_copy: bool = True) -> Store | None:
    """Open the database for reading only, or return None where there is none yet.

    Nothing is created. Raise as `open_store` does, and ConfigurationError for a schema that is older too. Where its
    folder may not be written it is read as it lies, or from a copy if that may be made (`reading`), and `told` gets
    a sentence about it.
    """
    found = _refuse_a_folder(path)
    if found is None or found.st_size == 0:
        return None
    if not os.access(path, os.R_OK):
        raise NotPermittedError(_may_not(path, "read"))
    identity.check(path)
    try:
        store, version = _looked_into(path)
    except NotPermittedError as error:
        from mdata.store.reading import detour

        store, version = _looked_into(path, detour(path, error, may_copy=may_copy))
        if store.detour is not None:
            told(store.detour.sentence)
    if version == SCHEMA_VERSION:
        return store
    store.close()
    if version == 0:
        return None
    raise ConfigurationError(
        f"{path} has schema {version}, this mdata wants {SCHEMA_VERSION}: run `mdata backfill` once"
    )


def _looked_into(path: Path, detour: "Detour | None" = None) -> tuple[Store, int]:
    """Open the database for reading only, and return it with the version of its schema."""
    if detour is None:
        connection = _connect(path, "ro")
    else:
        connection = _connect(detour.file, "ro" if detour.is_copy else "ro&immutable=1")
    try:
        with storage_errors(path):
            version = _schema_version(path, connection)
    except BaseException:
        connection.close()
        if detour is not None:
            detour.confirm()
        raise
    finally:
        if detour is not None:
            detour.leave()
    return Store(path, connection, None, detour), version


def open_lone(path: Path) -> Connection:
    """Open a backup for reading, with its log if it has one; raise as `open_for_reading` does, not for an old schema.

    One without a log is read as it lies, on a read-only disk too.
    """
    _refuse_a_folder(path)
    identity.check(path)
    log = file_status(path.with_name(f"{path.name}-wal"))
    connection = _connect(path, "ro" if log and log.st_size else "ro&immutable=1")
    try:
        with storage_errors(path):
            version = _schema_version(path, connection)
    except BaseException:
        connection.close()
        raise
    if version:
        return connection
    connection.close()
    raise ConfigurationError(f"{path} is empty, and no backup: name another file")


def _may_not(path: Path, verb: str) -> str:
    return f"cannot {verb} {path}; {missing_group(path) or 'check the owner and mode of the file and its folder'}"


def _connect(path: Path, mode: str) -> Connection:
    return connect(path, mode, _PATIENCE_OF_READERS if mode.startswith("ro") else None)


def _refuse_a_folder(path: Path) -> os.stat_result | None:
    """Return what the file system says of the file at `path`, None where there is none."""
    found = file_status(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"DATABASE_PATH {path} is a folder; name a file inside it")
    return found


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
