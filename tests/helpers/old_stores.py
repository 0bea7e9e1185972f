"""Stores as earlier releases have left them."""

from pathlib import Path
from typing import Any

from mdata.store.sqlite import sqlite3

DATA = Path(__file__).parents[1] / "data"


STORES = sorted(path.stem for path in DATA.glob("*.sql"))


def shape(path: Path) -> dict[str, Any]:
    """Return what a store's tables, indexes, triggers and views are, in whatever order columns came to be."""
    connection = sqlite3.connect(path)
    found: dict[str, Any] = {}
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
        columns = connection.execute(
            'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (name,)
        )
        found[name] = sorted(columns.fetchall(), key=str) if kind == "table" else " ".join((sql or "").split())
    connection.close()
    return found
