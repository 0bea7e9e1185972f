"""`mdata repair`."""

from typing import Annotated

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct
from mdata.cli.stored import opened


def repair(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    dry_run: common.DryRun = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also try gaps that were given up.")] = False,
    max_runtime: common.MaxRuntime = None,
    max_requests: common.MaxRequests = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Fetch the gaps that are due, and close them only on proof.

    Goes from the newest gap to the oldest. One request can repair several gaps; a run sends at most
    GAP_REPAIR_MAX_REPAIRS_PER_RUN requests. A gap that stays unproven is tried again after 1, 6, 24 hours and so on,
    and given up after 8 attempts.
    """
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    if dry_run:
        conduct("repair", given, lambda kit: _plan(kit, retry_failed=retry_failed))
    else:
        from mdata.cli.job_run import limits_of, run_job
        from mdata.jobs.repair import repair as work

        limits = limits_of(max_runtime, max_requests)
        run_job("repair", given, limits, wait_lock, lambda context: work(context, retry_failed=retry_failed))


def _plan(kit: Kit, *, retry_failed: bool) -> Answer:

    from mdata import render
    from mdata.domain.priority import Priority
    from mdata.domain.times import human_duration
    from mdata.jobs.repair import NOTHING, plan
    from mdata.lookups import budget

    settings, store, found = kit.loaded.settings, opened(kit), NOTHING
    if store is not None:
        with store:
            found = plan(settings, store, kit.clock.now(), retry_failed=retry_failed)
    cost = found.estimate
    cost = cost._replace(seconds=budget(settings, kit.clock).seconds_for(cost.requests, Priority.REPAIR))
    data = {
        "dry_run": True,
        "gaps_due": found.gaps,
        "silences_due": found.silences,
        "intervals": found.intervals,
        **cost._asdict(),
    }
    text = (
        f"{found.gaps} gaps ({found.intervals} intervals) and {found.silences} long periods without trades are due: "
        f"at most {cost.requests} requests, {human_duration(cost.seconds)} at the shared rate, "
        f"{cost.bytes / 1e6:.1f} MB"
    )
    return Answer(data=data, show=lambda: render.line(text))
