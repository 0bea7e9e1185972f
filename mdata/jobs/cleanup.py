"""`cleanup`: delete candles past their retention, update the ledger, prune finished records, free disk space.

`cleanup --all` forgets a series, with everything that any table contains about it.
"""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace

from mdata.config import Settings
from mdata.domain.estimate import BYTES_PER_CANDLE
from mdata.domain.interval import BEGINNING_OF_TIME, END_OF_TIME, Range
from mdata.domain.priority import Priority
from mdata.domain.series import Series
from mdata.domain.timeframe import DAY, Timeframe
from mdata.exchange.registry import qualified
from mdata.fetching.wanted import cut_off, targets
from mdata.locks import command_lock
from mdata.running.commands import JOBS
from mdata.running.context import Context
from mdata.running.job import Job
from mdata.running.result import JobResult
from mdata.running.run import Remainder, run
from mdata.store import answered, candles, coverage, digests, doubts, forgetting, gaps, retention, silences
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.engine import Store

COMMAND = "cleanup"

# Candles per transaction, so that others wait only a few milliseconds.
_SLICE = 10_000


@dataclass(frozen=True, slots=True)
class Removed:
    """What a run removed, or would remove: rows, and bytes by which the file shrinks."""

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
                newest = candles.last_before(connection, series.id, END_OF_TIME)
                total += candles.count(connection, series.id, Range(BEGINNING_OF_TIME, min(before, newest or before)))
        old = now - settings.jobs_retention_days * DAY
        return Removed(total, *retention.count_old(connection, old), total * BYTES_PER_CANDLE)


def cleanup(context: Context) -> tuple[JobResult, Removed]:
    """Remove what the settings do not keep; the caller holds the command's lock."""
    # However a run ends, it reports what it has removed.
    removed: Counter[str] = Counter()
    result = run(Job(COMMAND, context, Priority.BACKFILL), lambda job: _work(job, removed), lambda _: Remainder())
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
        due = any(retention.count_old(connection, old))
    if due:
        with job.write() as connection:
            pruned = retention.prune(connection, old)
        removed.update(pruned._asdict())
    removed.update(bytes=context.store.shrink())


def _counted_from(connection: Connection, now: int) -> int:
    """Return the instant from which retention counts back: `now`, but not later than what the exchange has shown.

    Otherwise a clock that is ahead would remove candles that should stay, and they would never be fetched again.
    """
    shown_to = table.shown_to(connection)
    return now if shown_to is None else min(now, shown_to)


def _clean(job: Job, series: Series, before: int, removed: Counter[str]) -> None:
    """Remove what is older than the cut-off: first from the ledger, so that it no longer counts, then the candles."""
    if (series.cleaned_to or 0) < before and _holds_older(job, series, before):
        with job.write() as connection:
            older = Range(BEGINNING_OF_TIME, before)
            table.clean_to(connection, series.id, before)
            candles.forget_restored(connection, series.id, older)
            coverage.cut(connection, series.id, older)
            candles.forget_lost(connection, series.id, older)
            # The remaining hull may begin later than the cut. What is unknown between the two is no longer a gap: it
            # is backlog.
            gaps.forget_outside(connection, series, coverage.hull(connection, series.id))
            silences.forget(connection, series.id, before)
            digests.forget(connection, series.id, before)
            answered.forget(connection, series.id, before)
            doubts.forget_before(connection, series.id, before)
    # The newest candle is kept whatever its age, because later answers are checked against it.
    newest = candles.last_before(job.context.store.connection, series.id, END_OF_TIME)
    before = min(before, newest if newest is not None else before)
    while True:
        left = candles.first_from(job.context.store.connection, series.id, BEGINNING_OF_TIME)
        if left is None or left >= before:
            return
        job.check_time()
        with job.write() as connection:
            count = candles.delete_before(connection, series.id, before, _SLICE)
        removed.update(candles=count)


def _holds_older(job: Job, series: Series, before: int) -> bool:
    hull = coverage.hull(job.context.store.connection, series.id)
    return series.wanted_start < before or (hull is not None and hull.start < before)


def stored(store: Store, symbols: list[str], timeframes: list[Timeframe]) -> list[Series]:
    """Return the stored series of these symbols in these timeframes, or in all if none is named."""
    with store.read() as connection:
        known = table.every(connection)
    known = [one for one in known if qualified(one.exchange, one.symbol) in symbols]
    return [one for one in known if not timeframes or one.timeframe in timeframes]


def stored_symbols(store: Store) -> list[str]:
    """Return the symbols of which anything is stored."""
    with store.read() as connection:
        return sorted({qualified(series.exchange, series.symbol) for series in table.every(connection)})


def plan_forgetting(store: Store, doomed: list[Series]) -> Removed:
    """Return what forgetting these series would remove."""
    with store.read() as connection:
        found = [forgetting.count_series(connection, series.id) for series in doomed]
    return Removed(
        candles=sum(rows["candles"] for rows in found),
        gaps=sum(rows["data_gaps"] for rows in found),
        revisions=sum(rows["candle_revisions"] for rows in found),
        rejected=sum(rows["rejected_rows"] for rows in found),
    )


def still_wanted(settings: Settings, doomed: list[Series]) -> list[str]:
    """Return the names of those series that the settings name: the next backfill fetches them again."""
    named = {target.name for target in targets(settings)}
    return [series.name for series in doomed if series.name in named]


def forget(context: Context, doomed: list[Series], wait: float) -> tuple[JobResult, Removed]:
    """Remove these series from every table; the caller holds the lock of `cleanup`.

    The locks of all other jobs are taken too, waiting at most `wait` seconds for all of them together: another run
    could otherwise store a page of a series that is gone.
    """
    removed: list[Removed] = []

    def work(job: Job) -> None:
        database, clock = context.store.path, context.clock
        until = clock.boottime() + wait
        with ExitStack() as held:
            for command in JOBS:
                if command != COMMAND:
                    held.enter_context(command_lock(database, command, max(0.0, until - clock.boottime()), clock))
            found = plan_forgetting(context.store, doomed)
            for series in doomed:
                _forget(job, series)
        removed.append(replace(found, bytes=context.store.shrink()))

    names = ", ".join(still_wanted(context.settings, doomed))
    reason = f"still in the settings, so the next `mdata backfill` fetches them again: {names}" if names else None
    result = run(Job(COMMAND, context, Priority.BACKFILL), work, lambda _: Remainder(reason=reason))
    return result, removed[0] if removed else Removed()


def _forget(job: Job, series: Series) -> None:
    """Delete the ledger first: if a crash interrupts this, the remaining candles are unknown, not lost."""
    with job.write() as connection:
        forgetting.forget_ledger(connection, series.id)
    is_left = True
    while is_left:
        with job.write() as connection:
            is_left = candles.delete_before(connection, series.id, END_OF_TIME, _SLICE) > 0
    with job.write() as connection:
        forgetting.forget_series(connection, series.id)
