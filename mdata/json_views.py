"""The JSON of the read-only commands: in one place, so that the terminal and HTTP cannot differ.

All functions return plain dictionaries: times are ISO 8601 with `Z`, counts are intervals.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mdata.domain import times
from mdata.fetching.wanted import Target
from mdata.jobs.status import SeriesState, Status, outcome
from mdata.ratelimit import BudgetView

if TYPE_CHECKING:
    from mdata.health import Tolerance
    from mdata.store import gaps as gap_table
    from mdata.store import jobs as job_table


def status(state: Status, rate: BudgetView, limits: "Tolerance | None" = None) -> dict[str, Any]:
    """Return the JSON of `status` without the envelope; with `limits`, also the notes of the health check."""
    from mdata.health import notes

    return {
        "series": [_series(one) for one in state.series],
        "absent": [one.as_written for one in state.absent],
        "absent_series": [_named(one) for one in state.absent],
        "notes": notes(state, limits) if limits else [],
        "gaps": {
            "open": state.gaps.open,
            "repaired": state.gaps.repaired,
            "empty": state.gaps.empty,
            "failed": state.gaps.failed,
            "oldest_detected_at": _iso(state.gaps.oldest_at),
            "next_attempt_at": _iso(state.gaps.next_attempt_at or None),
        },
        "jobs": {command: _job(state, command) for command in state.jobs},
        "rate_limit": {
            "delay_seconds": rate.pace.delay,
            "burst": rate.pace.burst,
            "free_now": rate.free_now,
            "next_request_at": _iso(rate.next_request_at),
            "blocked_until": _iso(rate.blocked_until),
            "calm_until": _iso(rate.calm_until),
            "refusals": rate.refusals,
            "waiting": list(rate.waiting),
        },
        "database": {
            "path": str(state.path),
            "bytes": state.bytes,
            "wal_bytes": state.wal_bytes,
            "schema_version": state.schema_version,
            "sqlite_version": state.sqlite_version,
        },
        "warnings": list(state.warnings),
    }


def gaps(found: "Iterable[gap_table.GapRow]") -> list[dict[str, Any]]:
    """Return the rows of `gaps`."""
    return [_row(one._asdict(), "start", "end", "detected_at", "next_attempt_at", "resolved_at") for one in found]


def jobs(found: "Iterable[job_table.JobRow]") -> list[dict[str, Any]]:
    """Return the rows of `jobs`."""
    return [_row(one._asdict(), "started_at", "finished_at") for one in found]


def revisions(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of `gaps --revisions`."""
    return [_row(dict(one), "open_time", "seen_at") for one in found]


def _named(one: Target) -> dict[str, str]:
    return {"exchange": one.venue.name, "symbol": one.symbol, "timeframe": one.timeframe.name}


def _series(one: SeriesState) -> dict[str, Any]:
    counts = one.counts
    has_wanted = counts.wanted.end > counts.wanted.start
    return {
        "exchange": one.series.exchange,
        "symbol": one.series.symbol,
        "timeframe": one.series.timeframe.name,
        "first": _iso(counts.first),
        "last": _iso(counts.last),
        "candles": counts.candles,
        "wanted_start": _iso(counts.wanted.start) if has_wanted else None,
        "wanted_end": _iso(counts.wanted.end) if has_wanted else None,
        "final": counts.final,
        "present": counts.present,
        "empty": counts.empty,
        "provisional": counts.provisional,
        "unknown": counts.unknown,
        "lost": counts.lost,
        "doubted": counts.doubted,
        "unobtainable": counts.unobtainable,
        "backlog": counts.backlog,
        "gaps_open": one.gaps.unresolved,
        "lag_seconds": one.lag_seconds,
        "complete": one.is_complete,
        "silent_since": _iso(counts.silent_since),
        "compared_since": _iso(one.series.compared_at),
        "retired": one.is_retired,
    }


def _job(state: Status, command: str) -> dict[str, Any]:
    last = state.jobs[command]
    return {
        "last_started_at": _iso(last.started_at),
        "last_outcome": outcome(state, command),
        "last_success_at": _iso(last.success_at),
        "last_exit": last.exit,
        "is_running": command in state.running,
        "next_run_at": _iso((state.next_runs or {}).get(command)),
    }


def _row(row: dict[str, Any], *instants: str) -> dict[str, Any]:
    return {**row, **{name: _iso(row[name]) for name in instants}}


def _iso(instant: int | None) -> str | None:
    return None if instant is None else times.iso(instant)
