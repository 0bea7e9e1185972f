"""Which store this is, and how often it was written to: the only row of the table `store`."""

from mdata.domain.lineage import Mark
from mdata.store.connection import Connection

ID_BYTES = 32  # of the store's id, as text
_COLUMNS = "id, generation, mark, previous, cookie"
_COOKIE = "(SELECT schema_version FROM pragma_schema_version)"


def raise_generation(connection: Connection) -> Mark | None:
    """Count a write transaction, and return its new mark; None if the row was removed."""
    rows = connection.execute(
        f"""UPDATE store SET generation = generation + 1, previous = mark, mark = random(), cookie = {_COOKIE}
            RETURNING {_COLUMNS}"""
    ).fetchall()
    return Mark(*rows[0]) if rows else None


def renew(connection: Connection) -> None:
    """Give a store whose row was removed a new identity."""
    connection.execute(
        f"INSERT INTO store SELECT 1, lower(hex(randomblob({ID_BYTES // 2}))), 1, random(), 0, {_COOKIE}"
    )


def is_known(connection: Connection) -> bool:
    """Whether the database has the table `store`."""
    (known,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'store'").fetchone()
    return bool(known)


def settle(connection: Connection) -> None:
    """Record the schema cookie once more at the end of the transaction that created the table `store`.

    Migrations that follow in the same transaction have changed the schema again.
    """
    connection.execute(f"UPDATE store SET cookie = {_COOKIE}")


def raise_above(connection: Connection, generation: int) -> None:
    """Make the store's generation higher than `generation`, inside a transaction that has already raised it."""
    connection.execute("UPDATE store SET generation = max(generation, ?)", (generation + 1,))


def read(connection: Connection) -> Mark | None:
    """Return the mark as this connection sees it; None for a store that has none yet."""
    known = is_known(connection)
    row = connection.execute(f"SELECT {_COLUMNS} FROM store").fetchone() if known else None
    return None if row is None else Mark(*row)
