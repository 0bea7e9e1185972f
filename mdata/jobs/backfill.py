"""`backfill`: every series forward from its frontier to now, then back to the wanted start."""

from collections.abc import Callable

from mdata.config import Settings
from mdata.domain import planning
from mdata.domain.estimate import estimate
from mdata.domain.ledger import Ledger, backlog, doubted_outside
from mdata.domain.priority import Priority
from mdata.domain.series import Series
from mdata.domain.timeframe import Timeframe
from mdata.exit_codes import OK, WORK_REMAINS
from mdata.fetching.ledger import read_ledger, stored_ledgers
from mdata.fetching.passes import Passes
from mdata.fetching.wanted import Planned, Target, cut_off, find, refuse_wrong_clock, start_asked, targets
from mdata.running.context import Context
from mdata.running.job import Job
from mdata.running.result import JobResult
from mdata.running.run import Remainder, run
from mdata.store import coverage
from mdata.store import series as table
from mdata.store.engine import Store

COMMAND = "backfill"


def backfill(context: Context, since: int | None = None) -> JobResult:
    """Bring every series of the settings up to date, then extend it back to its configured start.

    `since` (ms UTC) moves the wanted start of all of them back, even into what cleanup has removed, but never beyond
    the retention. The caller holds the command's lock.
    """
    job = Job(COMMAND, context, Priority.BACKFILL)
    return run(job, lambda job: _work(job, since), _find_remainder)


def _work(job: Job, since: int | None) -> None:
    settings, store, now = job.context.settings, job.context.store, job.context.clock.now()
    passes = Passes(job, lambda: sum(planned.estimate.requests for planned in plan(settings, store, now, since)))
    served: list[Series] = []
    for target in targets(settings):
        series = passes.introduce(target)
        if series is not None:
            served.append(_want(job, target, series, since))
    for series in in_forward_order(job, served):
        passes.forward(series, confirm=True)
    for series in served:
        passes.backward(series)


def in_forward_order(job: Job, served: list[Series]) -> list[Series]:
    """Return series in the order of their forward passes: the stalest first.

    Series that need more than one page come last.
    """
    now = job.context.clock.now()

    def key(series: Series) -> tuple[bool, int]:
        frontier = series.frontier or 0
        return series.timeframe.count(frontier, now) > series.venue.page_rows, frontier

    return sorted(served, key=key)


def _find_remainder(job: Job) -> Remainder:
    """Count the backlog, and name the ranges in doubt or, if there are none, the unanswered ranges."""
    ledgers = stored_ledgers(job.context)
    reason = _in_doubt(job, ledgers) or unanswered(job, ledgers, backlog)
    return Remainder(sum(map(backlog, ledgers)), WORK_REMAINS if reason else OK, reason)


def unanswered(job: Job, ledgers: list[Ledger], missing: Callable[[Ledger], int]) -> str | None:
    """Return the sentence about ranges that were `missing` when the run began and still are, if there are any.

    Limits and errors have their own sentences. A quiet pair does not count, because it is requested only once a day.
    """
    if job.problems or job.has_ended_early:
        return None
    # A local clock that is ahead asks for more than there is.
    began = min(job.started_at, table.shown_to(job.context.store.connection) or job.started_at)
    names = _missing_in([ledger._replace(now=began) for ledger in ledgers], missing)
    if not names:
        return None
    return f"the exchange's answers left out {names}: run `mdata {job.command}` again"


def _in_doubt(job: Job, ledgers: list[Ledger]) -> str | None:
    """Return the sentence about what only one answer has said about the ends of the series, if there is anything."""
    names = _missing_in(ledgers, doubted_outside)
    if not names:
        return None
    return (
        f"in doubt: {names}; one answer had no candles there, and no second answer has confirmed that yet: run "
        f"`mdata {job.command}` again"
    )


def _missing_in(ledgers: list[Ledger], missing: Callable[[Ledger], int]) -> str:
    """Return the series in which something is missing, and how much; quiet pairs are left out."""
    found = ((ledger.series.name, missing(ledger)) for ledger in ledgers if not ledger.is_quiet)
    return ", ".join(f"{name} ({count} intervals)" for name, count in found if count)


def _want(job: Job, target: Target, series: Series, since: int | None) -> Series:
    """Extend the wanted range if the settings, or `since`, reach further back than before."""
    settings, store, now = job.context.settings, job.context.store, job.context.clock.now()
    hull = coverage.hull(store.connection, series.id)
    refuse_wrong_clock(now, hull.end if hull else 0)
    grid = target.timeframe
    start, named = start_asked(settings, target.venue, grid, now), _named_start(settings, grid, now, since)
    if series.wanting(start, named) != series:
        with job.write() as connection:
            table.want_from(connection, series.id, start)
            if named is not None:
                table.want_again_from(connection, series.id, named)
    return find(job.context.store, target) or series


def _named_start(settings: Settings, grid: Timeframe, now: int, since: int | None) -> int | None:
    """Return the open time that `since` names, or the start of the retention if that is later."""
    return None if since is None else max(grid.floor(since), cut_off(settings, grid, now) or 0)


def plan(settings: Settings, store: Store | None, now: int, since: int | None = None) -> list[Planned]:
    """Return the most that a run at `now` (ms UTC) would request; `store` is None if there is none yet."""
    return [_planned(settings, store, target, now, since) for target in targets(settings)]


def _planned(settings: Settings, store: Store | None, target: Target, now: int, since: int | None) -> Planned:
    delay, grid = settings.rate_limit_delay, target.timeframe
    start, named = start_asked(settings, target.venue, grid, now), _named_start(settings, grid, now, since)
    rows = target.venue.page_rows
    series = find(store, target) if store is not None else None
    if store is None or series is None:
        intervals = grid.count(start if named is None else min(start, named), grid.closed_end(now))
        return Planned(target, intervals, estimate(intervals, delay, rows, is_new=True))
    ledger = read_ledger(store, series, now, settings.settle)
    intervals = backlog(ledger._replace(series=ledger.series.wanting(start, named)))
    asks = planning.forward(ledger, confirm=True) is not None
    return Planned(target, intervals, estimate(max(intervals, int(asks)), delay, rows))
