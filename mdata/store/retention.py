"""Deletes old rows: jobs, resolved gaps, revisions, rejected rows."""

from typing import NamedTuple

from mdata.store.connection import Connection

_OLD = (
    ("ingestion_jobs", "finished_at IS NOT NULL AND finished_at < ?"),
    ("data_gaps", "resolved_at IS NOT NULL AND resolved_at < ?"),
    # Old values are kept as long as the candle itself would be.
    ("candle_revisions", "seen_at < ? AND open_time < (SELECT cleaned_to FROM series WHERE id = series_id)"),
    ("rejected_rows", "seen_at < ?"),
)


class Old(NamedTuple):
    """How many rows of each kind are too old."""

    jobs: int = 0
    gaps: int = 0
    revisions: int = 0
    rejected: int = 0


def count_old(connection: Connection, before: int) -> Old:
    """Return how many jobs, resolved gaps, revisions and rejected rows are older than `before` (ms UTC)."""
    counts = (
        connection.execute(f"SELECT count(*) FROM {table} WHERE {old}", (before,)).fetchone()[0]
        for table, old in _OLD
    )
    return Old(*counts)


def prune(connection: Connection, before: int) -> Old:
    """Delete the rows that `count_old` counts, and return how many there were."""
    return Old(*(connection.execute(f"DELETE FROM {table} WHERE {old}", (before,)).rowcount for table, old in _OLD))
