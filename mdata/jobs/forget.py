"""`cleanup --all`: forget a series, with everything that any table holds of it."""

from contextlib import ExitStack
from dataclasses import replace

from mdata.config import Settings
from mdata.domain.budget import Priority
from mdata.domain.series import Series
from mdata.domain.timeframe import Timeframe
from mdata.exchange.registry import qualified
from mdata.jobs import JOBS
from mdata.jobs.cleanup import COMMAND, SLICE, Removed
from mdata.jobs.context import Context
from mdata.jobs.job import Job, run
from mdata.jobs.result import JobResult
from mdata.jobs.wanted import targets
from mdata.locks import command_lock
from mdata.store import candles, housekeeping
from mdata.store import series as table
from mdata.store.engine import Store


def find(store: Store, symbols: list[str], timeframes: list[Timeframe]) -> list[Series]:
    """Return the stored series of these pairs, of these timeframes or (none named) of all."""
    with store.read() as connection:
        known = table.every(connection)
    return [
        one
        for one in known
        if qualified(one.exchange, one.symbol) in symbols and (not timeframes or one.timeframe in timeframes)
    ]


def stored_symbols(store: Store) -> list[str]:
    """Return the pairs of which anything is stored, as settings write them."""
    with store.read() as connection:
        return sorted({qualified(series.exchange, series.symbol) for series in table.every(connection)})


def plan(store: Store, doomed: list[Series]) -> Removed:
    """Return what forgetting these series would remove."""
    with store.read() as connection:
        found = [housekeeping.count_series(connection, series.id) for series in doomed]
    return Removed(
        candles=sum(rows["candles"] for rows in found),
        gaps=sum(rows["data_gaps"] for rows in found),
        revisions=sum(rows["candle_revisions"] for rows in found),
        rejected=sum(rows["rejected_rows"] for rows in found),
    )


def still_wanted(settings: Settings, doomed: list[Series]) -> list[str]:
    """Return the names of those series that the settings name: the next backfill fetches them anew."""
    named = {target.name for target in targets(settings)}
    return [series.name for series in doomed if series.name in named]


def forget(context: Context, doomed: list[Series], wait: float) -> tuple[JobResult, Removed]:
    """Remove these series from every table; the caller holds the lock of `cleanup`.

    The locks of all other jobs are taken too, waiting `wait` seconds for all of them: a page that another run stores
    after its series is gone would belong to nothing.
    """
    removed: list[Removed] = []

    def work(job: Job) -> None:
        database, clock = context.store.path, context.clock
        until = clock.boottime() + wait
        with ExitStack() as held:
            for command in JOBS:
                if command != COMMAND:
                    held.enter_context(command_lock(database, command, max(0.0, until - clock.boottime()), clock))
            found = plan(context.store, doomed)
            for series in doomed:
                _forget(job, series)
        removed.append(replace(found, bytes=context.store.shrink()))

    names = ", ".join(still_wanted(context.settings, doomed))
    reason = f"still in the settings, and fetched anew by the next `mdata backfill`: {names}" if names else None
    result = run(Job(COMMAND, context, Priority.BACKFILL), work, lambda _: 0, lambda _: (0, reason))
    return result, removed[0] if removed else Removed()


def _forget(job: Job, series: Series) -> None:
    """Forget the ledger first: candles without it are unknown, wherever a crash leaves them, and not lost."""
    with job.write() as connection:
        housekeeping.forget_ledger(connection, series.id)
    is_left = True
    while is_left:
        with job.write() as connection:
            is_left = candles.delete_before(connection, series.id, 2**62, SLICE) > 0
    with job.write() as connection:
        housekeeping.forget_series(connection, series.id)
