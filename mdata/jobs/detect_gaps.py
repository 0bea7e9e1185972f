"""`detect-gaps`: compare coverage and lost candles with the hull, and keep the list of gaps exact."""

from mdata.domain.interval import Range, normal, subtract
from mdata.domain.priority import Priority
from mdata.domain.series import Series
from mdata.fetching.wanted import find, stored, targets
from mdata.running.context import Context
from mdata.running.job import Job
from mdata.running.result import JobResult
from mdata.running.run import Remainder, run
from mdata.store import candles, coverage, doubts, gaps
from mdata.store.connection import Connection
from mdata.store.summary import find_holes

COMMAND = "detect-gaps"


def detect_gaps(context: Context) -> JobResult:
    """Open a gap for every unknown stretch inside the hull and every lost candle, and close what has been filled.

    While `GAP_DETECTION_MAX_OPEN_GAPS` gaps (0: no limit) are open, no new one is opened: the outcome is skipped,
    exit 0. The caller holds the command's lock.
    """
    job = Job(COMMAND, context, Priority.REPAIR)
    return run(job, _work, lambda job: Remainder(unknown_in_gaps(job.context)))


def _work(job: Job) -> None:
    context, now = job.context, job.context.clock.now()
    limit = context.settings.gap_detection_max_open_gaps
    for target in targets(context.settings):
        job.check_time()
        series = find(context.store, target)
        if series is None or not _differs(context, series):
            continue
        with job.write() as connection:
            candles.forget_restored(connection, series.id)
            found = find_missing(connection, series)
            closed = gaps.close_filled(connection, series, found, now)
            opened = 0
            if not limit or gaps.count_open(connection) < limit:
                opened = gaps.open_missing(connection, series, found, now)
            elif _unlisted(connection, series, found):
                job.skip(f"no new gap was opened, because GAP_DETECTION_MAX_OPEN_GAPS={limit} gaps are open")
            job.count(gaps_opened=opened, gaps_repaired=closed.repaired, gaps_empty=closed.empty)


def _differs(context: Context, series: Series) -> bool:
    """Whether the list of gaps must change; if it need not, a run writes only its own row."""
    with context.store.read() as connection:
        found = find_missing(connection, series)
        known = [gap.range for gap in gaps.unresolved(connection, series.id)]
    return found != normal(known)


def _unlisted(connection: Connection, series: Series, found: list[Range]) -> bool:
    return bool(subtract(found, normal(gap.range for gap in gaps.unresolved(connection, series.id))))


def find_missing(connection: Connection, series: Series) -> list[Range]:
    """Return the gaps that a series has now, from its coverage and its lost candles alone."""
    covered = normal(segment.range for segment in coverage.segments(connection, series.id))
    return find_holes(
        series, coverage.hull(connection, series.id), covered, candles.lost(connection, series.id),
        doubts.unobtainable(connection, series.id),
    )  # fmt: skip


def unknown_in_gaps(context: Context) -> int:
    """Count the intervals of all gaps that the configured series have now."""
    total = 0
    for series in stored(context.store, context.settings):
        with context.store.read() as connection:
            found = find_missing(connection, series)
        total += sum(series.timeframe.count(*part) for part in found)
    return total
