"""The forward and the backward pass over one series: slot, plan, ask, prove, store, page by page."""

from collections.abc import Callable
from typing import NamedTuple

from mdata.config import Settings
from mdata.domain import planning
from mdata.domain.interval import Range, normal
from mdata.domain.moment import iso
from mdata.domain.near import did_you_mean
from mdata.domain.planning import Estimate, Ledger
from mdata.domain.query import PAGE_LIMIT, Page, Proof, Query, prove
from mdata.domain.series import Series, days_before
from mdata.domain.timeframe import DAY, Timeframe
from mdata.errors import BadAnswerError, ConfigurationError, RowsRefusedError
from mdata.jobs.context import Progress
from mdata.jobs.job import Job
from mdata.store import candles, coverage
from mdata.store import series as table
from mdata.store.engine import Connection, Store

Plan = Callable[[Ledger], Query | None]


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
    """Return the open time (ms UTC) before which candles are not kept at `now`; None: all are kept."""
    days = retention_days(settings, timeframe)
    return days_before(timeframe, now, days) if days else None


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
        current = table.find(connection, series.symbol, series.timeframe) or series
        hull = coverage.hull(connection, current.id)
        start = current.frontier if current.frontier is not None else (hull.start if hull else None)
        if start is not None:
            # Nothing older is wanted: cleanup may have removed it since the frontier stood there.
            start = max(start, current.wanted(now, settle).start)
        confirmed_to = None if start is None else coverage.final_end(connection, current.id, start)
        newest = candles.last_before(connection, current.id, 2**62)
    return Ledger(current, hull, confirmed_to, newest, now, settle)


def covered_before(store: Store, series: Series, before: int, lookback: int) -> list[Range]:
    """Return what is known of a series in the `lookback` ms before `before` (ms UTC)."""
    return normal(coverage.clipped(store.connection, series.id, Range(before - lookback, before)))


class Passes:
    """The passes of one run over the series it serves; remembers what came out empty and is asked once more."""

    def __init__(self, job: Job, expected_requests: int) -> None:
        self._job, self._context = job, job.context
        self._expected = expected_requests
        # What came out empty and is asked once more, and how many rows came before it.
        self._doubts: dict[int, tuple[Range, int]] = {}
        self._cap = PAGE_LIMIT
        self._listed: set[str] | None = None

    def introduce(self, target: Target) -> Series | None:
        """Return the stored series of a target, asking for its first candle where that is due.

        None when the exchange does not know the symbol, or answers nonsense about a new one: that is noted as a
        problem, and nothing is stored.
        """
        try:
            return self._introduce(target)
        except BadAnswerError as error:
            self._job.has_problem(BadAnswerError(f"{target.name}: {error}"))
            return find(self._context.store, target)

    def _introduce(self, target: Target) -> Series | None:
        store, clock = self._context.store, self._context.clock
        known = find(store, target)
        if not planning.is_first_asked(known, clock.now()):
            return known
        answer = self._first_candle(target)
        if answer is not None and answer[0] is None:
            if not self._is_listed(target.symbol):
                self._job.has_problem(
                    ConfigurationError(
                        f"the exchange knows no pair {target.symbol}: no candle, and not in its list of pairs; "
                        f"correct SYMBOLS{did_you_mean(target.symbol, sorted(self._listed or ()))}"
                    )
                )
                return None
            # A listed pair without any candle is remarkable enough to be asked about once more.
            answer = self._first_candle(target)
        if answer is not None:
            first_candle, asked_at = answer
            refuse_wrong_clock(asked_at, first_candle or 0)
            start = start_asked(self._context.settings, target.timeframe, asked_at)
            with self._job.write() as connection:
                table.introduce(
                    connection,
                    target.symbol,
                    target.timeframe,
                    first_candle=first_candle,
                    asked_at=asked_at,
                    wanted_start=start,
                )
        return find(store, target)

    def _first_candle(self, target: Target) -> tuple[int | None, int] | None:
        store, clock = self._context.store, self._context.clock
        return self._job.ask(
            lambda: target if planning.is_first_asked(find(store, target), clock.now()) else None,
            lambda exchange, asked, sent: exchange.first_candle(asked.symbol, asked.timeframe, sent),
        )

    def _is_listed(self, symbol: str) -> bool:
        if self._listed is None:
            self._listed = self._job.ask(lambda: symbol, lambda exchange, _, sent: exchange.pairs(sent))
        return symbol in (self._listed or ())

    def forward(self, series: Series, *, confirm: bool) -> None:
        """Ask for everything from the frontier to the newest closed interval, and move the frontier along."""
        self._go(series, lambda ledger: planning.forward(ledger, confirm=confirm), is_forward=True)

    def backward(self, series: Series) -> None:
        """Ask for everything from the hull's old end back to the wanted start."""
        self._go(series, planning.backward, is_forward=False)

    def catch_up(self, series: Series, before: int, lookback: int) -> None:
        """Ask for what a stream's snapshot, which begins at `before` (ms UTC), does not reach; `lookback` in ms."""

        def plan(ledger: Ledger) -> Query | None:
            covered = covered_before(self._context.store, series, before, lookback)
            return planning.catch_up(ledger, covered, before, lookback)

        self._go(series, plan, is_forward=False)

    def _go(self, series: Series, plan: Plan, *, is_forward: bool) -> None:
        last: Query | None = None
        try:
            while self._plan(series, plan) is not None:
                query = self._ask(series, plan, is_forward=is_forward)
                if query is None or query == last:
                    return  # the same page twice brings nothing new: a refused row, say, at its edge
                last = query
        except BadAnswerError as error:
            self._job.has_problem(BadAnswerError(f"{series.name}: {error}"))

    def _plan(self, series: Series, plan: Plan) -> Query | None:
        now = self._context.clock.now()
        query = plan(read_ledger(self._context.store, series, now, self._context.settle))
        doubted, _ = self._doubts.get(series.id, (None, 0))
        return None if query is None else query._replace(doubted=doubted, cap=self._cap)

    def _ask(self, series: Series, plan: Plan, *, is_forward: bool) -> Query | None:
        """Ask for one page and store it; return the query, or None when there was nothing to ask any more."""
        self._report(series)
        page = self._job.ask(
            lambda: self._plan(series, plan), lambda exchange, query, sent: exchange.candles(query, sent)
        )
        if page is None:
            return None
        self._store(series, page, is_forward=is_forward)
        return page.query

    def _store(self, series: Series, page: Page, *, is_forward: bool) -> None:
        # Imported here: a run with nothing due never needs it.
        from mdata.store.pages import apply_page

        job, proof = self._job, prove(page)
        self._learn(series, page, proof)
        with job.write() as connection:
            current = table.find(connection, series.symbol, series.timeframe) or series
            hull = coverage.hull(connection, series.id)
            applied = apply_page(connection, current, page, proof, self._context.settle, job.command)
            if is_forward and proof.reach is not None:
                self._move_frontier(connection, current, hull, proof.reach, page.asked_at)
            job.count(
                candles_written=applied.written,
                candles_changed=applied.changed,
                gaps_repaired=applied.repaired,
                gaps_empty=applied.empty,
            )
        if page.refused:
            job.has_problem(RowsRefusedError(f"{series.name}: {page.refusal}"))

    def _learn(self, series: Series, page: Page, proof: Proof) -> None:
        doubted, rows = self._doubts.get(series.id, (None, 0))
        if doubted and rows and any(doubted.start <= candle[0] < doubted.end for candle in page.candles):
            self._cap = min(self._cap, rows)
        if proof.doubt is not None:
            self._doubts[series.id] = proof.doubt, page.rows

    def _move_frontier(
        self, connection: Connection, series: Series, hull: Range | None, reach: Range, asked_at: int
    ) -> None:
        grid = series.timeframe
        settled, closed = grid.closed_end(asked_at, self._context.settle), grid.closed_end(asked_at)
        base = series.frontier if series.frontier is not None else (hull.start if hull else reach.start)
        base = max(base, series.wanted(asked_at, self._context.settle).start)
        known_to = coverage.final_end(connection, series.id, base)
        frontier = min(reach.end, settled) if reach.start <= known_to else None
        table.move_frontier(connection, series.id, frontier, min(reach.end, closed))

    def _report(self, series: Series) -> None:
        done = self._job.tally.requests
        expected = max(self._expected, done + 1)
        seconds = self._context.budget.peek().seconds_for(expected - done, self._job.priority)
        self._context.report(Progress(done, expected, series.name, seconds))
