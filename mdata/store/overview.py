"""What the ledger says about every series, at a cost that grows with its segments and not with its candles."""

from typing import NamedTuple

from mdata.domain.interval import Range, clip, intersect, normal, subtract
from mdata.domain.series import Series
from mdata.store import candles, coverage
from mdata.store.engine import Connection


class Counts(NamedTuple):
    """The state of one series: times are ms UTC, counts are intervals of the wanted range.

    wanted = final + provisional + unknown; empty is the part of final without candles. `candles` counts all
    that are stored; `gaps` are open and failed ones; `hull_end` is the end of the newest coverage.
    """

    first: int | None
    last: int | None
    candles: int
    wanted: Range
    final: int
    provisional: int
    empty: int
    unknown: int
    gaps: int
    hull_end: int | None


def counts(connection: Connection, series: Series, wanted: Range) -> Counts:
    """Count what is known of a series in its wanted range."""
    grid, segments = series.timeframe, coverage.segments(connection, series.id)
    marked = candles.lost(connection, series.id, wanted) if wanted.end > wanted.start else []
    lost = [Range(time, time + 1) for time in marked]
    by_kind = {
        kind: clip(normal(segment.range for segment in segments if segment.kind == kind), *wanted)
        for kind in ("final", "provisional")
    }
    intervals = {kind: sum(grid.count(*part) for part in parts) for kind, parts in by_kind.items()}
    lost_by_kind = {kind: len(intersect(parts, lost)) for kind, parts in by_kind.items()}
    final = intervals["final"] - lost_by_kind["final"]
    provisional = intervals["provisional"] - lost_by_kind["provisional"]
    held = sum(
        segment.candles - _sticking_out(connection, series.id, segment.range, wanted)
        for segment in segments
        if segment.kind == "final" and segment.range.overlaps(wanted)
    )
    (gaps,) = connection.execute(
        "SELECT count(*) FROM data_gaps WHERE series_id = ? AND status IN ('open', 'failed')", (series.id,)
    ).fetchone()
    return Counts(
        first=candles.first_from(connection, series.id, -(2**62)),
        last=candles.last_before(connection, series.id, 2**62),
        candles=sum(segment.candles for segment in segments),
        wanted=wanted,
        final=final,
        provisional=provisional,
        empty=final - held,
        unknown=grid.count(*wanted) - final - provisional,
        gaps=gaps,
        hull_end=segments[-1].end if segments else None,
    )


def _sticking_out(connection: Connection, series_id: int, covered: Range, wanted: Range) -> int:
    """Count the candles of a segment outside the wanted range: a few minutes' worth at most, so never the years."""
    outside = subtract([covered], [wanted])
    return sum(candles.count(connection, series_id, part) for part in outside)


def gaps_by_status(connection: Connection) -> dict[str, int]:
    """Return how many rows of `data_gaps` have each status."""
    found = dict(connection.execute("SELECT status, count(*) FROM data_gaps GROUP BY status").fetchall())
    return {status: found.get(status, 0) for status in ("open", "repaired", "empty", "failed")}


class LastRun(NamedTuple):
    """The newest run of a command, and the newest one that ended well (ms UTC)."""

    started_at: int
    outcome: str
    finished_at: int | None
    success_at: int | None


def last_runs(connection: Connection) -> dict[str, LastRun]:
    """Return the newest run of every command that has one."""
    rows = connection.execute(
        """SELECT command, outcome, started_at, finished_at,
                  (SELECT max(finished_at) FROM ingestion_jobs AS good
                   WHERE good.command = jobs.command AND good.outcome IN ('ok', 'partial')
                     AND good.started_at > jobs.started_at - 90 * 86400000)
           FROM ingestion_jobs AS jobs
           WHERE id IN (SELECT max(id) FROM ingestion_jobs GROUP BY command) ORDER BY command"""
    )
    return {
        command: LastRun(started, outcome, finished, success)
        for command, outcome, started, finished, success in rows.fetchall()
    }


def file_sizes(connection: Connection) -> tuple[int, int]:
    """Return the bytes of the database and the number of its free ones."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return pages * size, free * size
