"""`update`: only the forward passes, for users who want new candles by REST more often than `backfill` runs."""

from mdata.config import Settings
from mdata.domain import planning
from mdata.domain.estimate import estimate
from mdata.domain.ledger import Ledger
from mdata.domain.priority import Priority
from mdata.exit_codes import OK, WORK_REMAINS
from mdata.fetching.ledger import read_ledger, stored_ledgers
from mdata.fetching.passes import Passes, ask_again
from mdata.fetching.wanted import Planned, Target, find, start_asked, targets
from mdata.jobs.backfill import in_forward_order, unanswered
from mdata.running.context import Context
from mdata.running.job import Job
from mdata.running.result import JobResult
from mdata.running.run import Remainder, run
from mdata.store.engine import Store

COMMAND = "update"


def update(context: Context) -> JobResult:
    """Request what has closed since the last answer, stalest series first; the caller holds the command's lock."""
    return run(Job(COMMAND, context, Priority.UPDATE), _work, _find_remainder)


def plan(settings: Settings, store: Store | None, now: int) -> list[Planned]:
    """Return the most that a run at `now` (ms UTC) would request; `store` is None if there is none yet."""
    return [_planned(settings, store, target, now) for target in targets(settings)]


def _planned(settings: Settings, store: Store | None, target: Target, now: int) -> Planned:
    delay, grid = settings.rate_limit_delay, target.timeframe
    series = find(store, target) if store is not None else None
    if store is None or series is None:
        start, rows = start_asked(settings, target.venue, grid, now), target.venue.page_rows
        newest = min(grid.count(start, grid.closed_end(now)), rows)
        return Planned(target, newest, estimate(newest, delay, rows, is_new=True))
    wish = planning.forward(read_ledger(store, series, now, settings.settle), confirm=False)
    intervals = 0 if wish is None else grid.count(*wish.part)
    return Planned(target, intervals, estimate(intervals, delay, target.venue.page_rows))


def _work(job: Job) -> None:
    wanted = targets(job.context.settings)
    passes = Passes(job, lambda: len(wanted))
    served = [series for target in wanted if (series := passes.introduce(target))]
    for series in in_forward_order(job, served):
        # Contradictions that the previous run left are asked about first; those that this run's forward pass finds
        # are left to the next run.
        ask_again(job, series)
        passes.forward(series, confirm=False)


def _find_remainder(job: Job) -> Remainder:
    ledgers = stored_ledgers(job.context)
    reason = unanswered(job, ledgers, _newer)
    return Remainder(sum(map(_newer, ledgers)), WORK_REMAINS if reason else OK, reason)


def _newer(ledger: Ledger) -> int:
    """Return how many wanted intervals are newer than the newest coverage; older ones are the work of `backfill`."""
    start = ledger.hull.end if ledger.hull else ledger.wanted.start
    return ledger.series.timeframe.count(max(start, ledger.wanted.start), ledger.wanted.end)
