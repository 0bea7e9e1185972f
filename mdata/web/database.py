"""The store as Datasette sees it."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from datasette.app import Datasette
from datasette.database import Database
from datasette.views.base import DatasetteError

from mdata.errors import NotPermittedError
from mdata.store.engine import Connection, open_for_reading

T = TypeVar("T")

# SQLite's memory in this process, and one row of an answer: a query that wants more is refused.
_MOST_MEMORY = 64 * 1024 * 1024
_MOST_ROW = 256 * 1024


class StoreDatabase(Database):  # type: ignore[misc]  # Datasette has no types
    """The store at `path`: read only, never created, and opened anew when another file takes its place.

    While there is no store it is an empty database, so that pages can say so.
    """

    def __init__(self, datasette: Datasette, path: Path) -> None:
        super().__init__(datasette, path=str(path))
        self._file = path
        self._of_thread = threading.local()

    @property
    def size(self) -> int:
        """Return the size of the file, 0 where there is none."""
        return self._file.stat().st_size if self._file.exists() else 0

    async def execute(self, sql: str, *arguments: Any, **options: Any) -> Any:
        """Run a query; one that fails is told to who asked, and to nobody else."""
        return await super().execute(sql, *arguments, **{**options, "log_sql_errors": False})

    async def execute_fn(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` with a connection, in one of the threads that Datasette keeps for queries."""
        return await asyncio.get_running_loop().run_in_executor(self.ds.executor, self._with_connection, fn)

    async def execute_write_fn(self, fn: Callable[[Connection], Any], block: bool = True) -> Any:  # noqa: ARG002, FBT001, FBT002 - Datasette's signature
        """Refuse: nothing here writes, whatever plugin asks for it."""
        raise NotPermittedError(f"{self._file} is served for reading only")

    def _with_connection(self, fn: Callable[[Connection], T]) -> T:
        """Give `fn` this thread's connection, made anew unless the file is still the one it was made for."""
        mine, identity = self._of_thread, _identity(self._file)
        if identity is None or identity != getattr(mine, "identity", None):
            if hasattr(mine, "connection"):
                mine.connection.close()
            mine.identity = None
            store = open_for_reading(self._file)
            mine.connection = Database(self.ds, is_memory=True).connect() if store is None else store.connection
            mine.connection.execute(f"PRAGMA hard_heap_limit={_MOST_MEMORY}")
            self.ds._prepare_connection(mine.connection, self.name)  # noqa: SLF001 - as Datasette's own class does
            mine.connection.row_factory = _small(mine.connection.row_factory)
            mine.identity = None if store is None else identity
        return fn(mine.connection)


def _small(make: Callable[[Any, tuple[Any, ...]], Any]) -> Callable[[Any, tuple[Any, ...]], Any]:
    """Return a row factory like `make` that refuses rows which are too long."""

    def row(cursor: Any, values: tuple[Any, ...]) -> Any:
        if sum(len(one) for one in values if isinstance(one, str | bytes)) > _MOST_ROW:
            raise DatasetteError(f"a row of the answer is longer than {_MOST_ROW // 1024} kB", status=400)
        return make(cursor, values)

    return row


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another of its name; None for none, and for an empty one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_size else None
