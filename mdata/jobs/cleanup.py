"""`cleanup`: delete candles past their retention, tell the ledger, prune what is finished, give space back."""

from collections import Counter
from dataclasses import dataclass

from mdata.config import Settings
from mdata.domain.budget import Priority
from mdata.domain.estimate import BYTES_PER_CANDLE
from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.domain.timeframe import DAY
from mdata.jobs.context import Context
from mdata.jobs.job import Job, run
from mdata.jobs.result import JobResult
from mdata.jobs.wanted import cut_off
from mdata.store import candles, coverage, digests, doubts, gaps, housekeeping, silences
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.engine import Store

COMMAND = "cleanup"

# Candles of one transaction: others wait for a few milliseconds only.
SLICE = 10_000


@dataclass(frozen=True, slots=True)
class Removed:
    """What a run removed, or would remove: rows, and bytes of the file given back."""

    candles: int = 0
    jobs: int = 0
    gaps: int = 0
    revisions: int = 0
    rejected: int = 0
    bytes: int = 0


def plan(settings: Settings, store: Store, now: int) -> Removed:
    """Return what a run at `now` (ms UTC) would remove."""
    with store.read() as connection:
        total, until = 0, _counted_from(connection, now)
        for series in table.every(connection):
            before = cut_off(settings, series.timeframe, until)
            if before is not None:
                newest = candles.last_before(connection, series.id, 2**62)
                total += candles.count(connection, series.id, Range(-(2**62), min(before, newest or before)))
        old = now - settings.jobs_retention_days * DAY
        return Removed(total, *housekeeping.count_old(connection, old), total * BYTES_PER_CANDLE)


def cleanup(context: Context) -> tuple[JobResult, Removed]:
    """Remove what the settings do not keep; the caller holds the command's lock."""
    # Whatever ends a run, what it has removed until then is told.
    removed: Counter[str] = Counter()
    result = run(Job(COMMAND, context, Priority.BACKFILL), lambda job: _work(job, removed), lambda _: 0)
    return result, Removed(**removed)


def _work(job: Job, removed: Counter[str]) -> None:
    context, now = job.context, job.context.clock.now()
    with context.store.read() as connection:
        known, until = table.every(connection), _counted_from(connection, now)
    for series in known:
        before = cut_off(context.settings, series.timeframe, until)
        if before is not None:
            _clean(job, series, before, removed)
    job.check_time()
    old = now - context.settings.jobs_retention_days * DAY
    with context.store.read() as connection:
        due = any(housekeeping.count_old(connection, old))
    if due:
        with job.write() as connection:
            pruned = housekeeping.prune(connection, old)
        removed.update(pruned._asdict())
    removed.update(bytes=context.store.shrink())


def _counted_from(connection: Connection, now: int) -> int:
    """Return the instant from which retention counts back: `now`, though no later than what the exchange has shown.

    A clock that runs ahead would have everything removed, and nothing of it is ever wanted again.
    """
    shown_to = table.shown_to(connection)
    return now if shown_to is None else min(now, shown_to)


def _clean(job: Job, series: Series, before: int, removed: Counter[str]) -> None:
    """Forget the ledger before the cut-off first, then delete the candles in slices that nobody misses any more."""
    if (series.cleaned_to or 0) < before and _holds_older(job, series, before):
        with job.write() as connection:
            older = Range(-(2**62), before)
            table.clean_to(connection, series.id, before)
            candles.forget_restored(connection, series.id, older)
            coverage.cut(connection, series.id, older)
            candles.forget_lost(connection, series.id, older)
            # What is unknown before the rest of the hull is backlog now, and nobody has answered for it.
            gaps.forget_outside(connection, series, coverage.hull(connection, series.id))
            silences.forget(connection, series.id, before)
            digests.forget(connection, series.id, before)
            doubts.forget_before(connection, series.id, before)
    # The newest candle is what later answers are known by: it stays, whatever its age.
    newest = candles.last_before(job.context.store.connection, series.id, 2**62)
    before = min(before, newest if newest is not None else before)
    while True:
        left = candles.first_from(job.context.store.connection, series.id, -(2**62))
        if left is None or left >= before:
            return
        job.check_time()
        with job.write() as connection:
            count = candles.delete_before(connection, series.id, before, SLICE)
        removed.update(candles=count)


def _holds_older(job: Job, series: Series, before: int) -> bool:
    hull = coverage.hull(job.context.store.connection, series.id)
    return series.wanted_start < before or (hull is not None and hull.start < before)
