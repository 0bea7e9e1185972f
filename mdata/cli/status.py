"""`mdata status`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct, duration

if TYPE_CHECKING:
    from mdata.jobs.status import SeriesState, Status
    from mdata.ratelimit import BudgetView


def status(
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 3 unless the store is healthy.")] = False,
    max_lag: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Limit for --check; else STATUS_MAX_LAG_MINUTES.")
    ] = None,
    max_gaps: Annotated[int, typer.Option(min=0, help="Open gaps that --check lets pass.")] = 0,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Show what the store holds, what is missing, how far behind it is, and how the jobs went."""
    given = Options(env_file, symbol, timeframe, json, quiet, verbose)
    conduct("status", given, lambda frame: _status(frame, max_lag, max_gaps, is_check=check))


def _status(frame: Frame, max_lag: str | None, max_gaps: int, *, is_check: bool) -> Answer:
    from mdata.jobs import status as job
    from mdata.store.engine import open_for_reading

    settings = frame.loaded.settings
    limit = settings.status_max_lag_minutes * 60 if max_lag is None else duration(max_lag, "--max-lag")
    store = open_for_reading(settings.database_path)
    try:
        state = job.collect(settings, store, frame.clock.now())
    finally:
        if store is not None:
            store.close()
    budget = _budget(frame)
    complaints = job.complaints(state, limit, max_gaps) if is_check else []
    reason = "; ".join(complaints) or None
    return Answer(
        3 if complaints else 0,
        reason,
        as_data(state, budget),
        lambda: _show(frame, state, budget, reason, is_check=is_check),
    )


def _budget(frame: Frame) -> "BudgetView":
    import random

    from mdata.ratelimit import RateLimit

    settings = frame.loaded.settings
    return RateLimit(
        settings.rate_limit_state_path,
        settings.rate_limit_delay,
        settings.rate_limit_min_backoff_seconds,
        frame.clock,
        random.Random(),  # noqa: S311 - only looks
    ).peek()


def as_data(state: "Status", budget: "BudgetView") -> dict[str, Any]:
    """Return what `status --json` prints beside the envelope; instants are ISO 8601."""
    from mdata.domain import moment

    def iso(instant: int | None) -> str | None:
        return None if instant is None else moment.iso(instant)

    return {
        "series": [_series_data(one) for one in state.series],
        "absent": state.absent,
        "gaps": state.gaps,
        "jobs": {
            command: {
                "last_started_at": iso(last.started_at),
                "last_outcome": last.outcome,
                "last_success_at": iso(last.success_at),
            }
            for command, last in state.jobs.items()
        },
        "rate_limit": {
            "delay_seconds": budget.delay_seconds,
            "next_request_at": iso(budget.next_request_at),
            "blocked_until": iso(budget.blocked_until),
        },
        "database": {
            "path": str(state.path),
            "bytes": state.bytes,
            "wal_bytes": state.wal_bytes,
            "schema_version": state.schema_version,
            "sqlite_version": state.sqlite_version,
        },
    }


def _series_data(one: "SeriesState") -> dict[str, Any]:
    from mdata.domain.moment import iso

    counts = one.counts
    has_wanted = counts.wanted.end > counts.wanted.start
    return {
        "exchange": one.series.exchange,
        "symbol": one.series.symbol,
        "timeframe": one.series.timeframe.name,
        "first": None if counts.first is None else iso(counts.first),
        "last": None if counts.last is None else iso(counts.last),
        "candles": counts.candles,
        "wanted_start": iso(counts.wanted.start) if has_wanted else None,
        "wanted_end": iso(counts.wanted.end) if has_wanted else None,
        "final": counts.final,
        "provisional": counts.provisional,
        "empty": counts.empty,
        "unknown": counts.unknown,
        "gaps_open": counts.gaps,
        "lag_seconds": one.lag_seconds,
        "complete": one.is_complete,
        "retired": one.is_retired,
    }


def _show(frame: Frame, state: "Status", budget: "BudgetView", reason: str | None, *, is_check: bool) -> None:
    from mdata import render

    if is_check:
        render.line(reason or "healthy")
        return
    render.status(as_data(state, budget))
    for name in state.absent:
        frame.log.warning(f"nothing is stored of {name} yet: run `mdata backfill`")
