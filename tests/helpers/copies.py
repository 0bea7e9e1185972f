"""The content of a store, table by table."""

from pathlib import Path

from mdata.store.sqlite import sqlite3

TABLES = ("series", "candles", "coverage", "ingestion_jobs")


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    try:
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES}
    finally:
        connection.close()
