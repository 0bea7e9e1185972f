"""A connection that follows its store: a new file at the path is opened, and without a file the database is empty."""

from collections.abc import Callable
from pathlib import Path

from mdata.store.connection import Connection
from mdata.store.engine import Store
from mdata.store.opening import open_for_reading
from mdata.store.sqlite import sqlite3

Identity = tuple[Path, int, int]


class Source:
    """A read-only connection for one thread, set up by `prepare`; `may_copy` allows a private copy of the store."""

    def __init__(self, prepare: Callable[[Connection], None], *, may_copy: bool) -> None:
        self._prepare, self._may_copy = prepare, may_copy
        self._identity: Identity | None = None
        self._store: Store | None = None
        self._connection: Connection | None = None

    def connection(self, path: Path) -> Connection:
        """Return a connection to the store that is at `path` now, or to an empty database if there is none."""
        identity = _identity(path)
        if self._connection is None or identity is None or identity != self._identity or not self._is_current():
            self._close()
            self._store = open_for_reading(path, may_copy=self._may_copy)
            self._connection = (
                sqlite3.connect(":memory:", factory=Connection) if self._store is None else self._store.connection
            )
            self._identity = None if self._store is None else identity
            self._prepare(self._connection)
        return self._connection

    def confirm(self) -> None:
        """Raise NotNowError if the store was read without locks, and another process wrote meanwhile."""
        if self._store is not None and self._store.detour is not None:
            self._store.detour.confirm()

    def _is_current(self) -> bool:
        return self._store is None or self._store.detour is None or self._store.detour.is_current

    def _close(self) -> None:
        connection, self._connection, self._store, self._identity = self._connection, None, None, None
        if connection is not None:
            connection.close()


def _identity(path: Path) -> Identity | None:
    """Return what distinguishes a file from another; None for a missing or empty file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (path, status.st_dev, status.st_ino) if status.st_size else None
