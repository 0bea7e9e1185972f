"""The passes over one series: slot, plan, ask, judge, store, page by page."""

from collections.abc import Callable
from typing import NamedTuple

from mdata.config import Settings
from mdata.domain import planning
from mdata.domain.doubt import Doubt
from mdata.domain.evidence import WITNESSES
from mdata.domain.interval import Range, normal
from mdata.domain.moment import iso
from mdata.domain.near import did_you_mean
from mdata.domain.planning import Estimate, Ledger, Wish
from mdata.domain.query import PAGE_LIMIT, Page, Query
from mdata.domain.series import Series, days_before
from mdata.domain.timeframe import DAY, Timeframe
from mdata.errors import BadAnswerError, ConfigurationError, RowsRefusedError
from mdata.jobs.context import Progress
from mdata.jobs.job import Job
from mdata.store import candles, coverage, doubts
from mdata.store import series as table
from mdata.store.engine import Connection, Store

Plan = Callable[[Ledger], Wish | None]

# So many answers in a row that brought no news end a pass: what is doubted then is asked about in the next run.
_MOST_WITHOUT_NEWS = 3


class Target(NamedTuple):
    """A series that the settings name, whether or not the store has seen it yet."""

    symbol: str
    timeframe: Timeframe

    @property
    def name(self) -> str:
        """How the series is called in messages."""
        return f"{self.symbol} {self.timeframe.name}"


class Planned(NamedTuple):
    """What a run would do for one series: how many intervals are unknown, and what asking for them costs."""

    name: str
    intervals: int
    estimate: Estimate


def targets(settings: Settings) -> list[Target]:
    """Return the series that the settings name."""
    return [Target(symbol, timeframe) for symbol in settings.symbols for timeframe in settings.timeframes]


def find(store: Store, target: Target) -> Series | None:
    """Return the stored series of a target."""
    return table.find(store.connection, target.symbol, target.timeframe)


def stored(store: Store, settings: Settings) -> list[Series]:
    """Return those series that the settings name and the store has seen."""
    return [series for target in targets(settings) if (series := find(store, target)) is not None]


def retention_days(settings: Settings, timeframe: Timeframe) -> int:
    """Return for how many days candles of a timeframe are kept; 0 is for ever."""
    return settings.retention_days_by_timeframe.get(timeframe.name, settings.retention_days)


def cut_off(settings: Settings, timeframe: Timeframe, now: int) -> int | None:
    """Return the open time (ms UTC) before which candles are not kept at `now`; None: all are kept.

    The newest closed interval is always kept, however short the retention.
    """
    days = retention_days(settings, timeframe)
    if not days:
        return None
    return min(days_before(timeframe, now, days), timeframe.previous(timeframe.closed_end(now)))


def start_asked(settings: Settings, timeframe: Timeframe, now: int) -> int:
    """Return the wanted start that the settings ask for at `now`, ms UTC."""
    start = days_before(timeframe, now, settings.backfill_days)
    return max(start, cut_off(settings, timeframe, now) or start)


def refuse_wrong_clock(clock: int, known: int) -> None:
    """Raise ConfigurationError when the local `clock` is a day and more behind an instant that has passed (ms UTC).

    A machine without a battery boots in 1970, and whatever is counted back from there would be wanted for ever.
    """
    if known - clock > DAY:
        raise ConfigurationError(
            f"the local clock says {iso(clock)}, but {iso(known)} has passed: set the clock, then run this again"
        )


def read_ledger(store: Store, series: Series, now: int, settle: int) -> Ledger:
    """Read what a plan needs to know of a series, as it is at `now` (ms UTC; `settle` in ms)."""
    with store.read() as connection:
        return ledger_of(connection, series, now, settle)


def ledger_of(connection: Connection, series: Series, now: int, settle: int) -> Ledger:
    """Read what a plan needs to know of a series, inside a transaction."""
    current = table.find(connection, series.symbol, series.timeframe) or series
    hull = coverage.hull(connection, current.id)
    start = current.frontier if current.frontier is not None else (hull.start if hull else None)
    if start is not None:
        # Nothing older is wanted: cleanup may have removed it since the frontier stood there.
        start = max(start, current.wanted(now, settle).start)
    confirmed_to = None if start is None else coverage.final_end(connection, current.id, start)
    reaches_from = confirmed_to if confirmed_to is not None else current.wanted(now, settle).start
    before, _ = candles.around(connection, current.id, Range(reaches_from, reaches_from), WITNESSES)
    return Ledger(
        current,
        hull,
        confirmed_to,
        reaches_from if before is None else before,
        candles.last_before(connection, current.id, 2**62),
        tuple(doubts.of(connection, current.id)),
        tuple(doubts.unobtainable(connection, current.id)),
        now,
        settle,
    )


def covered_before(store: Store, series: Series, before: int, lookback: int) -> list[Range]:
    """Return what is known of a series in the `lookback` ms before `before` (ms UTC)."""
    return normal(coverage.clipped(store.connection, series.id, Range(before - lookback, before)))


def reaching(connection: Connection, series: Series, wish: Wish) -> Query:
    """Return the request for a wish; it reaches over stored candles on either side, one of which must come back."""
    grid, part = series.timeframe, wish.part
    before = after = None
    if wish.witnesses:
        before, after = candles.around(connection, series.id, part, wish.witnesses)
    end = part.end if after is None else grid.next(after)
    if wish.is_open:
        rows = grid.count(*part) + wish.witnesses + 2
        asked = Range(part.start, end)
        return Query(series.symbol, grid, asked, newest_first=True, limit=min(PAGE_LIMIT, rows), is_open=True)
    start = part.start if before is None else before
    if wish.revisit_from is not None and wish.revisit_from < start:
        old = Range(wish.revisit_from, part.start)
        if candles.count(connection, series.id, old) + grid.count(*part) < PAGE_LIMIT:
            # From a stored candle on, so that no silence comes first.
            start = candles.first_from(connection, series.id, wish.revisit_from, before=start) or start
    return Query(series.symbol, grid, Range(start, end), wish.newest_first)


def store_page(job: Job, series: Series, page: Page, *, is_forward: bool = False) -> "Stored":
    """Store an answer, whoever asked for it, and count what it changed."""
    # Imported here: a run with nothing due never needs it.
    from mdata.store.pages import apply_page

    settle = job.context.settle
    with job.write() as connection:
        current = table.find(connection, series.symbol, series.timeframe) or series
        applied = apply_page(connection, current, page, settle, job.command)
        if is_forward and applied.counts:
            _move_frontier(connection, current, page, settle)
        job.count(
            candles_written=applied.written,
            candles_changed=applied.changed,
            gaps_repaired=applied.repaired,
            gaps_empty=applied.empty,
        )
    if page.refused:
        job.has_problem(RowsRefusedError(f"{series.name}: {page.refusal}"))
    return Stored(page, applied.counts, applied.is_news)


class Stored(NamedTuple):
    """An answer that was stored: whether it counts, and whether anything is known now that was not before."""

    page: Page
    counts: bool
    is_news: bool


def _move_frontier(connection: Connection, series: Series, page: Page, settle: int) -> None:
    """Move the frontier over what is final now; what a refused row may have stood for is passed."""
    grid, asked_at = series.timeframe, page.asked_at
    hull = coverage.hull(connection, series.id)
    wanted = series.wanted(asked_at, settle).start
    base = max(series.frontier if series.frontier is not None else (hull.start if hull else wanted), wanted)
    frontier = coverage.final_end(connection, series.id, base)
    if page.span is not None and page.query.range.start <= base:
        # What lies between was asked for too: it is a gap, of a refused row or of what is served no more.
        frontier = max(frontier, *(part.end for part in _enclosed(connection, series, page, settle)), frontier)
    asked_to = min(page.query.range.end, grid.closed_end(asked_at))
    if page.is_full and page.span is not None and not page.query.newest_first:
        asked_to = min(asked_to, page.span.end)
    table.move_frontier(connection, series.id, frontier if hull else None, asked_to)


def _enclosed(connection: Connection, series: Series, page: Page, settle: int) -> list[Range]:
    """Return the final parts of what an answer encloses."""
    span, settled = page.span or Range(0, 0), series.timeframe.closed_end(page.asked_at, settle)
    return coverage.clipped(connection, series.id, Range(span.start, min(span.end, settled)), "final")


class Passes:
    """The passes of one run over the series it serves."""

    def __init__(self, job: Job, expected_requests: int) -> None:
        self._job, self._context = job, job.context
        self._expected = expected_requests
        self._listed: set[str] | None = None
        self._asked_first: set[Target] = set()
        # What is asked of the exchange once more about these series comes out as badly.
        self._badly_answered: set[int] = set()

    def introduce(self, target: Target) -> Series | None:
        """Return the stored series of a target; a new one is asked for its newest page.

        None when the exchange does not know the symbol, or answers nonsense about a new one: that is noted as a
        problem, and nothing is stored.
        """
        known = find(self._context.store, target)
        if known is not None:
            return known
        try:
            return self._introduce(target)
        except BadAnswerError as error:
            self._job.has_problem(BadAnswerError(f"{target.name}: {error}"))
            return find(self._context.store, target)

    def _introduce(self, target: Target) -> Series | None:
        context = self._context
        page = self._job.ask(
            lambda: self._first_query(target), lambda exchange, query, sent: exchange.candles(query, sent)
        )
        if page is None:
            return find(context.store, target)
        if not page.rows and not self._is_listed(target.symbol):
            self._job.has_problem(
                ConfigurationError(
                    f"the exchange knows no pair {target.symbol}: no candle, and not in its list of pairs; "
                    f"correct SYMBOLS{did_you_mean(target.symbol, sorted(self._listed or ()))}"
                )
            )
            return None
        # An exchange that has candles after all contradicts an empty answer, or the local clock is years behind.
        first = None if page.rows else self._first_candle(target, lambda: True)
        start = start_asked(context.settings, target.timeframe, page.asked_at)
        with self._job.write() as connection:
            table.introduce(connection, target.symbol, target.timeframe, start)
        series = find(context.store, target)
        if series is not None and first is not None and first.candles:
            self._note_first(series, first)
        elif series is not None:
            store_page(self._job, series, page, is_forward=True)
        return series

    def _first_query(self, target: Target) -> Query | None:
        """Return the first request about a series, or None when another job has made it meanwhile."""
        store, now = self._context.store, self._context.clock.now()
        if find(store, target) is not None:
            return None
        start = start_asked(self._context.settings, target.timeframe, now)
        new = Series(0, "", *target, None, 0, start, None, None, None, None)
        with store.read() as connection:
            return reaching(connection, new, planning.first_page(target.timeframe, start, now))

    def _is_listed(self, symbol: str) -> bool:
        if self._listed is None:
            self._listed = self._job.ask(lambda: symbol, lambda exchange, _, sent: exchange.pairs(sent))
        return symbol in (self._listed or ())

    def forward(self, series: Series, *, confirm: bool) -> None:
        """Ask for everything from the frontier to the newest closed interval, and move the frontier along.

        With `confirm` what is in doubt is asked about a second time, and the last day is looked at once more.
        """
        revisit = self._context.settings.revisit_hours * 3_600_000 if confirm else 0
        self._go(
            series,
            lambda ledger: planning.forward(ledger, confirm=confirm, revisit=revisit),
            is_forward=True,
            most=None if confirm else 1,
        )

    def backward(self, series: Series) -> None:
        """Ask for everything from the hull's old end back to the wanted start, or to the exchange's first candle.

        The first page of a series is believed when another answer has some of its rows: where nothing more was to be
        asked, that is asked for.
        """
        self._go_back(series)
        self._go(series, planning.second_answer, is_forward=True)
        self._go_back(series)  # where the first page was not what it seemed
        ask_again(self._job, series)

    def _go_back(self, series: Series) -> None:
        for _ in range(_MOST_WITHOUT_NEWS):
            self._go(series, planning.backward)
            target = Target(series.symbol, series.timeframe)
            if target in self._asked_first or not planning.asks_first(self._ledger(series)):
                return
            page = self._first_candle(target, lambda: planning.asks_first(self._ledger(series)))
            if page is not None:
                self._note_first(series, page)
            ledger = self._ledger(series)
            if ledger.last_candle is None and not ledger.doubt("silence"):
                self.forward(series, confirm=True)
            elif planning.backward(ledger) is None:
                return

    def catch_up(self, series: Series, before: int, lookback: int) -> None:
        """Ask for what a stream's snapshot, which begins at `before` (ms UTC), does not reach; `lookback` in ms."""

        def plan(ledger: Ledger) -> Wish | None:
            covered = covered_before(self._context.store, series, before, lookback)
            return planning.catch_up(ledger, covered, before, lookback)

        self._go(series, plan)

    def _ledger(self, series: Series) -> Ledger:
        return read_ledger(self._context.store, series, self._context.clock.now(), self._context.settle)

    def _go(self, series: Series, plan: Plan, *, is_forward: bool = False, most: int | None = None) -> None:
        """Ask for page after page, until there is nothing to ask, or nothing new comes.

        `most`: so many requests, unless pages are full.
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
                if without_news >= _MOST_WITHOUT_NEWS or asked == most:
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
        """Ask for one page and store it; None when there was nothing to ask any more."""
        self._report(series)
        page = self._job.ask(
            lambda: self._query(series, plan), lambda exchange, query, sent: exchange.candles(query, sent)
        )
        if page is None:
            return None
        stored = store_page(self._job, series, page, is_forward=is_forward)
        if not stored.counts:
            self._is_unwitnessed(series, page)
        return stored

    def _is_unwitnessed(self, series: Series, page: Page) -> None:
        """Say that an answer has none of the stored candles; a pair that is listed no more has no others to come."""
        self._job.context.log.warning(
            f"{series.name}: the exchange's answer has none of the stored candles that it should have; "
            "nothing of it was believed"
        )
        if page.rows or self._is_listed(series.symbol):
            return
        with self._job.write() as connection:
            last = candles.last_before(connection, series.id, 2**62)
            if last is not None:
                part = Range(series.timeframe.next(last), doubts.NO_END)
                doubts.cannot_be_had(connection, series.id, [part], page.asked_at)

    def _first_candle(self, target: Target, is_due: Callable[[], bool]) -> Page | None:
        """Ask which the exchange's first candle is, once in a run."""
        self._asked_first.add(target)
        page = self._job.ask(
            lambda: target if is_due() else None,
            lambda exchange, asked, sent: exchange.first_candle(asked.symbol, asked.timeframe, sent),
        )
        if page is not None and page.candles:
            refuse_wrong_clock(page.asked_at, page.candles[0][0])
        return page

    def _note_first(self, series: Series, page: Page) -> None:
        with self._job.write() as connection:
            current = table.find(connection, series.symbol, series.timeframe) or series
            note_first(connection, current, page, self._context.settle)

    def _report(self, series: Series) -> None:
        done = self._job.tally.requests
        expected = max(self._expected, done + 1)
        seconds = self._context.budget.peek().seconds_for(expected - done, self._job.priority)
        self._context.report(Progress(done, expected, series.name, seconds))


def ask_again(job: Job, series: Series) -> None:
    """Ask a second time about what answers have contradicted, until none contradicts any more, or three have."""
    context = job.context

    def plan() -> Query | None:
        with context.store.read() as connection:
            ledger = ledger_of(connection, series, context.clock.now(), context.settle)
            parts, newest_first = planning.contradicted(ledger)
            if not parts:
                return None
            return reaching(connection, ledger.series, Wish(newest_page(connection, series, parts), newest_first))

    last: Query | None = None
    while plan() not in {None, last}:
        page = job.ask(plan, lambda exchange, query, sent: exchange.candles(query, sent))
        if page is None:
            return
        store_page(job, series, page)
        last = page.query


def note_first(connection: Connection, series: Series, page: Page, settle: int) -> None:
    """Note which first candle the exchange names; it is believed when it has settled and is the oldest stored one."""
    grid, asked_at = series.timeframe, page.asked_at
    told = page.candles[0] if page.candles else None
    if told is None or (series.first_candle is not None and told[0] >= series.first_candle):
        table.begins_at(connection, series.id, series.first_candle, asked_at)
        return
    oldest = candles.first_from(connection, series.id, -(2**62))
    known = doubts.of(connection, series.id)
    has_begun = grid.next(told[0]) <= asked_at
    is_settled = grid.next(told[0]) + settle <= asked_at
    if series.first_candle is not None or (oldest is None and not has_begun) or (oldest == told[0] and is_settled):
        table.begins_at(connection, series.id, told[0], asked_at)
        doubts.end(connection, series.id, [one for one in known if one.kind == "first"])
        doubts.end_answered(connection, series.id, [Range(-(2**62), told[0])])
        return
    if oldest is None:
        # The exchange has candles after all: what came out silent is asked for again.
        doubts.end(connection, series.id, [one for one in known if one.kind == "silence"])
    first = next((one for one in known if one.kind == "first"), None)
    doubts.end(connection, series.id, [first] if first else [])
    since, answers = (first.since, first.answers + 1) if first else (asked_at, 1)
    interval = Range(told[0], grid.next(told[0]))
    doubts.keep(connection, series.id, [Doubt(interval, "first", "asc first", since, asked_at, answers, told)])


def newest_page(connection: Connection, series: Series, parts: list[Range]) -> Range:
    """Return the newest of these ranges (ascending), and with it as many older ones as fit on one page."""
    newest = parts[-1]
    start, rows = newest.end, 0
    for part in reversed(parts):
        rows += candles.count(connection, series.id, Range(part.start, start)) + series.timeframe.count(*part)
        # A page that is full, witnesses included, proves less than all that was asked.
        if part is not newest and rows > PAGE_LIMIT - 2 * WITNESSES - 1:
            break
        start = part.start
    return Range(start, newest.end)
