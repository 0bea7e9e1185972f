"""`mdata backfill` and `mdata update`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct, instant
from mdata.domain.budget import Priority

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdata.config import Settings
    from mdata.jobs.context import Context
    from mdata.jobs.result import JobResult
    from mdata.jobs.wanted import Planned
    from mdata.store.engine import Store


def backfill(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    dry_run: common.DryRun = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT", help="Want candles from here on: 2024, 2024-03, ISO 8601, -7d, ms.", show_default=False
        ),
    ] = None,
    max_runtime: common.MaxRuntime = None,
    max_requests: common.MaxRequests = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Fetch what is missing, newest first, back to where wanted.

    Every series is first brought up to date and then extended backwards, to BACKFILL_DAYS ago or to --since. Every
    page is committed as it comes: whatever ends a run, the next one carries on from there.
    """
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    if dry_run:
        conduct("backfill", given, lambda frame: _plan_backfill(frame, since))
    from mdata.cli.jobs import limits_of, run_job

    limits = limits_of(max_runtime, max_requests)
    run_job("backfill", given, limits, wait_lock, lambda context: _run(context, since))


def update(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    dry_run: common.DryRun = False,
    max_runtime: common.MaxRuntime = None,
    max_requests: common.MaxRequests = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Fetch what has closed since the last answer, nothing older.

    What `backfill` does first, for those who want it more often and have no stream running.
    """
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    if dry_run:
        conduct("update", given, _plan_update)
    from mdata.cli.jobs import limits_of, run_job
    from mdata.jobs.update import update as work

    run_job("update", given, limits_of(max_runtime, max_requests), wait_lock, work)


def _run(context: "Context", since: str | None) -> "JobResult":
    from mdata.jobs.backfill import backfill as work

    return work(context, instant(since, "--since", context.clock))


def _plan_backfill(frame: Frame, since: str | None) -> Answer:
    from mdata.jobs.backfill import plan

    start = instant(since, "--since", frame.clock)
    return _plan(frame, Priority.BACKFILL, lambda settings, store, now: plan(settings, store, now, start))


def _plan_update(frame: Frame) -> Answer:
    from mdata.jobs.update import plan

    return _plan(frame, Priority.UPDATE, plan)


def _plan(frame: Frame, priority: Priority, plan: "Callable[[Settings, Store | None, int], list[Planned]]") -> Answer:
    """Say what a run would ask for at most: requests, time at the shared rate, bytes."""
    from contextlib import nullcontext
    from dataclasses import asdict

    from mdata.domain.estimate import Estimate, in_turn
    from mdata.shapes import budget
    from mdata.store.engine import open_for_reading

    settings = frame.loaded.settings
    with open_for_reading(settings.database_path) or nullcontext() as store:
        found = plan(settings, store, frame.clock.now())
    rate = budget(settings, frame.clock)
    timed = in_turn([one.estimate for one in found], lambda requests: rate.seconds_for(requests, priority))
    planned = [one._replace(estimate=cost) for one, cost in zip(found, timed, strict=True)]
    series = [_row(one) for one in planned]
    total = sum((one.estimate for one in planned), Estimate(0, 0, 0))
    return Answer(data={"dry_run": True, **asdict(total), "series": series}, show=lambda: _show_plan(planned))


def _row(one: "Planned") -> dict[str, Any]:
    from dataclasses import asdict

    venue, symbol, timeframe = one.target
    named = {"exchange": venue.name, "symbol": symbol, "timeframe": timeframe.name}
    return {"series": one.target.as_written, "intervals": one.intervals, **asdict(one.estimate), **named}


def _show_plan(planned: "list[Planned]") -> None:
    from mdata.render import plan_table

    plan_table(planned)
