"""Requests about a series that is new, or whose first candle is not known."""

from collections.abc import Callable

from mdata.domain import planning
from mdata.domain.query import Page, Query
from mdata.domain.series import Series
from mdata.domain.suggest import did_you_mean
from mdata.domain.venue import Venue
from mdata.errors import BadAnswerError, ConfigurationError
from mdata.fetching.answers import note_first, store_page
from mdata.fetching.ledger import reaching
from mdata.fetching.wanted import Target, find, refuse_wrong_clock, start_asked, target_of
from mdata.running.job import Job
from mdata.store import series as table


class NewSeries:
    """Adds new series in one run, and asks for first candles, once for each series."""

    def __init__(self, job: Job) -> None:
        self._job, self._context = job, job.context
        self._listed: dict[str, set[str]] = {}
        self.asked_first: set[Target] = set()

    def introduce(self, target: Target) -> Series | None:
        """Return the stored series of a target; for a new one, its newest page is requested first.

        Return None if the exchange does not know the symbol, or sends a bad answer about a new series. This is
        recorded as a problem, and nothing is stored.
        """
        known = find(self._context.store, target)
        if known is not None:
            return known
        try:
            return self._begin(target)
        except BadAnswerError as error:
            self._job.has_problem(BadAnswerError(f"{target.name}: {error}"))
            return find(self._context.store, target)

    def _begin(self, target: Target) -> Series | None:
        context = self._context
        page = self._job.ask(
            target.venue,
            lambda: self._first_query(target),
            lambda exchange, query, sent: exchange.candles(query, sent),
        )
        if page is None:
            return find(context.store, target)
        if not page.rows and not self.is_listed(target.venue, target.symbol):
            self._job.has_problem(
                ConfigurationError(
                    f"the exchange does not know the pair {target.symbol}: it has no candles, and is not in its "
                    "list of pairs; correct "
                    f"SYMBOLS{did_you_mean(target.symbol, sorted(self._listed.get(target.venue.name, ())))}"
                )
            )
            return None
        # The empty answer may be wrong, or the local clock may be years behind: asking for the first candle reveals
        # either.
        first = None if page.rows else self.first_candle(target, lambda: True)
        start = start_asked(context.settings, target.venue, target.timeframe, page.asked_at)
        with self._job.write() as connection:
            table.introduce(connection, *target, start)
        series = find(context.store, target)
        if series is not None and first is not None and first.times:
            self.note_first(series, first)
        elif series is not None:
            store_page(self._job, series, page, is_forward=True)
        return series

    def _first_query(self, target: Target) -> Query | None:
        """Return the first request about a series, or None if another job has sent it in the meantime."""
        store, now = self._context.store, self._context.clock.now()
        if find(store, target) is not None:
            return None
        start = start_asked(self._context.settings, target.venue, target.timeframe, now)
        new = Series(0, *target, None, 0, start, None, None, None, None)
        with store.read() as connection:
            return reaching(connection, new, planning.first_page(target.timeframe, start, now))

    def is_listed(self, venue: Venue, symbol: str) -> bool:
        """Whether the exchange has the symbol in its list of pairs, which is requested once in a run."""
        if venue.name not in self._listed:
            found = self._job.ask(venue, lambda: symbol, lambda exchange, _, sent: exchange.pairs(sent))
            self._listed[venue.name] = found or set()
        return symbol in self._listed[venue.name]

    def first_candle(self, target: Target, is_due: Callable[[], bool]) -> Page | None:
        """Ask for the exchange's first candle, once in a run."""
        self.asked_first.add(target)
        page = self._job.ask(
            target.venue,
            lambda: target if is_due() else None,
            lambda exchange, asked, sent: exchange.first_candle(asked.symbol, asked.timeframe, sent),
        )
        if page is not None and page.times:
            refuse_wrong_clock(page.asked_at, page.times[0])
        return page

    def note_first(self, series: Series, page: Page) -> None:
        """Store what the exchange has named as its first candle."""
        with self._job.write() as connection:
            current = table.find(connection, *target_of(series)) or series
            note_first(connection, current, page, self._context.settle)
