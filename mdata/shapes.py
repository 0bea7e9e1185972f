"""The JSON of the commands that only read: one place, so that the terminal and HTTP cannot differ.

The `find_…` functions read the store; the others say what was read in plain dictionaries, where instants are
ISO 8601 with `Z` and counts are intervals. `told` hears it when the store had to be read in another way (see
`mdata.store.reading`).
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdata.clock import Clock
from mdata.config import Settings
from mdata.domain import moment
from mdata.exchange import registry
from mdata.jobs import JOBS
from mdata.jobs.status import SeriesState, Status, collect, outcome
from mdata.jobs.wanted import Target
from mdata.ratelimit import BudgetView, RateLimit
from mdata.store.engine import Store, open_for_reading, unheard

if TYPE_CHECKING:
    from mdata.jobs.health import Limits
    from mdata.store import gaps as gap_table
    from mdata.store import jobs as job_table

Told = Callable[[str], None]


def find_status(
    settings: Settings, clock: Clock, told: Told = unheard, *, narrowed: bool = False, silent: bool = False
) -> Status:
    """Read what is stored, or that nothing is; `narrowed` and `silent` as `collect` has them."""
    with _opened(settings.database_path, told) as store:
        state = collect(settings, store, clock.now(), narrowed=narrowed, silent=silent)
    rate = budget(settings, clock)
    warnings = (*state.warnings, *filter(None, [rate.problem]))
    return state._replace(blocked_until=rate.blocked_until, warnings=warnings)


def find_gaps(
    settings: Settings,
    status: str | None,
    symbols: list[str],
    timeframes: list[str],
    since: int | None,
    limit: int | None,
    told: Told = unheard,
) -> list[dict[str, Any]] | None:
    """Return the newest rows of `gaps` that pass the filters (`since` in ms UTC); None where nothing is stored.

    `symbols` are pairs as the settings write them.
    """
    from mdata.store.gaps import listed

    with _opened(settings.database_path, told) as store:
        if store is None:
            return None
        with store.read() as connection:
            pairs = [(venue.name, symbol) for venue, symbol in map(registry.resolve, symbols)]
            return gaps(listed(connection, status, pairs, timeframes, since, limit))


def find_jobs(
    settings: Settings,
    command: str | None,
    since: int | None,
    limit: int,
    outcome: str | None = None,
    told: Told = unheard,
) -> list[dict[str, Any]] | None:
    """Return the newest rows of `jobs` that pass the filters (`since` in ms UTC); None where nothing is stored."""
    from mdata.locks import holder
    from mdata.store.jobs import listed

    with _opened(settings.database_path, told) as store:
        if store is None:
            return None
        # Before the rows are read: a run that ends meanwhile has then told how.
        at_work = [name for name in JOBS if holder(store.path, name) is not None]
        with store.read() as connection:
            return jobs(listed(connection, command, since, limit, outcome, at_work))


@contextmanager
def _opened(path: Path, told: Told) -> Iterator[Store | None]:
    with open_for_reading(path, told) or nullcontext() as store:
        yield store


def budget(settings: Settings, clock: Clock) -> BudgetView:
    """Return the shared rate budget as it is now; nothing is locked or changed.

    Each exchange has its own: this is that of the first one that the settings name.
    """
    venue, _ = registry.resolve(settings.symbols[0])
    return RateLimit(
        settings.rate_state(venue),
        settings.rate_limit_delay,
        settings.rate_limit_min_backoff_seconds,
        clock,
        random.Random(),  # noqa: S311 - only looks
        settings.rate_limit_burst,
        venue,
    ).peek()


def status(state: Status, rate: BudgetView, limits: "Limits | None" = None) -> dict[str, Any]:
    """Return what `status` tells beside the envelope; with `limits` also what is worth saying beside that."""
    from mdata.jobs.health import notes

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


def gaps(found: "Iterable[gap_table.Listed]") -> list[dict[str, Any]]:
    """Return the rows of `gaps`."""
    return [_row(one._asdict(), "start", "end", "detected_at", "next_attempt_at", "resolved_at") for one in found]


def jobs(found: "Iterable[job_table.Listed]") -> list[dict[str, Any]]:
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
    return None if instant is None else moment.iso(instant)
