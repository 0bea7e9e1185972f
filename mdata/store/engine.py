"""One process's access to the store: how it reads one consistent state, and how it writes a transaction."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mdata.errors import NotNowError, NotPermittedError
from mdata.flock.lock import FileLock
from mdata.store.connection import Connection
from mdata.store.sqlite_errors import SQLITE_ERRORS, storage_errors
from mdata.store.watch import Watch, file_status

if TYPE_CHECKING:
    from mdata.store.reading import Detour

_PAGES_AT_A_TIME = 2_000  # about 50 ms

# Connections that stay open until the process ends: closing them would move their log into a file that it does not
# belong to, or remove the log of the replacement file.
_abandoned: list[Connection] = []


class Store:
    """A process's access to the database at `path`: a connection, and the lock for its writes."""

    def __init__(
        self, path: Path, connection: Connection, write_lock: FileLock | None, detour: "Detour | None" = None
    ) -> None:
        self.path = path
        self.connection = connection
        self.detour = detour  # how it is read if its folder is not writable
        self._write_lock = write_lock
        self._watch = Watch(path)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection inside one short write transaction, committed at the end, rolled back on any error.

        The lock file makes writers take turns in order (SQLite itself only polls, and may let one starve). `BEGIN
        IMMEDIATE` ensures that what the transaction reads is still up to date when the transaction writes.

        Raise StorageError if `path` has become another file, or does not contain the last write.
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
        """Hold the write lock with an open transaction; while another program blocks it, hold neither."""
        wait = None
        while True:
            with write_lock:
                self._watch.look()
                try:
                    if self.connection.tries("BEGIN IMMEDIATE"):
                        yield
                        return
                finally:
                    # If the disk is full, SQLite rolls back by itself; a second ROLLBACK would hide the cause.
                    if self.connection.in_transaction:
                        self.connection.execute("ROLLBACK")
            self._watch.forget()
            wait = wait or self.connection.wait()
            self.connection.pause(wait)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other mdata writers away while the block lasts."""
        if self._write_lock is None:
            raise NotPermittedError(f"{self.path} was opened for reading only")
        with self._write_lock:
            self._watch.look()
            yield

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one consistent state of the database while the block lasts."""
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
            # A reader may take minutes, and other writers wait in the meantime, so SQLite waits for it only briefly.
            # If that is not enough, the next run does it.
            with suppress(NotNowError), self._write_lock, storage_errors(self.path):
                self._watch.look()
                self.connection.tries("PRAGMA wal_checkpoint(TRUNCATE)")

    def shrink(self) -> int:
        """Give the database's free pages back to the disk, and empty the log; return the bytes freed.

        It frees some thousand pages at a time, so that others get their turn in between and the log stays small.
        """
        if self._write_lock is None:
            return 0
        before, free, left = self.path.stat().st_size, 0, self._free_pages()
        # A file that was created without `auto_vacuum` keeps its pages.
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
        """Raise NotNowError if this was read without locks while another process wrote."""
        if self.detour is not None:
            self.detour.confirm()

    def close(self) -> None:
        """Close the connection; raise StorageError if its path no longer names the file that was opened.

        When the last connection with write access closes, SQLite moves the log into the database file or deletes it.
        If another file has taken the database's place, this would damage the new file, so the connection is left
        open.
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
            if error is None or isinstance(error, SQLITE_ERRORS):
                self._confirm()
            # Reads outside of `read` and `write` may find a damaged file, too.
            with storage_errors(self.path):
                if isinstance(error, SQLITE_ERRORS):
                    raise error
        finally:
            self.close()
