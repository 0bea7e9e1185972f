"""`mdata detect-gaps`."""

from mdata.cli import options as common
from mdata.cli.entry import Options


def detect_gaps(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    max_runtime: common.MaxRuntime = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Find what is missing inside the fetched range.

    Finds intervals without an answer, and candles that were deleted after they were stored. Sends no requests. `mdata
    gaps` lists what was found, and `mdata repair` fetches it again.
    """
    from mdata.cli.job_run import limits_of, run_job
    from mdata.jobs.detect_gaps import detect_gaps as work

    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    run_job("detect-gaps", given, limits_of(max_runtime, None), wait_lock, work)
