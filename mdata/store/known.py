"""Reading what the ledger knows where an answer speaks."""

from mdata.domain.interval import BEGINNING_OF_TIME, END_OF_TIME, Range, normal
from mdata.domain.known import Known
from mdata.domain.query import PAGE_LIMIT, Page
from mdata.domain.series import Series
from mdata.domain.silence import NEARBY, NOTHING_NEARBY, Density
from mdata.store import candles, coverage, doubts
from mdata.store.connection import Connection

# An answer whose rows span more stored candles than this leaves out more than any market would: it is not compared.
_MOST_STORED = 4 * PAGE_LIMIT


def read_known(connection: Connection, series: Series, page: Page, settle: int) -> Known:
    """Return what an answer is judged by; candles put back by hand must have been counted (`forget_restored`)."""
    asked = page.query.range
    span = page.span or Range(asked.start, asked.start)
    floor = series.wanted(page.asked_at, settle).start
    within = Range(min(asked.start, span.start), max(asked.end, span.end))
    beyond = Range(asked.start, span.start), Range(span.end, asked.end)
    stored = candles.stored(connection, series.id, span, _MOST_STORED + 1)
    return Known(
        stored=stored if len(stored) <= _MOST_STORED else [],
        lost=candles.lost(connection, series.id, within),
        final=normal(coverage.clipped(connection, series.id, within, "final")),
        provisional=normal(coverage.clipped(connection, series.id, within, "provisional")),
        unobtainable=doubts.unobtainable(connection, series.id),
        doubts=doubts.of(connection, series.id),
        has_witness=candles.first_from(connection, series.id, asked.start, before=asked.end) is not None,
        held_before=_holds(connection, series.id, beyond[0]),
        held_after=_holds(connection, series.id, beyond[1]),
        before=nearby(connection, series, span.start, is_before=True) if page.span else NOTHING_NEARBY,
        after=nearby(connection, series, span.end, is_before=False) if page.span else NOTHING_NEARBY,
        floor=floor,
    )


def _holds(connection: Connection, series_id: int, part: Range) -> bool:
    """Whether a candle is stored in some covered part of a range."""
    return any(
        segment.candles and candles.first_from(connection, series_id, max(part.start, segment.start),
                                               before=min(part.end, segment.end)) is not None
        for segment in coverage.touching(connection, series_id, part)
    )  # fmt: skip


def nearby(connection: Connection, series: Series, instant: int, *, is_before: bool) -> Density:
    """Return how busy the market is in the nearest covered intervals on one side of an instant (ms UTC)."""
    grid, found = series.timeframe, NOTHING_NEARBY
    for segment in coverage.beside(connection, series.id, instant, is_before=is_before):
        left = NEARBY - found.intervals
        if left <= 0:
            break
        part = (
            segment.range.clip(BEGINNING_OF_TIME, instant) if is_before else segment.range.clip(instant, END_OF_TIME)
        )
        if grid.count(*part) > left:
            part = (
                Range(grid.shift(part.end, -left), part.end)
                if is_before
                else Range(part.start, grid.shift(part.start, left))
            )
        found += Density(grid.count(*part), candles.count(connection, series.id, part))
    return found
