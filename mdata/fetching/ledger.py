"""Reading the ledger for a plan, and turning a plan into a request that includes stored candles."""

from mdata.domain.interval import END_OF_TIME, Range, normal
from mdata.domain.ledger import Ledger
from mdata.domain.planning import Wish
from mdata.domain.query import WITNESSES, Query, fitted
from mdata.domain.series import Series
from mdata.domain.silence import NEARBY
from mdata.domain.venue import Venue
from mdata.fetching.wanted import stored, target_of
from mdata.running.context import Context
from mdata.store import candles, coverage, doubts
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.engine import Store


def read_ledger(store: Store, series: Series, now: int, settle: int) -> Ledger:
    """Read what a plan needs to know of a series, as it is at `now` (ms UTC; `settle` in ms)."""
    with store.read() as connection:
        return ledger_of(connection, series, now, settle)


def stored_ledgers(context: Context) -> list[Ledger]:
    """Read the ledgers of all series of the settings that are stored, as they are now."""
    now = context.clock.now()
    with context.store.read() as connection:
        known = stored(context.store, context.settings)
        return [_ledger_of(connection, series, now, context.settle) for series in known]


def ledger_of(connection: Connection, series: Series, now: int, settle: int) -> Ledger:
    """Read what a plan needs to know of a series, inside a transaction."""
    current = table.find(connection, *target_of(series))
    return _ledger_of(connection, current or series, now, settle)


def _ledger_of(connection: Connection, current: Series, now: int, settle: int) -> Ledger:
    hull = coverage.hull(connection, current.id)
    start = current.frontier if current.frontier is not None else (hull.start if hull else None)
    if start is not None:
        # Nothing before the wanted start matters: cleanup may have removed it after the frontier was set.
        start = max(start, current.wanted(now, settle).start)
    confirmed_to = None if start is None else coverage.final_end(connection, current.id, start)
    reaches_from = confirmed_to if confirmed_to is not None else current.wanted(now, settle).start
    before, _ = _around(connection, current, Range(reaches_from, reaches_from), WITNESSES)
    return Ledger(
        current,
        hull,
        confirmed_to,
        reaches_from if before is None else before,
        _last_row(connection, current, hull),
        tuple(doubts.of(connection, current.id)),
        tuple(doubts.unobtainable(connection, current.id)),
        now,
        settle,
    )


def _last_row(connection: Connection, series: Series, hull: Range | None) -> int | None:
    """Return the open time of the newest known row, which may be a silence if the exchange sends rows for silence."""
    if series.venue.writes_silence and hull is not None:
        return series.timeframe.previous(hull.end)
    return candles.last_before(connection, series.id, END_OF_TIME)


def covered_before(store: Store, series: Series, before: int, lookback: int) -> list[Range]:
    """Return what is known of a series in the `lookback` ms before `before` (ms UTC)."""
    return normal(coverage.clipped(store.connection, series.id, Range(before - lookback, before)))


def reaching(connection: Connection, series: Series, wish: Wish) -> Query:
    """Return the request for a wish; it includes stored candles on both sides, by which the answer is recognised."""
    venue, grid, part = series.venue, series.timeframe, wish.part
    before = after = None
    if wish.witnesses:
        before, after = _around(connection, series, part, wish.witnesses)
    end = part.end if after is None else grid.next(after)
    if wish.is_open:
        asked = Range(part.start, end)
        rows = grid.count(*(asked if venue.writes_silence else part)) + wish.witnesses + 2
        limit = min(venue.page_rows, rows)
        return fitted(Query(venue, series.symbol, grid, asked, newest_first=True, limit=limit, is_open=True))
    start = part.start if before is None else before
    if wish.revisit_from is not None and wish.revisit_from < start:
        old = Range(wish.revisit_from, part.start)
        if _rows_in(connection, series, old) + grid.count(*part) < venue.page_rows:
            start = _first_row_from(connection, series, wish.revisit_from, before=start)
    if wish.witnesses and _around(connection, series, Range(start, start), 1)[0] is None:
        # Nothing older is stored: begin earlier, so that a row from before the part encloses its beginning.
        start = grid.shift(start, -min(NEARBY, _reach(venue)))
    return fitted(Query(venue, series.symbol, grid, Range(start, end), wish.newest_first, venue.page_rows))


def _reach(venue: Venue) -> int:
    """Return how many rows outside its own range a request may include: a third of a page."""
    return venue.page_rows // 3


def _around(connection: Connection, series: Series, part: Range, steps: int) -> tuple[int | None, int | None]:
    """Return the open times of the known rows `steps` before and `steps` after a part, to which a request reaches.

    If there are fewer rows on a side, the farthest one is returned. Normally these rows are stored candles. On an
    exchange that sends a row for every silent interval, every covered interval has a row (outages aside); the nearest
    candle is then included too, unless it is too far away.
    """
    steps = min(steps, _reach(series.venue))
    if not series.venue.writes_silence:
        return candles.around(connection, series.id, part, steps)
    grid = series.timeframe
    older = next(coverage.beside(connection, series.id, part.start, is_before=True), None)
    newer = next(coverage.beside(connection, series.id, part.end, is_before=False), None)
    before = after = None
    nearest, following = candles.around(connection, series.id, part, 1)
    if older is not None:
        before = max(older.start, grid.shift(min(older.end, part.start), -steps))
        if nearest is not None and grid.count(nearest, part.start) <= _reach(series.venue):
            before = min(before, nearest)
    if newer is not None:
        after = min(grid.previous(newer.end), grid.shift(max(newer.start, part.end), steps - 1))
        if following is not None and grid.count(part.end, following) < _reach(series.venue):
            after = max(after, following)
    return before, after


def _rows_in(connection: Connection, series: Series, part: Range) -> int:
    """Return how many rows an answer about a known part has."""
    if series.venue.writes_silence:
        return series.timeframe.count(*part)
    return candles.count(connection, series.id, part)


def _first_row_from(connection: Connection, series: Series, instant: int, *, before: int) -> int:
    """Return the open time of the first known row from `instant` on; `before` if there is no earlier one.

    A request that begins there begins with a known row, and not with a silence.
    """
    if series.venue.writes_silence:
        return min(series.timeframe.ceil(instant), before)
    return candles.first_from(connection, series.id, instant, before=before) or before


def newest_page(connection: Connection, series: Series, parts: list[Range]) -> Range:
    """Return the newest of these ranges (ascending), extended over as many older ones as fit on one page."""
    newest = parts[-1]
    start, rows = newest.end, 0
    for part in reversed(parts):
        rows += _rows_in(connection, series, Range(part.start, start))
        if not series.venue.writes_silence:
            rows += series.timeframe.count(*part)
        # A page that is full, witnesses included, proves only a part of what was requested.
        if part is not newest and rows > series.venue.page_rows - 2 * WITNESSES - 1:
            break
        start = part.start
    return Range(start, newest.end)
