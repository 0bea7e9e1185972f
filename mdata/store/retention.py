"""Pruning what is past its age (jobs, resolved gaps, revisions, refused rows), and forgetting a series."""

from typing import NamedTuple

from mdata.store.connection import Connection
from mdata.store.series import take_back

_OLD = (
    ("ingestion_jobs", "finished_at IS NOT NULL AND finished_at < ?"),
    ("data_gaps", "resolved_at IS NOT NULL AND resolved_at < ?"),
    # As long as the candle would have been kept, what it was before is kept too.
    ("candle_revisions", "seen_at < ? AND open_time < (SELECT cleaned_to FROM series WHERE id = series_id)"),
    ("rejected_rows", "seen_at < ?"),
)


class Old(NamedTuple):
    """How many rows of each kind are past their age."""

    jobs: int = 0
    gaps: int = 0
    revisions: int = 0
    rejected: int = 0


def count_old(connection: Connection, before: int) -> Old:
    """Return how many jobs, resolved gaps, revisions and refused rows are older than `before` (ms UTC)."""
    counts = (
        connection.execute(f"SELECT count(*) FROM {table} WHERE {old}", (before,)).fetchone()[0]
        for table, old in _OLD
    )
    return Old(*counts)


def prune(connection: Connection, before: int) -> Old:
    """Delete what `count_old` counts, and return how much it was."""
    return Old(*(connection.execute(f"DELETE FROM {table} WHERE {old}", (before,)).rowcount for table, old in _OLD))


# What is known of a series beside its candles; its row in `series` goes last.
_LEDGER = (
    "coverage", "lost_candles", "empty_runs", "doubts", "unobtainable", "digests", "data_gaps", "candle_revisions",
    "rejected_rows",
)  # fmt: skip


def count_series(connection: Connection, series_id: int) -> dict[str, int]:
    """Return how many rows each table holds of a series."""
    return {
        table: int(
            connection.execute(f"SELECT count(*) FROM {table} WHERE series_id = ?", (series_id,)).fetchone()[0]
        )
        for table in ("candles", *_LEDGER)
    }


def forget_ledger(connection: Connection, series_id: int) -> None:
    """Delete all that is known of a series but its candles: they are unknown then."""
    for table in _LEDGER:
        connection.execute(f"DELETE FROM {table} WHERE series_id = ?", (series_id,))
    take_back(connection, series_id, None)


def forget_series(connection: Connection, series_id: int) -> None:
    """Delete the row of a series of which nothing else is left."""
    connection.execute("DELETE FROM series WHERE id = ?", (series_id,))
