"""`verify`: read everything that is stored, compare it with the ledger, and withdraw coverage for what differs."""

from dataclasses import dataclass

from mdata.config import Settings
from mdata.domain.priority import Priority
from mdata.domain.series import Series
from mdata.exit_codes import OK, WORK_REMAINS
from mdata.fetching.wanted import find, stored, targets
from mdata.running.context import Context
from mdata.running.job import Job
from mdata.running.result import JobResult
from mdata.running.run import Remainder, run
from mdata.store import audit, digests
from mdata.store.engine import Store

COMMAND = "verify"

# Rows that are set aside in one transaction, so that others wait only a moment.
SLICE = 1000


@dataclass(frozen=True, slots=True)
class MismatchRow:
    """A range that is no longer trusted; times are ms UTC, the other numbers count intervals and candles."""

    symbol: str
    timeframe: str
    start: int
    end: int
    intervals: int
    recorded: int
    stored: int
    reason: str
    exchange: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a run has read and found: candles, candles outside coverage, invalid rows, and mismatches (`doubts`).

    `intervals` counts the intervals that have become unknown as a result, `months` the months that now have a digest.
    `orphans` are ids of series that another program has deleted, each with its number of candles.
    """

    candles: int = 0
    unvouched: int = 0
    refused: int = 0
    intervals: int = 0
    doubts: tuple[MismatchRow, ...] = ()
    months: int = 0
    orphans: tuple[tuple[int, int], ...] = ()

    def __add__(self, other: "Verified") -> "Verified":
        return Verified(
            self.candles + other.candles,
            self.unvouched + other.unvouched,
            self.refused + other.refused,
            self.intervals + other.intervals,
            (*self.doubts, *other.doubts),
            self.months + other.months,
            (*self.orphans, *other.orphans),
        )


def plan(settings: Settings, store: Store) -> Verified:
    """Return what a run would find; nothing is changed. Raise StorageError for a damaged file."""
    audit.check_file(store)
    with store.read() as connection:
        found = Verified(orphans=tuple(audit.orphans(connection)))
    for series in stored(store, settings):
        with store.read() as connection:
            audited, known = audit.audit(connection, series), digests.of(connection, series.id)
            withdrawn = [one.segment.range for one in audited.mismatches]
            final = digests.final_months(connection, series, withdrawn)
            months = [digests.compute(connection, series, month) for month in final]
        found += _told(series, audited) + _of_months(series, known, months)
    return found


def verify(context: Context) -> tuple[JobResult, Verified]:
    """Check the file, then every series of the settings; exit 3 if something has become unknown.

    The caller holds the command's lock.
    """
    found: list[Verified] = []

    def total() -> Verified:
        return sum(found, Verified())

    def work(job: Job) -> None:
        audit.check_file(context.store)
        with context.store.read() as connection:
            found.append(Verified(orphans=tuple(audit.orphans(connection))))
        for target in targets(context.settings):
            job.check_time()
            series = find(context.store, target)
            if series is not None:
                found.append(_verify(job, series))
                found.append(_verify_months(job, series))

    job = Job(COMMAND, context, Priority.REPAIR)
    result = run(job, work, lambda _: Remainder(total().intervals, *_verdict(total())))
    return result, total()


def _verify(job: Job, series: Series) -> Verified:
    store, now = job.context.store, job.context.clock.now()
    with store.read() as connection:
        found = audit.audit(connection, series)
    if found.mismatches:
        with job.write() as connection:
            audit.withdraw(connection, series, found.mismatches, now)
    for first in range(0, len(found.refused), SLICE):
        with job.write() as connection:
            audit.set_aside(connection, series, found.refused[first : first + SLICE], now, COMMAND)
    return _told(series, found)


def _verify_months(job: Job, series: Series) -> Verified:
    """Compare the months that are completely final with their digests, and record digests of those that are new."""
    store, now = job.context.store, job.context.clock.now()
    with store.read() as connection:
        months, known = list(digests.final_months(connection, series)), digests.of(connection, series.id)
    new = [month for month in months if known.get(month) is None or known[month].digest is None]
    if new:
        with job.write() as connection:
            digests.announce(connection, series.id, new, now)
    found = []
    for month in months:
        job.check_time()
        with store.read() as connection:
            found.append(digests.compute(connection, series, month))
    told = _of_months(series, known, found)
    if new or told.doubts:
        with job.write() as connection:
            digests.keep(connection, series.id, [one for one in found if one.month in set(new)])
            audit.withdraw_months(connection, series, _differing(known, found), now)
    return told


def _differing(known: dict[int, digests.Digest], found: list[digests.Digest]) -> list[digests.Digest]:
    """Return the stored digests of months whose current digest differs."""
    return [
        known[one.month] for one in found if one.month in known and known[one.month].digest not in {None, one.digest}
    ]


def _of_months(series: Series, known: dict[int, digests.Digest], found: list[digests.Digest]) -> Verified:
    now = {one.month: one for one in found}
    grid, mismatches = series.timeframe, []
    for one in _differing(known, found):
        part = digests.month_of(series, one.month)
        numbers = (grid.count(*part), one.candles, now[one.month].candles)
        reason = "another program changed candles"
        mismatches.append(MismatchRow(series.symbol, grid.name, *part, *numbers, reason, series.exchange))
    return Verified(doubts=tuple(mismatches), intervals=sum(one.intervals for one in mismatches), months=len(found))


def _told(series: Series, found: audit.Audit) -> Verified:
    grid = series.timeframe
    mismatches = tuple(
        MismatchRow(
            *(series.symbol, grid.name, *segment.range, grid.count(*segment.range)),
            *(segment.candles, held, reason, series.exchange),
        )
        for segment, held, reason in found.mismatches
    )
    unknown = sum(one.intervals for one in mismatches) + found.lost
    return Verified(found.candles, found.unvouched, len(found.refused), unknown, mismatches)


def _verdict(found: Verified) -> tuple[int, str | None]:
    told = []
    if found.doubts:
        told.append(f"{len(found.doubts)} covered ranges differ from what was recorded")
    if found.refused:
        told.append(f"{found.refused} rows cannot be candles and were moved to rejected_rows")
    if found.orphans:
        count = sum(candles for _, candles in found.orphans)
        told.append(f"{count} candles belong to {len(found.orphans)} series that another program deleted")
    sentence = ", and ".join(told) or None
    if not found.intervals:
        return OK, sentence
    return WORK_REMAINS, (
        f"{sentence}: {found.intervals} intervals are now unknown; `mdata backfill`, `mdata detect-gaps` and "
        "`mdata repair` fetch them again"
    )
