"""`repair`: ask again about gaps that are due, newest first, in the fewest requests; close them on proof only."""

from dataclasses import dataclass

from mdata.config import Settings
from mdata.domain import planning
from mdata.domain.budget import Priority
from mdata.domain.gaps import Gap
from mdata.domain.interval import Range
from mdata.domain.planning import Estimate
from mdata.domain.query import PAGE_LIMIT, Page, Proof, Query, prove
from mdata.domain.series import Series
from mdata.errors import WORK_REMAINS, BadAnswerError, NotNowError, RowsRefusedError, UnreachableError
from mdata.jobs.context import Context, Progress
from mdata.jobs.detect_gaps import unknown_in_gaps
from mdata.jobs.job import Job, LimitReachedError, run
from mdata.jobs.passes import stored
from mdata.jobs.result import JobResult
from mdata.store import candles, gaps, silences
from mdata.store import series as table
from mdata.store.engine import Connection, Store
from mdata.store.pages import apply_page

COMMAND = "repair"
# In one run: once more because of a doubt, and once more with witnesses farther off.
_SILENCE_TRIES = 3
_UNPROVEN = "the answer lacked the stored candles around the gap"


@dataclass(frozen=True, slots=True)
class Asked:
    """A planned request, and the range of gaps, or of long silences, that it is about."""

    series: Series
    about: Range
    query: Query


def repair(context: Context, *, retry_failed: bool = False) -> JobResult:
    """Ask about the gaps that are due, then about long silences whose age asks for it.

    At most `GAP_REPAIR_MAX_REPAIRS_PER_RUN` requests; exit 3 while gaps remain. `retry_failed` opens those that
    were given up first. The caller holds the command's lock.
    """

    def work(job: Job) -> None:
        if retry_failed:
            known = stored(context.store, context.settings)
            with job.write() as connection:
                for series in known:
                    gaps.retry_failed(connection, series.id)
        _Repair(job).work()

    job = Job(COMMAND, context, Priority.REPAIR)
    return run(job, work, lambda job: unknown_in_gaps(job.context), _what_is_left)


def due_gaps(
    connection: Connection, series: Series, now: int, settle: int, *, with_failed: bool = False
) -> list[Range]:
    """Return the settled parts of the gaps that may be asked about at `now` (ms UTC), ascending; `settle` in ms.

    `with_failed`: of those that were given up, too.
    """
    settled = series.timeframe.closed_end(now, settle)
    found = (
        gap.range.clip(0, settled)
        for gap in gaps.unresolved(connection, series.id)
        if gap.is_due(now) or (with_failed and gap.status == "failed")
    )
    return [part for part in found if part.end > part.start]


def newest_page(connection: Connection, series: Series, parts: list[Range]) -> Range:
    """Return the newest of these ranges (ascending), and with it as many older ones as fit on one page."""
    newest = parts[-1]
    start, rows = newest.end, 0
    for part in reversed(parts):
        rows += candles.count(connection, series.id, Range(part.start, start)) + series.timeframe.count(*part)
        # A page that is full, witnesses included, proves less than all that was asked.
        if part is not newest and rows > PAGE_LIMIT - 3:
            break
        start = part.start
    return Range(start, newest.end)


class _Repair:
    """One run: what came out empty and is asked once more, and what was asked about already."""

    def __init__(self, job: Job) -> None:
        self._job, self._context = job, job.context
        self._doubts: dict[int, Range] = {}
        self._tried: list[tuple[int, Range]] = []

    def work(self) -> None:
        """Ask until nothing is due, or the limit of requests is reached."""
        context, job = self._context, self._job
        most = context.settings.gap_repair_max_repairs_per_run
        expected = plan(context.settings, context.store, context.clock.now()).estimate.requests
        while (asked := self._plan()) is not None:
            done = job.tally.requests
            # What is doubted is asked about once more whatever the limit: the next run knows of no doubt.
            if done >= most + bool(self._doubts):
                raise LimitReachedError(f"the limit of {most} requests (GAP_REPAIR_MAX_REPAIRS_PER_RUN) is reached")
            left = max(1, expected - done)
            seconds = context.budget.peek().seconds_for(left, job.priority)
            context.report(Progress(done, done + left, asked.series.name, seconds))
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
                asked = current[0] if current else planned
                gaps.excused(connection, asked.series.id, asked.about, str(error))
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
        self._tried.append((asked.series.id, asked.about))
        if page.refused:
            job.has_problem(RowsRefusedError(f"{series.name}: {page.refusal}"))

    def _note(self, asked: Asked, reason: str) -> None:
        """Count an answer that proved nothing as an attempt at all gaps it was about."""
        with self._job.write() as connection:
            now = self._context.clock.now()
            failed = gaps.attempted(connection, asked.series, asked.about, now, reason)
            self._job.count(gaps_failed=failed)
        self._tried.append((asked.series.id, asked.about))

    def _plan(self) -> Asked | None:
        now = self._context.clock.now()
        known = stored(self._context.store, self._context.settings)
        with self._context.store.read() as connection:
            due = [(series, due_gaps(connection, series, now, self._context.settle)) for series in known]
            if not any(parts for _, parts in due):
                due = [(series, self._due_silences(connection, series, now)) for series in known]
            newest = max((one for one in due if one[1]), key=lambda one: one[1][-1].end, default=None)
            return None if newest is None else self._around(connection, *newest)

    def _due_silences(self, connection: Connection, series: Series, now: int) -> list[Range]:
        due = silences.due(connection, series.id, now)
        return [silence for silence in due if self._tries(series, silence) < _SILENCE_TRIES]

    def _tries(self, series: Series, about: Range) -> int:
        """Return how often this run has asked about a range already."""
        return sum(series_id == series.id and tried.contains(about) for series_id, tried in self._tried)

    def _around(self, connection: Connection, series: Series, parts: list[Range]) -> Asked:
        about = newest_page(connection, series, parts)
        # The nearest candle may never come back: one that the exchange has withdrawn, or spells wrong for good.
        attempts = max((gap.attempts for gap in gaps.unresolved(connection, series.id, about)), default=0)
        steps = 1 + max(attempts, self._tries(series, about))
        before, after = candles.around(connection, series.id, about, steps)
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
    waiting: list[int] = []
    for series in stored(context.store, context.settings):
        found = gaps.unresolved(context.store.connection, series.id)
        left += found
        waiting += [
            max(gap.next_attempt_at or now, series.timeframe.next(gap.range.start) + context.settle)
            for gap in found
            if gap.status == "open"
        ]
    if not left:
        return 0, None
    given_up = sum(gap.status == "failed" for gap in left)
    if waiting:
        job.of_no_use_before(min(waiting))
    tail = f"; {given_up} of them were given up: `mdata repair --retry-failed` tries them again" if given_up else ""
    return WORK_REMAINS, f"{'1 gap remains' if len(left) == 1 else f'{len(left)} gaps remain'}{tail}"


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run would do: gaps and long silences that are due, intervals in the gaps, and what asking costs."""

    gaps: int
    silences: int
    intervals: int
    estimate: Estimate


NOTHING = Planned(0, 0, 0, Estimate(0, 0, 0))


def plan(settings: Settings, store: Store, now: int, *, retry_failed: bool = False) -> Planned:
    """Return what a run at `now` (ms UTC) would ask for, within its limit of requests; nothing is asked."""
    found_gaps = found_silences = intervals = requests = 0
    for series in stored(store, settings):
        with store.read() as connection:
            settle = settings.settle_seconds * 1000
            missing = due_gaps(connection, series, now, settle, with_failed=retry_failed)
            silent = silences.due(connection, series.id, now)
            requests += _pages(connection, series, missing) + _pages(connection, series, silent)
        found_gaps, found_silences = found_gaps + len(missing), found_silences + len(silent)
        intervals += sum(series.timeframe.count(*part) for part in missing)
    requests = min(requests, settings.gap_repair_max_repairs_per_run)
    cost = Estimate(requests, requests * settings.rate_limit_delay, intervals * planning.BYTES_PER_CANDLE)
    return Planned(found_gaps, found_silences, intervals, cost)


def _pages(connection: Connection, series: Series, parts: list[Range]) -> int:
    """Return how many requests these ranges (ascending) take."""
    count = 0
    while parts:
        page = newest_page(connection, series, parts)
        parts = [part for part in parts if part.end <= page.start]
        count += 1
    return count
