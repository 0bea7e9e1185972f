"""`backfill`: every series forward from its frontier to now, then back to the wanted start."""

from dataclasses import dataclass

from mdata.domain import planning
from mdata.domain.budget import Priority
from mdata.domain.planning import Estimate, estimate
from mdata.domain.series import Series
from mdata.jobs.context import Context
from mdata.jobs.job import Job, run
from mdata.jobs.passes import Passes, Target, find, read_ledger, start_asked, targets
from mdata.jobs.result import JobResult
from mdata.store import series as table

COMMAND = "backfill"


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run would do for one series: how many intervals are unknown, and what asking for them costs."""

    name: str
    intervals: int
    estimate: Estimate


def backfill(context: Context, since: int | None = None) -> JobResult:
    """Bring every series of the settings up to date, then back to where it is wanted from.

    `since` (ms UTC) lowers the wanted start of all of them, below what cleanup removed too, though never below
    the retention. The caller holds the command's lock.
    """
    job = Job(COMMAND, context, Priority.BACKFILL)
    return run(job, lambda job: _work(job, since), _remaining)


def _work(job: Job, since: int | None) -> None:
    context = job.context
    expected = sum(planned.estimate.requests for planned in plan(context, since))
    passes = Passes(job, expected)
    served: list[Series] = []
    for target in targets(context):
        series = passes.introduce(target)
        if series is not None:
            served.append(_want(job, target, series, since))
    for series in sorted(served, key=lambda series: series.frontier or 0):
        passes.forward(series, confirm=True)
    for series in served:
        passes.backward(series)


def _want(job: Job, target: Target, series: Series, since: int | None) -> Series:
    """Extend the wanted range where the settings, or `since`, reach further back than before."""
    context = job.context
    start = start_asked(context, target.timeframe)
    if since is not None:
        retention = context.settings.retention_days_by_timeframe.get(
            target.timeframe.name, context.settings.retention_days
        )
        named = target.timeframe.floor(since)
        named = max(named, start) if retention else named
        if named < series.wanted_start or named < (series.cleaned_to or named):
            with job.write() as connection:
                table.want_again_from(connection, series.id, named)
    if start < series.wanted_start:
        with job.write() as connection:
            table.want_from(connection, series.id, start)
    return find(context, target) or series


def plan(context: Context, since: int | None = None) -> list[Planned]:
    """Return what a run would ask for now, at most; nothing is asked or written."""
    return [_planned(context, target, since) for target in targets(context)]


def _planned(context: Context, target: Target, since: int | None) -> Planned:
    delay, grid = context.settings.rate_limit_delay, target.timeframe
    start = min(start_asked(context, grid), since if since is not None else 2**62)
    series = find(context, target)
    if series is None:
        intervals = grid.count(grid.floor(start), grid.closed_end(context.clock.now()))
        return Planned(target.name, intervals, estimate(intervals, delay, is_new=True))
    ledger = read_ledger(context, series)
    intervals = planning.backlog(ledger)
    if start < series.wanted_start and series.first_candle is not None:
        intervals += grid.count(max(grid.floor(start), series.first_candle), series.wanted_start)
    asks = planning.forward(ledger, confirm=True) is not None
    return Planned(target.name, intervals, estimate(max(intervals, int(asks)), delay))


def _remaining(job: Job) -> int:
    """Count the wanted intervals outside the hull of every series that is stored."""
    stored = [series for target in targets(job.context) if (series := find(job.context, target))]
    return sum(planning.backlog(read_ledger(job.context, series)) for series in stored)
