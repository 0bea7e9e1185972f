"""`verify --exchange`: compare final history with the exchange again, a share of it in each run."""

from dataclasses import dataclass

from mdata.config import Settings
from mdata.domain import planning
from mdata.domain.interval import BEGINNING_OF_TIME, Range
from mdata.domain.planning import Wish
from mdata.domain.priority import Priority
from mdata.domain.query import WITNESSES, Page, Query
from mdata.domain.series import Series
from mdata.domain.venue import Venue
from mdata.errors import BadAnswerError
from mdata.exit_codes import WORK_REMAINS
from mdata.fetching.answers import store_page
from mdata.fetching.ledger import ledger_of, reaching
from mdata.fetching.passes import ask_again
from mdata.fetching.wanted import find, stored, target_of, targets
from mdata.running.context import Context, Progress
from mdata.running.job import Job
from mdata.running.result import JobResult
from mdata.running.run import Remainder, run
from mdata.store import candles, coverage, hints
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.engine import Store

COMMAND = "verify"
# One in this many rows of a page is left free, for witnesses and for candles that the store does not have.
_LEFT = 100


@dataclass(frozen=True, slots=True)
class Compared:
    """What a run has compared, or would compare: requests and candles; `pages` is the size of all final history."""

    pages: int = 0
    requests: int = 0
    candles: int = 0


def plan(settings: Settings, store: Store | None) -> Compared:
    """Return what a run would compare."""
    if store is None or not settings.recheck_days:
        return Compared()
    with store.read() as connection:
        pages = sum(_pages(connection, series) for series in stored(store, settings))
    share = -(-pages // settings.recheck_days)
    rows = max((_rows(target.venue) for target in targets(settings)), default=0)
    return Compared(pages, share, min(share, pages) * rows)


def recheck(context: Context) -> tuple[JobResult, Compared]:
    """Compare 1/RECHECK_DAYS of the stored candles with the exchange; the caller holds the lock of `verify`.

    Everything is compared once in `RECHECK_DAYS`. Ranges that a coarser candle contradicts come first, then the
    series that has waited longest. A request is only sent if no other process waits.
    """
    share = plan(context.settings, context.store)
    job = Job(COMMAND, context, Priority.RECHECK)
    work = _Recheck(job, share.requests)
    result = run(job, work.work, work.find_remainder)
    return result, Compared(share.pages, job.tally.requests, work.compared)


def _pages(connection: Connection, series: Series) -> int:
    grid, final = series.timeframe, [one for one in coverage.segments(connection, series.id) if one.kind == "final"]
    rows = sum(grid.count(*one.range) if series.venue.writes_silence else one.candles for one in final)
    return -(-rows // _rows(series.venue))


def _rows(venue: Venue) -> int:
    """Return how many known rows a request compares: a page, without the rows that are left free."""
    return venue.page_rows - max(2 * WITNESSES + 1, venue.page_rows // _LEFT)


class _Recheck:
    """One run: how many pages are left of its share, and how many candles it has compared."""

    def __init__(self, job: Job, share: int) -> None:
        self._job, self._context, self._left = job, job.context, share
        self._share, self.compared = share, 0
        self._contradicted = False

    def work(self, _: Job) -> None:
        """Compare what coarser candles hint at, then page after page of the series that has waited longest."""
        if not self._share:
            return
        for target in targets(self._context.settings):
            series = find(self._context.store, target)
            if series is not None:
                self._follow_hints(series)
        known = stored(self._context.store, self._context.settings)
        for series in sorted(known, key=lambda one: (one.compared_since is None, one.compared_at or 0, one.id)):
            while self._left > 0 and self._compare_a_page(series):
                pass

    def find_remainder(self, _: Job) -> Remainder:
        """Return the remainder: work remains while the exchange contradicts the store."""
        if not self._contradicted:
            return Remainder()
        reason = "the exchange's answer contradicts the store; `mdata repair` asks again to confirm it"
        return Remainder(exit_code=WORK_REMAINS, reason=reason)

    def _follow_hints(self, series: Series) -> None:
        """For each coarser candle with a wider price range or more volume than its minutes, compare those minutes."""
        with self._context.store.read() as connection:
            found = hints.find(connection, series)
        if not found.parts and found.looked_to == found.looked_from:
            return
        for part in found.parts:
            if self._left > 0:
                self._ask(series, Wish(part, newest_first=False))
        with self._job.write() as connection:
            hints.followed(connection, found)

    def _compare_a_page(self, series: Series) -> bool:
        """Compare the next page of a series; return whether there is another one in this round."""
        with self._context.store.read() as connection:
            current = table.find(connection, *target_of(series)) or series
            part = _next_page(connection, current)
        now = self._context.clock.now()
        if part is None:
            return False
        page = self._ask(series, Wish(part, newest_first=False))
        if page is None:
            return False
        reached = page.span.end if page.is_full and page.span else part.end
        with self._job.write() as connection:
            is_over = _next_page(connection, current._replace(compared_to=reached)) is None
            since = current.compared_since or now
            table.compared(connection, series.id, None if is_over else reached, since, is_over=is_over)
        return not is_over

    def _ask(self, series: Series, wish: Wish) -> Page | None:
        """Request a part, store the answer, and request again what it contradicts; None if it proved nothing."""
        self._context.report(Progress(self._share - self._left, self._share, series.name, 0))

        def plan() -> Query:
            with self._context.store.read() as connection:
                ledger = ledger_of(connection, series, self._context.clock.now(), self._context.settle)
                return reaching(connection, ledger.series, wish._replace(witnesses=ledger.witnesses))

        self._left -= 1
        try:
            page = self._job.ask(series.venue, plan, lambda exchange, query, sent: exchange.candles(query, sent))
        except BadAnswerError as error:
            self._job.has_problem(BadAnswerError(f"{series.name}: {error}"))
            return None
        if page is None:
            return None
        result = store_page(self._job, series, page)
        self.compared += len(page.candles)
        ask_again(self._job, series)
        with self._context.store.read() as connection:
            ledger = ledger_of(connection, series, self._context.clock.now(), self._context.settle)
        self._contradicted |= bool(planning.contradicted(ledger)[0])
        return page if result.counts else None


def _next_page(connection: Connection, series: Series) -> Range | None:
    """Return the next page of final history to compare, or None if the round is complete."""
    start = series.compared_to if series.compared_to is not None else BEGINNING_OF_TIME
    for segment in coverage.beside(connection, series.id, start, is_before=False):
        if segment.kind != "final":
            continue
        begin = max(start, segment.start)
        rows, grid = _rows(series.venue), series.timeframe
        if series.venue.writes_silence:
            end: int | None = grid.shift(begin, rows)
        else:
            end = candles.nth_from(connection, series.id, begin, rows)
        return Range(begin, min(segment.end, segment.end if end is None else end))
    return None
