"""`update`: the forward passes alone, for those who want fresh candles by REST more often than `backfill` runs."""

from mdata.domain.budget import Priority
from mdata.jobs.context import Context
from mdata.jobs.job import Job, run
from mdata.jobs.passes import Passes, find, read_ledger, targets
from mdata.jobs.result import JobResult

COMMAND = "update"


def update(context: Context) -> JobResult:
    """Ask for what has closed since the last answer, stalest series first; the caller holds the command's lock."""
    return run(Job(COMMAND, context, Priority.UPDATE), _work, _remaining)


def _work(job: Job) -> None:
    wanted = targets(job.context.settings)
    passes = Passes(job, expected_requests=len(wanted))
    served = [series for target in wanted if (series := passes.introduce(target))]
    for series in sorted(served, key=lambda series: series.frontier or 0):
        passes.forward(series, confirm=False)


def _remaining(job: Job) -> int:
    """Count the wanted intervals newer than the newest coverage; what is older is the work of `backfill`."""
    context, left = job.context, 0
    for target in targets(context.settings):
        series = find(context.store, target)
        if series is not None:
            ledger = read_ledger(context.store, series, context.clock.now(), context.settle)
            wanted = series.wanted(ledger.now, ledger.settle)
            start = ledger.hull.end if ledger.hull else wanted.start
            left += series.timeframe.count(max(start, wanted.start), wanted.end)
    return left
