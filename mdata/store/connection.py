"""A connection to a database; when it waits for other programs, a signal or a time limit can end the wait."""

from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from mdata.domain.next_attempt import when
from mdata.errors import NotNowError
from mdata.processes import holders
from mdata.store.sqlite import OPTIONS, refuse_old_engine, sqlite3
from mdata.store.sqlite_errors import is_busy, storage_errors
from mdata.waiting import Wait, named

# How long (s) SQLite itself may wait: signals are only handled when it returns.
_AT_A_TIME = 0.1
_BETWEEN = 0.02


class Connection(sqlite3.Connection):
    """A connection that waits for others in small steps, so that a signal or a time limit can end the wait.

    `limit` is the maximum number of seconds; None means the limits of `waiting`.
    """

    path: Path
    limit: float | None = None
    _since: float | None = None  # when a wait began that ended in vain

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor that waits in this way."""
        return super().cursor(factory or _Cursor)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement, waiting for others if necessary."""
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
        """Begin to wait for the programs that are in the way."""
        return Wait(self.limit, self._since)

    def pause(self, wait: Wait) -> None:
        """Wait a moment longer; raise NotNowError when the limit is reached."""
        log = self.path.with_name(f"{self.path.name}-shm")
        if wait.left > 0:
            wait.tell(str(self.path), lambda: holders(self.path, log))
            wait.pause(_BETWEEN)
            return
        self._since = wait.since
        wait.end_by_signal()
        raise NotNowError(
            f"another program has locked {self.path} for too long: {named(holders(self.path, log))}",
            next_attempt=when("it has closed the file"),
        )


class _Cursor(sqlite3.Cursor):
    """A cursor that waits as its connection does."""

    connection: Connection

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        """Execute a statement, waiting for others if necessary."""
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
    refuse_old_engine()
    with storage_errors(path):
        connection: Connection = sqlite3.connect(
            f"file:{quote(bytes(path))}?mode={mode}",
            uri=True, timeout=_AT_A_TIME, isolation_level=None, cached_statements=256, factory=Connection, **OPTIONS,
        )  # fmt: skip
    connection.path, connection.limit = path, limit
    return connection
