"""What the tests of the lake share: how a lake is looked at by other eyes than mdata's."""

from pathlib import Path
from typing import Any

from conftest import stored
from deltalake import DeltaTable

from mdata.store.sqlite import sqlite3

MAY = 1_714_521_600_000
DAY = 86_400_000
APRIL = MAY - 30 * DAY
MARCH = APRIL - 31 * DAY
PRICES = ("open", "high", "low", "close", "volume")


def rows_of(lake: str | Path, symbol: str, timeframe: str, version: int | None = None) -> list[tuple[Any, ...]]:
    """Return the candles of a series as pyarrow reads them, ascending: ms UTC and five prices."""
    table = DeltaTable(f"{lake}/candles", version=version).to_pyarrow_table()
    found = [
        (int(row["time"].timestamp() * 1000), *(row[name] for name in PRICES))
        for row in table.to_pylist()
        if (row["symbol"], row["timeframe"]) == (symbol, timeframe)
    ]
    return sorted(found)


def coverage_of(lake: str | Path) -> list[dict[str, Any]]:
    """Return the rows of the table `coverage`, by series and time."""
    rows = DeltaTable(f"{lake}/coverage").to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: (row["symbol"], row["timeframe"], row["start"]))


def versions(lake: str | Path) -> dict[str, int]:
    """Return how many times each table was committed to."""
    return {name: DeltaTable(f"{lake}/{name}").version() for name in ("candles", "coverage", "series")}


def in_store(database: Path, symbol: str, timeframe: str, start: int, end: int) -> list[tuple[Any, ...]]:
    """Return the candles that the store has of a range (ms UTC)."""
    return [row for row in stored(database, symbol, timeframe) if start <= row[0] < end]


def digest_in_store(database: Path, series_id: int, month: int) -> tuple[int, str]:
    """Return the digest that `verify` has kept of a month, as text, and how many candles it is of."""
    connection = sqlite3.connect(database)
    row = connection.execute(
        "SELECT candles, lower(hex(digest)) FROM digests WHERE series_id = ? AND month = ?", (series_id, month)
    ).fetchone()
    connection.close()
    return int(row[0]), str(row[1])
