"""The store as Datasette sees it."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted, Results
from datasette.views.base import DatasetteError

from mdata.errors import MdataError, NotPermittedError
from mdata.store.connection import Connection
from mdata.store.opening import open_for_reading
from mdata.store.reading import kept_copy
from mdata.store.sqlite import sqlite3
from mdata.web.source import Source
from mdata.web.workers import EndedError, Question, Workers

T = TypeVar("T")

_NOT_PERMITTED = NotPermittedError.exit_code


class StoreDatabase(Database):  # type: ignore[misc]  # Datasette has no types
    """The store at `path`: read-only, never created, and opened again when another file takes its place.

    SQL runs in `workers`, Datasette's questions about tables and columns in threads of this process. While there is
    no store, it is an empty database, so that pages can say so.
    """

    def __init__(self, datasette: Datasette, path: Path, workers: Workers) -> None:
        super().__init__(datasette, path=str(path))
        self._file, self._workers = path, workers
        self._of_thread = threading.local()

    @property
    def size(self) -> int:
        """Return the size of the file, 0 if there is none."""
        return self._file.stat().st_size if self._file.exists() else 0

    async def execute(
        self,
        sql: str,
        params: Mapping[str, Any] | Sequence[Any] | None = None,
        truncate: bool = False,  # noqa: FBT001, FBT002
        custom_time_limit: int | None = None,
        page_size: int | None = None,
        log_sql_errors: bool = True,  # noqa: ARG002, FBT001, FBT002 - only the visitor sees errors
    ) -> Results:
        """Run a query in a worker."""
        limit = self.ds.sql_time_limit_ms
        most = self.ds.max_returned_rows
        # Datasette asks for one row more than a page has, to see whether another page follows.
        most += most == (page_size or self.ds.page_size)
        ms = min(custom_time_limit or limit, limit)
        question = Question(sql, {} if params is None else params, ms, most if truncate and most else None)
        try:
            told = await self._told(question)
        except EndedError as error:
            raise QueryInterrupted(error, sql, params) from None
        _raise(told, question)
        return Results(_rows(told["columns"], told["rows"]), told["truncated"], _described(told["columns"]))

    async def _told(self, question: Question) -> dict[str, Any]:
        """Return a worker's answer; if workers cannot read the store itself, from a copy that this process makes."""
        copy = kept_copy(self._file)
        told = await self._workers.ask(question, None if copy is None else copy.file)
        if told.get("exit") == _NOT_PERMITTED:
            await asyncio.to_thread(_make_a_copy, self._file)
            copy = kept_copy(self._file)
            if copy is not None:
                told = await self._workers.ask(question, copy.file)
        return told

    async def execute_fn(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` with a connection, in one of Datasette's query threads."""
        return await asyncio.get_running_loop().run_in_executor(self.ds.executor, self._with_connection, fn)

    async def execute_write_fn(self, fn: Callable[[Connection], Any], block: bool = True) -> Any:  # noqa: ARG002, FBT001, FBT002 - Datasette's signature
        """Reject: nothing here writes, whichever plugin tries."""
        raise NotPermittedError(f"{self._file} is served read-only")

    def _with_connection(self, fn: Callable[[Connection], T]) -> T:
        mine = self._of_thread
        if not hasattr(mine, "source"):
            mine.source = Source(self._prepared, may_copy=True)
        return fn(mine.source.connection(self._file))

    def _prepared(self, connection: Connection) -> None:
        self.ds._prepare_connection(connection, self.name)  # noqa: SLF001 - as Datasette's own class does


def _make_a_copy(path: Path) -> None:
    store = open_for_reading(path)
    if store is not None:
        store.close()


def _raise(told: Mapping[str, Any], question: Question) -> None:
    """Raise a worker's error as an exception that Datasette and our plugin know."""
    name, text = told.get("error"), told.get("text")
    if name is None:
        return
    if text == "interrupted":
        raise QueryInterrupted(text, question.sql, question.values)
    if name == "TooLong":
        raise DatasetteError(text, status=400)
    if name == "MemoryError":
        raise MemoryError
    if name == "MdataError":
        raise MdataError(str(text))
    raise getattr(sqlite3, name, ValueError)(text)


_memory = sqlite3.connect(":memory:", check_same_thread=False)


def _rows(columns: list[str] | None, rows: list[list[Any]]) -> list[sqlite3.Row]:
    """Return rows as `sqlite3.Row`, with access by number and by name."""
    names = ", ".join('NULL AS "{}"'.format(column.replace('"', '""')) for column in columns or ["none"])
    cursor = _memory.execute(f"SELECT {names}")
    return [sqlite3.Row(cursor, tuple(row)) for row in rows]


def _described(columns: list[str] | None) -> list[tuple[Any, ...]] | None:
    """Return columns as a cursor describes them."""
    return None if columns is None else [(column, None, None, None, None, None, None) for column in columns]
