"""Changes that some other tool makes to a store behind mdata's back."""

from pathlib import Path

from mdata.store.sqlite import sqlite3

TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"


def tamper(path: Path, *statements: str) -> None:
    """Change the store so that no trigger sees it, as damage does; series 1 is meant."""
    connection = sqlite3.connect(path)
    triggers = connection.execute(TRIGGERS).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        assert connection.execute(statement).rowcount > 0, statement
    for _, sql in triggers:
        connection.execute(sql)
    connection.commit()
    connection.close()
