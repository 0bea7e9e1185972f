"""`backfill`: every series forward from its frontier to now, then back to the wanted start."""

from dataclasses import dataclass

from mdata.config import Settings
from mdata.domain import planning
from mdata.domain.budget import Priority
from mdata.domain.planning import Estimate, estimate
from mdata.domain.series import Series
from mdata.jobs.context import Context
from mdata.jobs.job import Job, run
from mdata.jobs.passes import Passes, Target, find, read_ledger, retention_days, start_asked, targets
from mdata.jobs.result import JobResult
from mdata.store import series as table
from mdata.store.engine import Store

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
    settings, store, now = job.context.settings, job.context.store, job.context.clock.now()
    passes = Passes(job, sum(planned.estimate.requests for planned in plan(settings, store, now, since)))
    served: list[Series] = []
    for target in targets(settings):
        series = passes.introduce(target)
        if series is not None:
            served.append(_want(job, target, series, since))
    for series in sorted(served, key=lambda series: series.frontier or 0):
        passes.forward(series, confirm=True)
    for series in served:
        passes.backward(series)


def _want(job: Job, target: Target, series: Series, since: int | None) -> Series:
    """Extend the wanted range where the settings, or `since`, reach further back than before."""
    settings, grid = job.context.settings, target.timeframe
    start = start_asked(settings, grid, job.context.clock.now())
    if since is not None:
        named = max(grid.floor(since), start) if retention_days(settings, grid) else grid.floor(since)
        if named < series.wanted_start or named < (series.cleaned_to or named):
            with job.write() as connection:
                table.want_again_from(connection, series.id, named)
    if start < series.wanted_start:
        with job.write() as connection:
            table.want_from(connection, series.id, start)
    return find(job.context.store, target) or series


def plan(settings: Settings, store: Store | None, now: int, since: int | None = None) -> list[Planned]:
    """Return what a run at `now` (ms UTC) would ask for at most, from this store or from none yet."""
    return [_planned(settings, store, target, now, since) for target in targets(settings)]


def _planned(settings: Settings, store: Store | None, target: Target, now: int, since: int | None) -> Planned:
    delay, grid = settings.rate_limit_delay, target.timeframe
    start = min(start_asked(settings, grid, now), since if since is not None else now)
    series = find(store, target) if store is not None else None
    if store is None or series is None:
        intervals = grid.count(grid.floor(start), grid.closed_end(now))
        return Planned(target.name, intervals, estimate(intervals, delay, is_new=True))
    ledger = read_ledger(store, series, now, settings.settle_seconds * 1000)
    intervals = planning.backlog(ledger)
    if start < series.wanted_start and series.first_candle is not None:
        intervals += grid.count(max(grid.floor(start), series.first_candle), series.wanted_start)
    asks = planning.forward(ledger, confirm=True) is not None
    return Planned(target.name, intervals, estimate(max(intervals, int(asks)), delay))


def _remaining(job: Job) -> int:
    """Count the wanted intervals outside the hull of every series that is stored."""
    context = job.context
    stored = [series for target in targets(context.settings) if (series := find(context.store, target))]
    now = context.clock.now()
    return sum(planning.backlog(read_ledger(context.store, series, now, context.settle)) for series in stored)
