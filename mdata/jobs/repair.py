"""`repair`: ask again about gaps that are due, newest first, in as few requests as possible; close only on proof."""

from typing import NamedTuple

from mdata.config import Settings
from mdata.domain import planning
from mdata.domain.estimate import BYTES_PER_CANDLE, Estimate
from mdata.domain.gaps import Gap
from mdata.domain.interval import Range
from mdata.domain.priority import Priority
from mdata.domain.query import Page, Query
from mdata.domain.retries import MOST_TRIES
from mdata.domain.series import Series
from mdata.domain.venue import Venue
from mdata.errors import BadAnswerError, NotNowError, UnreachableError
from mdata.exit_codes import WORK_REMAINS
from mdata.fetching.answers import store_page
from mdata.fetching.ledger import ledger_of, newest_page, reaching
from mdata.fetching.wanted import stored
from mdata.jobs.detect_gaps import find_missing, unknown_in_gaps
from mdata.running.context import Context, Progress
from mdata.running.job import Job, LimitReachedError
from mdata.running.result import JobResult
from mdata.running.run import Remainder, run
from mdata.store import candles, doubts, gaps, silences
from mdata.store.connection import Connection
from mdata.store.engine import Store

COMMAND = "repair"
# The kinds of doubt about a gap for which a second answer is needed.
_DOUBTED = {"silence", "absent", "changed", "unwitnessed"}
_NO_WITNESS = "the answer did not contain the stored candles around the gap"
_TOO_SHORT = "the answer ended before the end of the gap"


class RepairQuery(NamedTuple):
    """A planned request, and the range of gaps, contradictions, or silences that it is about."""

    series: Series
    about: Range
    query: Query


def repair(context: Context, *, retry_failed: bool = False) -> JobResult:
    """Ask about the gaps that are due, then about long silences that are due again because of their age.

    A run sends at most `GAP_REPAIR_MAX_REPAIRS_PER_RUN` requests and exits with 3 while gaps remain. `retry_failed`
    first reopens the gaps that were given up. The caller holds the command's lock.
    """

    def work(job: Job) -> None:
        if retry_failed:
            known = stored(context.store, context.settings)
            with job.write() as connection:
                for series in known:
                    gaps.retry_failed(connection, series.id)
        _Repair(job).work()

    job = Job(COMMAND, context, Priority.REPAIR)
    return run(job, work, _find_remainder)


def due_gaps(
    connection: Connection, series: Series, now: int, settle: int, *, with_failed: bool = False
) -> list[Range]:
    """Return the settled parts of the gaps that are due at `now` (ms UTC), ascending; `settle` is in ms.

    `with_failed`: also of those that were given up.
    """
    settled = series.timeframe.closed_end(now, settle)
    found = (
        gap.range.clip(0, settled)
        for gap in gaps.unresolved(connection, series.id)
        if gap.is_due(now) or (with_failed and gap.status == "failed")
    )
    return [part for part in found if part.end > part.start]


class _Repair:
    """One run, with the ranges already requested."""

    def __init__(self, job: Job) -> None:
        self._job, self._context = job, job.context
        self._tried: list[tuple[int, Range]] = []

    def work(self) -> None:
        """Ask until nothing is due, or the limit of requests is reached."""
        context, job = self._context, self._job
        most = context.settings.gap_repair_max_repairs_per_run
        expected = plan(context.settings, context.store, context.clock.now()).estimate.requests
        while (asked := self._plan()) is not None:
            done = job.tally.requests
            if done >= most:
                raise LimitReachedError(f"the limit of {most} requests (GAP_REPAIR_MAX_REPAIRS_PER_RUN) was reached")
            left = max(1, expected - done)
            seconds = context.budget(asked.series.venue).peek().seconds_for(left, job.priority)
            context.report(Progress(done, done + left, asked.series.name, seconds))
            self._ask_about(asked)

    def _ask_about(self, planned: RepairQuery) -> None:
        job, current = self._job, [planned]

        venue = planned.series.venue

        def plan() -> Query | None:
            asked = self._plan(venue)
            current[:] = [asked] if asked else []
            return asked.query if asked else None

        try:
            page = job.ask(venue, plan, lambda exchange, query, sent: exchange.candles(query, sent))
        except BadAnswerError as error:
            job.has_problem(error)
            self._attempted(current[0], str(error), self._context.clock.now())
            return
        except (NotNowError, UnreachableError) as error:
            with job.write() as connection:
                asked = current[0] if current else planned
                gaps.excused(connection, asked.series.id, asked.about, str(error))
            raise
        if page is not None:
            self._store(current[0], page)

    def _store(self, asked: RepairQuery, page: Page) -> None:
        before = self._missing(asked)
        stored = store_page(self._job, asked.series, page)
        self._tried.append((asked.series.id, asked.about))
        left = self._missing(asked)
        if left and (page.refused or (left == before and not self._is_second_opinion_due(asked))):
            reason = page.refused[0].reason if page.refused else (_TOO_SHORT if stored.counts else _NO_WITNESS)
            self._attempted(asked, reason, page.asked_at)

    def _is_second_opinion_due(self, asked: RepairQuery) -> bool:
        """Whether a second request about what the answer said is due at once."""
        now = self._context.clock.now()
        with self._context.store.read() as connection:
            found = doubts.of(connection, asked.series.id, asked.query.range)
        return self._tries(asked.series, asked.about) < MOST_TRIES and any(
            doubt.kind in _DOUBTED and doubt.is_due(now) for doubt in found
        )

    def _missing(self, asked: RepairQuery) -> list[Range]:
        """Return what is missing in the requested range."""
        with self._context.store.read() as connection:
            return [part for part in find_missing(connection, asked.series) if part.overlaps(asked.about)]

    def _attempted(self, asked: RepairQuery, reason: str, now: int) -> None:
        """Count an answer that proved nothing as an attempt at all gaps that it was about."""
        with self._job.write() as connection:
            failed = gaps.attempted(connection, asked.series, asked.about, now, reason)
            self._job.count(gaps_failed=failed)
        self._tried.append((asked.series.id, asked.about))

    def _plan(self, venue: Venue | None = None) -> RepairQuery | None:
        """Return the next request to this exchange (None: to any): about gaps, then contradictions, then silences."""
        known = stored(self._context.store, self._context.settings)
        known = [series for series in known if venue is None or series.venue == venue]
        with self._context.store.read() as connection:
            for due in (self._due_gaps, self._contradicted, self._due_silences):
                found = [(series, due(connection, series)) for series in known]
                newest = max((one for one in found if one[1]), key=lambda one: one[1][-1].end, default=None)
                if newest is not None:
                    return self._around(connection, *newest)
        return None

    def _due_gaps(self, connection: Connection, series: Series) -> list[Range]:
        return due_gaps(connection, series, self._context.clock.now(), self._context.settle)

    def _contradicted(self, connection: Connection, series: Series) -> list[Range]:
        ledger = ledger_of(connection, series, self._context.clock.now(), self._context.settle)
        parts, _ = planning.contradicted(ledger)
        return [part for part in parts if self._tries(series, part) < MOST_TRIES]

    def _due_silences(self, connection: Connection, series: Series) -> list[Range]:
        due = silences.due(connection, series.id, self._context.clock.now())
        return [silence for silence in due if self._tries(series, silence) < MOST_TRIES]

    def _tries(self, series: Series, about: Range) -> int:
        """Return how often this run has already asked about a range."""
        return sum(series_id == series.id and tried.contains(about) for series_id, tried in self._tried)

    def _around(self, connection: Connection, series: Series, parts: list[Range]) -> RepairQuery:
        about = newest_page(connection, series, parts)
        ledger = ledger_of(connection, series, self._context.clock.now(), self._context.settle)
        before, after = candles.around(connection, series.id, about, 1)
        said = [one for one in ledger.doubts if one.kind in _DOUBTED and one.range.overlaps(about)]
        asked_before = max((one.answers for one in said), default=0)
        wish = planning.around_gap(
            ledger, about, has_older=before is not None, has_newer=after is not None,
            tries=max(asked_before, self._tries(series, about)),
        )  # fmt: skip
        return RepairQuery(series, about, reaching(connection, ledger.series, wish))


def _find_remainder(job: Job) -> Remainder:
    context, now = job.context, job.context.clock.now()
    left: list[Gap] = []
    waiting: list[int] = []
    for series in stored(context.store, context.settings):
        found = gaps.unresolved(context.store.connection, series.id)
        left += found
        waiting += [
            max(gap.next_attempt_at or now, series.timeframe.next(gap.range.start) + context.settle)
            for gap in found
            if gap.status == "open"
        ]
    unknown = unknown_in_gaps(context)
    if not left:
        return Remainder(unknown)
    failed = sum(gap.status == "failed" for gap in left)
    if waiting:
        job.of_no_use_before(min(waiting))
    tail = f"; {failed} of them were given up: run `mdata repair --retry-failed` to try them again" if failed else ""
    many = "1 gap remains" if len(left) == 1 else f"{len(left)} gaps remain"
    return Remainder(unknown, WORK_REMAINS, f"{many}{tail}")


class RepairPlan(NamedTuple):
    """What a run would do: gaps and long silences that are due, intervals in the gaps, and what the requests cost."""

    gaps: int
    silences: int
    intervals: int
    estimate: Estimate


NOTHING = RepairPlan(0, 0, 0, Estimate(0, 0, 0))


def plan(settings: Settings, store: Store, now: int, *, retry_failed: bool = False) -> RepairPlan:
    """Return what a run at `now` (ms UTC) would request, within its limit; nothing is requested."""
    found_gaps = found_silences = intervals = requests = 0
    for series in stored(store, settings):
        with store.read() as connection:
            settle = settings.settle
            missing = due_gaps(connection, series, now, settle, with_failed=retry_failed)
            silent = silences.due(connection, series.id, now)
            requests += _pages(connection, series, missing) + _pages(connection, series, silent)
        found_gaps, found_silences = found_gaps + len(missing), found_silences + len(silent)
        intervals += sum(series.timeframe.count(*part) for part in missing)
    requests = min(requests, settings.gap_repair_max_repairs_per_run)
    cost = Estimate(requests, requests * settings.rate_limit_delay, intervals * BYTES_PER_CANDLE)
    return RepairPlan(found_gaps, found_silences, intervals, cost)


def _pages(connection: Connection, series: Series, parts: list[Range]) -> int:
    """Return how many requests these ranges (ascending) take."""
    count = 0
    while parts:
        page = newest_page(connection, series, parts)
        parts = [part for part in parts if part.end <= page.start]
        count += 1
    return count
