"""Forgetting a series: every row of it, in every table."""

from mdata.store.connection import Connection
from mdata.store.series import take_back

# Tables about a series besides its candles; its row in `series` is deleted last.
_LEDGER = (
    "coverage", "lost_candles", "empty_runs", "doubts", "unobtainable", "digests", "answered_months", "data_gaps",
    "candle_revisions", "rejected_rows",
)  # fmt: skip


def count_series(connection: Connection, series_id: int) -> dict[str, int]:
    """Return how many rows of a series each table has."""
    return {
        table: int(
            connection.execute(f"SELECT count(*) FROM {table} WHERE series_id = ?", (series_id,)).fetchone()[0]
        )
        for table in ("candles", *_LEDGER)
    }


def forget_ledger(connection: Connection, series_id: int) -> None:
    """Delete all that is known of a series except its candles; all of its intervals are then unknown."""
    for table in _LEDGER:
        connection.execute(f"DELETE FROM {table} WHERE series_id = ?", (series_id,))
    take_back(connection, series_id, None)


def forget_series(connection: Connection, series_id: int) -> None:
    """Delete the row of a series, after everything else of it."""
    connection.execute("DELETE FROM series WHERE id = ?", (series_id,))
