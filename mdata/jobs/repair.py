"""`repair`: ask again about gaps that are due, newest first, in the fewest requests; close them on proof only."""

from dataclasses import dataclass

from mdata.config import Settings
from mdata.domain import planning
from mdata.domain.budget import Priority
from mdata.domain.gaps import Gap
from mdata.domain.interval import Range
from mdata.domain.query import PAGE_LIMIT, Page, Proof, Query, prove
from mdata.domain.series import Series
from mdata.errors import WORK_REMAINS, BadAnswerError, NotNowError, RowsRefusedError, UnreachableError
from mdata.jobs.context import Context, Progress
from mdata.jobs.detect_gaps import unknown_in_gaps
from mdata.jobs.job import Job, LimitReachedError, run
from mdata.jobs.passes import find, targets
from mdata.jobs.result import JobResult
from mdata.store import candles, gaps, silences
from mdata.store import series as table
from mdata.store.engine import Connection, Store
from mdata.store.pages import apply_page

COMMAND = "repair"
_UNPROVEN = "the answer lacked the stored candles around the gap"


@dataclass(frozen=True, slots=True)
class Asked:
    """A planned request, and the range of gaps, or the long silence, that it is about."""

    series: Series
    about: Range
    query: Query


def repair(context: Context, *, retry_failed: bool = False) -> JobResult:
    """Ask about the gaps that are due, then about long silences whose age asks for it.

    At most `GAP_REPAIR_MAX_REPAIRS_PER_RUN` requests; exit 3 while gaps remain. `retry_failed` opens those that
    were given up first. The caller holds the command's lock.
    """
    job = Job(COMMAND, context, Priority.REPAIR)
    if retry_failed:
        with job.write() as connection:
            gaps.retry_failed(connection)
    return run(job, _Repair(job).work, lambda job: unknown_in_gaps(job.context), _what_is_left)


def due_ranges(context: Context, series: Series, connection: Connection, now: int) -> list[Range]:
    """Return the settled parts of the gaps that may be asked about at `now` (ms UTC), ascending."""
    settled = series.timeframe.closed_end(now, context.settle)
    found = (gap.range.clip(0, settled) for gap in gaps.unresolved(connection, series.id) if gap.is_due(now))
    return [part for part in found if part.end > part.start]


class _Repair:
    """One run: what came out empty and is asked once more, and which silences were asked about already."""

    def __init__(self, job: Job) -> None:
        self._job, self._context = job, job.context
        self._doubts: dict[int, Range] = {}
        self._tried: set[tuple[int, Range]] = set()

    def work(self, job: Job) -> None:
        """Ask until nothing is due, or the limit of requests is reached."""
        most = self._context.settings.gap_repair_max_repairs_per_run
        while (asked := self._plan()) is not None:
            if job.tally.requests >= most:
                raise LimitReachedError(f"the limit of {most} requests (GAP_REPAIR_MAX_REPAIRS_PER_RUN) is reached")
            self._context.report(Progress(job.tally.requests, most, asked.series.name, 0))
            self._ask_about(asked)

    def _ask_about(self, planned: Asked) -> None:
        job, current = self._job, [planned]

        def plan() -> Query | None:
            asked = self._plan()
            current[:] = [asked] if asked else []
            return asked.query if asked else None

        try:
            page = job.ask(plan, lambda exchange, query, sent: exchange.candles(query, sent))
        except BadAnswerError as error:
            job.has_problem(error)
            self._note(current[0], str(error))
            return
        except (NotNowError, UnreachableError) as error:
            with job.write() as connection:
                gaps.excused(connection, planned.series.id, planned.about, str(error))
            raise
        if page is not None:
            self._store(current[0], page)

    def _store(self, asked: Asked, page: Page) -> None:
        job, proof = self._job, prove(page)
        if proof.doubt is not None:
            self._doubts[asked.series.id] = proof.doubt
        with job.write() as connection:
            series = table.find(connection, asked.series.symbol, asked.series.timeframe) or asked.series
            applied = apply_page(connection, series, page, proof, self._context.settle, job.command)
            job.count(
                candles_written=applied.written,
                candles_changed=applied.changed,
                gaps_repaired=applied.repaired,
                gaps_empty=applied.empty,
            )
            if _proves_too_little(page, proof):
                reason = page.refused[0].reason if page.refused else _UNPROVEN
                job.count(gaps_failed=gaps.attempted(connection, series, asked.about, page.asked_at, reason))
        self._tried.add((asked.series.id, asked.about))
        for refused in page.refused:
            job.has_problem(RowsRefusedError(f"{series.name}: a row was refused: {refused.reason}: {refused.text}"))

    def _note(self, asked: Asked, reason: str) -> None:
        """Count an answer that proved nothing as an attempt at all gaps it was about."""
        with self._job.write() as connection:
            now = self._context.clock.now()
            failed = gaps.attempted(connection, asked.series, asked.about, now, reason)
            self._job.count(gaps_failed=failed)
        self._tried.add((asked.series.id, asked.about))

    def _plan(self) -> Asked | None:
        now = self._context.clock.now()
        wanted = targets(self._context.settings)
        stored = [series for target in wanted if (series := find(self._context.store, target))]
        with self._context.store.read() as connection:
            plans = [self._gap_plan(connection, series, now) for series in stored]
            newest = max((one for one in plans if one), key=lambda one: one.about.end, default=None)
            return newest or next((one for series in stored if (one := self._recheck(connection, series, now))), None)

    def _gap_plan(self, connection: Connection, series: Series, now: int) -> Asked | None:
        """Plan one request for the newest gap that is due, and for as many older ones as fit on its page."""
        due = due_ranges(self._context, series, connection, now)
        if not due:
            return None
        newest = due[-1]
        after = candles.first_from(connection, series.id, newest.end)
        start, missing = newest.start, 0
        for part in reversed(due):
            missing += series.timeframe.count(*part)
            reach = candles.reach(connection, series.id, newest.end, PAGE_LIMIT - missing - 3)
            if part is not newest and part.start <= reach:
                break
            start = part.start
        return self._around(connection, series, Range(start, newest.end), after)

    def _recheck(self, connection: Connection, series: Series, now: int) -> Asked | None:
        """Plan one request about a long silence whose age asks for it."""
        for silence in reversed(silences.due(connection, series.id, now)):
            if (series.id, silence) not in self._tried:
                return self._around(
                    connection, series, silence, candles.first_from(connection, series.id, silence.end)
                )
        return None

    def _around(self, connection: Connection, series: Series, about: Range, after: int | None) -> Asked:
        before = candles.last_before(connection, series.id, about.start)
        return Asked(series, about, planning.repair(series, about, before, after, self._doubts.get(series.id)))


def _proves_too_little(page: Page, proof: Proof) -> bool:
    """Whether an answer left something of its range unproven, though neither its length nor a doubt explains it."""
    if page.refused:
        return True
    return proof.reach is None and proof.doubt is None


def _what_is_left(job: Job) -> tuple[int, str | None]:
    """Return the exit code, and the sentence, for the gaps that remain."""
    context, now = job.context, job.context.clock.now()
    left: list[Gap] = []
    for target in targets(context.settings):
        series = find(context.store, target)
        if series is not None:
            left += gaps.unresolved(context.store.connection, series.id)
    if not left:
        return 0, None
    waiting = [gap.next_attempt_at or now for gap in left if gap.status == "open"]
    given_up = sum(gap.status == "failed" for gap in left)
    if waiting:
        job.of_no_use_before(min(waiting))
    tail = f"; {given_up} of them were given up: `mdata repair --retry-failed` tries them again" if given_up else ""
    return WORK_REMAINS, f"{len(left)} gaps remain{tail}"


def plan(settings: Settings, store: Store, now: int) -> tuple[int, int]:
    """Return how many gaps are due at `now` (ms UTC), and how many intervals they hold; nothing is asked."""
    due = [
        (series, gap.range)
        for target in targets(settings)
        if (series := find(store, target)) is not None
        for gap in gaps.unresolved(store.connection, series.id)
        if gap.is_due(now)
    ]
    return len(due), sum(series.timeframe.count(*part) for series, part in due)
