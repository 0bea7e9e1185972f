"""Connections to the store: how it is opened, and how a write transaction is made.

Nothing here opens the database's file but SQLite: closing a descriptor of it drops every POSIX lock that this
process holds on it, and a process that serves it has several connections.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mdata.errors import ConfigurationError, NotPermittedError
from mdata.files import open_shared
from mdata.flock import FileLock
from mdata.store.minimum import refuse_old_engine
from mdata.store.sqlite import STORAGE, Connection, missing_group, sqlite3, storage_errors

if TYPE_CHECKING:
    from mdata.store.reading import Detour

__all__ = [
    "APPLICATION_ID", "SCHEMA_VERSION", "Connection", "Store", "open_for_reading", "open_store", "sqlite3", "unheard",
]  # fmt: skip

# "mdat" in ASCII; tells our files from other programs' ones.
APPLICATION_ID = 0x6D646174
SCHEMA_VERSION = 2

# How long a statement waits for another program that holds the database; whoever only looks is told soon.
_BUSY_SECONDS = 30.0
_BUSY_SECONDS_OF_READERS = 5.0
_BUSY_SECONDS_OF_CHECKPOINTS = 0.1
_WAL_SIZE_LIMIT = 64 * 1024 * 1024
_PAGES_AT_A_TIME = 2_000  # some 50 ms


class Store:
    """One process's hold on the database at `path`: a connection, and the lock that its writes take."""

    def __init__(
        self, path: Path, connection: Connection, write_lock: FileLock | None, detour: "Detour | None" = None
    ) -> None:
        self.path = path
        self.connection = connection
        self.detour = detour  # how it is read where its folder may not be written
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
                self._confirm()

    def checkpoint(self, *, over: int = 0) -> None:
        """Move a write-ahead log of more than `over` bytes into the database, if no reader is in the way."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if self._write_lock is not None and log.exists() and log.stat().st_size > over:
            # Whoever writes waits for this; a reader of everything may take minutes.
            patience = _patience(self.connection, _BUSY_SECONDS_OF_CHECKPOINTS)
            with self._write_lock, storage_errors(self.path), patience:
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def shrink(self) -> int:
        """Give the database's free pages back to the disk, and empty the log; return the bytes freed.

        Some thousand pages at a time: others get their turn in between, and the log stays small.
        """
        if self._write_lock is None:
            return 0
        before, free, left = self.path.stat().st_size, 0, self._free_pages()
        # A file that was made without `auto_vacuum` keeps its pages.
        while left and left != free:
            with self._write_lock, storage_errors(self.path):
                self.connection.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_A_TIME})").fetchall()
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
        """Close the connection."""
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


@contextmanager
def _patience(connection: Connection, seconds: float) -> Iterator[None]:
    """Have statements wait for others for so long, and then for as long as before."""
    (before,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {before}")


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


def unheard(_: str) -> None:
    """Tell nobody."""


def open_for_reading(path: Path, told: Callable[[str], None] = unheard, *, may_copy: bool = True) -> Store | None:
    """Open the database for reading only, or return None where there is none yet.

    Nothing is created. Raise as `open_store` does, and ConfigurationError for a schema that is older too. Where its
    folder may not be written it is read as it lies, or from a copy if that may be made (`reading`), and `told` gets
    a sentence about it.
    """
    _refuse_a_folder(path)
    try:
        if not path.exists() or path.stat().st_size == 0:
            return None
    except PermissionError as error:
        raise NotPermittedError(_may_not(path, "read")) from error
    if not os.access(path, os.R_OK):
        raise NotPermittedError(_may_not(path, "read"))
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
        raise
    finally:
        if detour is not None:
            detour.leave()
    return Store(path, connection, None, detour), version


def _may_not(path: Path, verb: str) -> str:
    return f"cannot {verb} {path}; {missing_group(path) or 'check the owner and mode of the file and its folder'}"


def _connect(path: Path, mode: str) -> Connection:
    from urllib.parse import quote

    refuse_old_engine()
    with storage_errors(path):
        return sqlite3.connect(
            f"file:{quote(bytes(path))}?mode={mode}",
            uri=True,
            timeout=_BUSY_SECONDS_OF_READERS if mode.startswith("ro") else _BUSY_SECONDS,
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
