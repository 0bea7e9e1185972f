"""`mdata backfill`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct, instant
from mdata.domain.priority import Priority

if TYPE_CHECKING:
    from mdata.running.context import Context
    from mdata.running.result import JobResult


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
            metavar="INSTANT",
            help="Fetch back to this instant: 2024, 2024-03, ISO 8601, -7d, or ms.",
            show_default=False,
        ),
    ] = None,
    max_runtime: common.MaxRuntime = None,
    max_requests: common.MaxRequests = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Fetch missing candles, newest first, to the configured start.

    Every series is first brought up to date, then extended backwards to BACKFILL_DAYS ago or to --since. Every page
    is committed as it arrives, so the next run continues where this one stopped, whatever the reason.
    """
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    if dry_run:
        conduct("backfill", given, lambda kit: _plan(kit, since))
    else:
        from mdata.cli.job_run import limits_of, run_job

        limits = limits_of(max_runtime, max_requests)
        run_job("backfill", given, limits, wait_lock, lambda context: _run(context, since))


def _run(context: "Context", since: str | None) -> "JobResult":
    from mdata.jobs.backfill import backfill as work

    return work(context, instant(since, "--since", context.clock))


def _plan(kit: Kit, since: str | None) -> Answer:
    from mdata.cli.dry_run import cost_of
    from mdata.jobs.backfill import plan

    start = instant(since, "--since", kit.clock)
    return cost_of(kit, Priority.BACKFILL, lambda settings, store, now: plan(settings, store, now, start))
