"""The schema, as an ordered list of migrations; imported only when a database needs one.

A migration that has been released is never edited: to change the schema, add a new one at the end, with its text in
`migrations_sql`, and raise `SCHEMA_VERSION` in `schema`. SQL and triggers use only what SQLite 3.37 has, without
functions of ours, so that any SQLite tool can write to the file.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mdata.store import identity
from mdata.store.connection import Connection
from mdata.store.schema import APPLICATION_ID, SCHEMA_VERSION
from mdata.store.sqlite import sqlite3
from mdata.store.sqlite_errors import storage_errors

if TYPE_CHECKING:
    from sqlite_utils.db import Database as Target


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Make the import of these modules fail, as if they were not installed, unless they are loaded already."""
    absent = [name for name in names if name not in sys.modules]
    # A None in `sys.modules` makes the import of that name fail.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


# sqlite-utils imports both modules if they are installed, which takes a third of a second and 80 MiB; neither is used
# here.
with _without("pandas", "numpy"):
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

_TEXTS = Path(__file__).with_name("migrations_sql")

migrations = Migrations("mdata")


@migrations()
def m001_first_schema(database: "Target") -> None:
    """Create every table, index, trigger and view of the first release."""
    _execute(database, "001_first_schema")


@migrations()
def m002_evidence(database: "Target") -> None:
    """Add doubts and unobtainable ranges, never use a series' id twice, renew the triggers."""
    _recount(database)
    _execute(database, "002_evidence")


def _recount(database: "Target") -> None:
    """Recount the candles of every segment in a store with the first triggers, which counted some of them twice."""
    (text,) = database.execute(
        "SELECT coalesce(max(sql), '') FROM sqlite_master WHERE name = 'candle_deleted'"
    ).fetchone()
    if "NOT EXISTS" not in text:
        database.execute(
            """UPDATE coverage SET candles = (
                   SELECT count(*) FROM candles AS held
                   WHERE held.series_id = coverage.series_id AND open_time >= start_time AND open_time < end_time
                     AND NOT EXISTS (SELECT 1 FROM lost_candles AS lost
                                     WHERE lost.series_id = held.series_id AND lost.open_time = held.open_time))"""
        )


@migrations()
def m003_store_identity(database: "Target") -> None:
    """Give the store an identity, and a count of its write transactions (see `domain.lineage`)."""
    _execute(database, "003_store_identity")


@migrations()
def m004_typed_view(database: "Target") -> None:
    """Give the columns of the view `ohlcv` their types in DuckDB."""
    # DuckDB parses a view's SQL as its own and takes the types of the tables; if it cannot parse the SQL, every
    # column is text. The only function that DuckDB does not share with SQLite is therefore in a separate view. Rows
    # of that view are looked up by key, and only if a query asks for the time as text.
    _execute(database, "004_typed_view")


@migrations()
def m005_answered_months(database: "Target") -> None:
    """Record when the exchange last answered about each month."""
    _execute(database, "005_answered_months")


def _execute(database: "Target", name: str) -> None:
    """Execute the statements of a migration, separated by `;;`, because triggers contain `;`."""
    for statement in _TEXTS.joinpath(f"{name}.sql").read_text(encoding="utf-8").split(";;"):
        database.execute(statement)


def migrate(path: Path, connection: Connection) -> None:
    """Bring the database up to `SCHEMA_VERSION`, in one transaction; the caller holds the write lock."""
    with storage_errors(path):
        # The first two settings are written into the file's header; they take effect only before the first table
        # exists.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < SCHEMA_VERSION:
                had_identity = identity.is_known(connection)
                migrations.apply(Database(connection, recursive_triggers=False))
                if not had_identity:
                    identity.settle(connection)
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def triggers() -> dict[str, str]:
    """Return the text of every trigger of a new store, by name."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrations.apply(Database(connection, recursive_triggers=False))
        return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    finally:
        connection.close()
