"""Pruning what is finished: jobs, resolved gaps and revisions past their age."""

from mdata.store.engine import Connection

_OLD = (
    ("ingestion_jobs", "finished_at IS NOT NULL AND finished_at < ?"),
    ("data_gaps", "resolved_at IS NOT NULL AND resolved_at < ?"),
    ("candle_revisions", "seen_at < ?"),
)


def count_old(connection: Connection, before: int) -> tuple[int, int, int]:
    """Return how many jobs, resolved gaps and revisions are older than `before` (ms UTC)."""
    jobs, gaps, revisions = (
        int(connection.execute(f"SELECT count(*) FROM {table} WHERE {old}", (before,)).fetchone()[0])
        for table, old in _OLD
    )
    return jobs, gaps, revisions


def prune(connection: Connection, before: int) -> tuple[int, int, int]:
    """Delete jobs, resolved gaps and revisions older than `before` (ms UTC); return how many of each."""
    jobs, gaps, revisions = (
        connection.execute(f"DELETE FROM {table} WHERE {old}", (before,)).rowcount for table, old in _OLD
    )
    return jobs, gaps, revisions
