"""Reading the ledger for a plan, and turning a plan into a request that reaches over stored candles."""

from mdata.domain.evidence import WITNESSES
from mdata.domain.interval import END_OF_TIME, Range, normal
from mdata.domain.ledger import Ledger
from mdata.domain.planning import Wish
from mdata.domain.query import PAGE_LIMIT, Query
from mdata.domain.series import Series
from mdata.domain.silence import NEARBY
from mdata.store import candles, coverage, doubts
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.engine import Store


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
        candles.last_before(connection, current.id, END_OF_TIME),
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
    if wish.witnesses and candles.last_before(connection, series.id, start) is None:
        # A row from before all that is stored encloses its beginning.
        start = grid.shift(start, -NEARBY)
    return Query(series.symbol, grid, Range(start, end), wish.newest_first)


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
