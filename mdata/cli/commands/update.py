"""`mdata update`."""

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct
from mdata.domain.priority import Priority


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
    """Fetch only candles that have closed since the last answer.

    This is the first part of `backfill`. Run it more often if you want fresh candles and no stream is running.
    """
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    if dry_run:
        conduct("update", given, _plan)
    else:
        from mdata.cli.job_run import limits_of, run_job
        from mdata.jobs.update import update as work

        run_job("update", given, limits_of(max_runtime, max_requests), wait_lock, work)


def _plan(kit: Kit) -> Answer:
    from mdata.cli.dry_run import cost_of
    from mdata.jobs.update import plan

    return cost_of(kit, Priority.UPDATE, plan)
