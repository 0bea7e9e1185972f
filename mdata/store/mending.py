"""Repairs what other programs may have changed in a store when it is opened: triggers, journal mode, identity."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mdata.store import identity
from mdata.store.connection import Connection

if TYPE_CHECKING:
    from mdata.store.engine import Store

# Without these triggers, candles that other programs delete go unnoticed; their text is in `migrations_sql`.
TRIGGERS = frozenset({"candle_deleted", "candle_moved"})


def missing_triggers(connection: Connection) -> list[str]:
    """Return the names of our triggers that are not in the store, sorted."""
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    return sorted(TRIGGERS - found)


def changed_triggers(connection: Connection) -> list[str]:
    """Return the names of our triggers whose text was changed, sorted."""
    from mdata.store.migrations import triggers

    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    return sorted(name for name, sql in triggers().items() if found.get(name, sql) != sql)


def journal_mode(connection: Connection) -> str:
    """Return the journal mode of the store: `wal`, unless some tool has changed it."""
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def mend(store: "Store", told: Callable[[str], None]) -> None:
    """Repair what other programs changed, and report it."""
    if identity.read(store.connection) is None:
        with store.alone():
            identity.renew(store.connection)
        # The new identity starts a new chain of marks, which would not match the old mark in the file: move the log
        # into the file at once.
        store.checkpoint()
        told(
            f"{store.path} had lost its identity and has a new one: older backups now count as those of another store"
        )
    mode = journal_mode(store.connection)
    if mode != "wal":
        told(_journal_mode_put_back(store, mode))
    missing = missing_triggers(store.connection)
    if missing:
        counted = put_triggers_back(store)
        told(
            f"the triggers {' and '.join(missing)} were missing from {store.path} and have been restored. {counted} "
            "Run `mdata verify` to check the values, too"
        )


def put_triggers_back(store: "Store") -> str:
    """Restore each of our triggers, and count all candles; return a message about the result.

    Everything that was deleted in the meantime is then unknown.
    """
    from mdata.store import audit, series
    from mdata.store.migrations import triggers

    intervals = 0
    with store.write() as connection:
        now = series.shown_to(connection) or 0
        for name, sql in triggers().items():
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
            connection.execute(sql)
        for one in series.every(connection):
            found = audit.miscounted(connection, one)
            audit.withdraw(connection, one, found, now)
            intervals += sum(one.timeframe.count(*doubt.segment.range) for doubt in found)
    if not intervals:
        return "No candle was deleted meanwhile."
    return f"Candles were deleted meanwhile: {intervals} intervals are unknown now and will be fetched again."


def _journal_mode_put_back(store: "Store", mode: str) -> str:
    connection = store.connection
    was = f"another program had set the journal mode of {store.path} to {mode}"
    with store.alone():
        connection.tries("PRAGMA journal_mode = WAL")
    if journal_mode(connection) == "wal":
        return f"{was}; it is WAL again"
    return f"{was}, and a program still has it open: until that is closed, readers and writers block each other"
