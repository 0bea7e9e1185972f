"""The passes over one series, page by page: get a slot, plan, send the request, store the answer."""

from collections.abc import Callable

from mdata.domain import planning
from mdata.domain.interval import END_OF_TIME, Range
from mdata.domain.ledger import Ledger
from mdata.domain.planning import Wish
from mdata.domain.query import MORE_WITNESSES, WITNESSES, Page, Query
from mdata.domain.retries import MOST_WITHOUT_NEWS
from mdata.domain.series import Series
from mdata.domain.timeframe import HOUR
from mdata.errors import BadAnswerError
from mdata.fetching.answers import Stored, store_page
from mdata.fetching.ledger import covered_before, ledger_of, newest_page, reaching, read_ledger
from mdata.fetching.new_series import NewSeries
from mdata.fetching.wanted import Target, target_of
from mdata.running.context import Progress
from mdata.running.job import Job
from mdata.store import candles, doubts

Plan = Callable[[Ledger], Wish | None]

# The part of a page's rows (1/4) that a second request may use for stored candles on each side.
_SHARE_BESIDE = 4


class Passes:
    """The passes of one run over its series; `estimate` returns how many requests are left, for the progress."""

    def __init__(self, job: Job, estimate: Callable[[], int]) -> None:
        self._job, self._context = job, job.context
        # Called at the first request of a pass: a run with nothing to do shows no progress.
        self._estimate, self._expected = estimate, 0
        self._new = NewSeries(job)
        # Further requests for these series would fail in the same way.
        self._badly_answered: set[int] = set()

    def introduce(self, target: Target) -> Series | None:
        """Return the stored series of a target; for a new one, its newest page is requested first."""
        return self._new.introduce(target)

    def forward(self, series: Series, *, confirm: bool) -> None:
        """Ask for everything from the frontier to the newest closed interval, and move the frontier forward.

        With `confirm`, doubted ranges are requested a second time in this run already, what has settled meanwhile is
        requested again, and the last `REVISIT_HOURS` are checked again.
        """
        hours = self._context.settings.revisit_hours if confirm else 0
        before = self._job.tally.requests

        def plan(ledger: Ledger) -> Wish | None:
            # Only the first request reaches back: if its answer ends before the new part, the next request begins
            # where the answer ends.
            revisit = hours * HOUR if self._job.tally.requests == before else 0
            return planning.forward(ledger, confirm=confirm, revisit=revisit)

        self._go(
            series,
            plan,
            is_forward=True,
            most=None if confirm else 1,
        )

    def backward(self, series: Series) -> None:
        """Ask for everything from the hull's older end back to the wanted start, or to the exchange's first candle.

        The first page of a series is believed once another answer contains some of its rows; if no other request is
        needed, one is sent for this purpose.
        """
        if not planning.asks_beyond_forward(self._ledger(series)):
            return
        self._go_back(series)
        self._go(series, planning.second_answer, is_forward=True)
        self._go_back(series)  # in case the first page was wrong
        ask_again(self._job, series)

    def _go_back(self, series: Series) -> None:
        for _ in range(MOST_WITHOUT_NEWS):
            self._go(series, planning.backward)
            target = target_of(series)
            ledger = self._ledger(series)
            first = ledger.doubt("first")
            # If the store now reaches the first candle that the exchange named, the exchange is asked once more in
            # the same run, so that a second answer can confirm it.
            is_reached = first is not None and ledger.hull is not None and first.range.start == ledger.hull.start
            if not planning.asks_first(ledger) or (target in self._new.asked_first and not is_reached):
                return
            page = self._new.first_candle(target, lambda: planning.asks_first(self._ledger(series)))
            if page is not None:
                self._new.note_first(series, page)
            ledger = self._ledger(series)
            if ledger.last_candle is None and not ledger.doubt("silence"):
                self.forward(series, confirm=True)
            elif planning.backward(ledger) is None:
                return

    def catch_up(self, series: Series, before: int, lookback: int) -> None:
        """Ask for what is missing before `before` (ms UTC), where a stream's snapshot begins; `lookback` is in ms."""

        def plan(ledger: Ledger) -> Wish | None:
            covered = covered_before(self._context.store, series, before, lookback)
            return planning.catch_up(ledger, covered, before, lookback)

        self._go(series, plan)

    def _ledger(self, series: Series) -> Ledger:
        return read_ledger(self._context.store, series, self._context.clock.now(), self._context.settle)

    def _go(self, series: Series, plan: Plan, *, is_forward: bool = False, most: int | None = None) -> None:
        """Request page after page until nothing is left to request, or nothing new arrives.

        `most` is the maximum number of requests; requests that return full pages do not count.
        """
        last: Query | None = None
        without_news = asked = 0
        try:
            while series.id not in self._badly_answered and self._query(series, plan) not in {None, last}:
                stored = self._ask(series, plan, is_forward=is_forward)
                if stored is None:
                    return
                last = stored.page.query
                asked += not stored.page.is_full
                without_news = 0 if stored.is_news else without_news + 1
                if without_news >= MOST_WITHOUT_NEWS or asked == most:
                    return
        except BadAnswerError as error:
            self._badly_answered.add(series.id)
            self._job.has_problem(BadAnswerError(f"{series.name}: {error}"))

    def _query(self, series: Series, plan: Plan) -> Query | None:
        ledger = self._ledger(series)
        wish = plan(ledger)
        if wish is not None:
            wish = planning.whole_first_page(ledger) or wish
            with self._context.store.read() as connection:
                return reaching(connection, ledger.series, wish)
        return None

    def _ask(self, series: Series, plan: Plan, *, is_forward: bool) -> Stored | None:
        """Request one page and store it; None if nothing is left to request."""
        self._report(series)
        page = self._job.ask(
            series.venue,
            lambda: self._query(series, plan),
            lambda exchange, query, sent: exchange.candles(query, sent),
        )
        if page is None:
            return None
        stored = store_page(self._job, series, page, is_forward=is_forward)
        if not stored.counts:
            self._distrust(series, page)
        return stored

    def _distrust(self, series: Series, page: Page) -> None:
        """Warn that an answer contains none of the stored candles; if the pair is delisted, record that."""
        self._job.context.log.warning(
            f"{series.name}: the exchange's answer contains none of the stored candles that it should contain; the "
            "answer was not used"
        )
        if page.rows or self._new.is_listed(series.venue, series.symbol):
            return
        with self._job.write() as connection:
            last = candles.last_before(connection, series.id, END_OF_TIME)
            if last is not None:
                part = Range(series.timeframe.next(last), doubts.NO_END)
                doubts.cannot_be_had(connection, series.id, [part], page.asked_at)

    def _report(self, series: Series) -> None:
        done = self._job.tally.requests
        self._expected = self._expected or done + self._estimate()
        expected = max(self._expected, done + 1)
        seconds = self._context.budget(series.venue).peek().seconds_for(expected - done, self._job.priority)
        self._context.report(Progress(done, expected, series.name, seconds))


def ask_again(job: Job, series: Series) -> None:
    """Repeat the requests for contradicted ranges until no answer contradicts them.

    If an answer also contradicts stored candles beside the range, the next request includes more of them.
    """
    context, reach, farthest = job.context, WITNESSES, series.venue.page_rows // _SHARE_BESIDE

    def plan() -> Query | None:
        with context.store.read() as connection:
            ledger = ledger_of(connection, series, context.clock.now(), context.settle)
            parts, newest_first = planning.contradicted(ledger)
            if not parts:
                return None
            part = newest_page(connection, series, parts)
            return reaching(connection, ledger.series, Wish(part, newest_first, witnesses=reach))

    last: Query | None = None
    while plan() not in {None, last}:
        page = job.ask(series.venue, plan, lambda exchange, query, sent: exchange.candles(query, sent))
        if page is None:
            return
        store_page(job, series, page)
        last = page.query
        reach = min(MORE_WITNESSES if reach == WITNESSES else farthest, farthest)
