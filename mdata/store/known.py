"""Reading what the ledger knows about the range of an answer."""

from mdata.domain.interval import BEGINNING_OF_TIME, END_OF_TIME, Range, normal
from mdata.domain.known import Known
from mdata.domain.query import Page
from mdata.domain.series import Series
from mdata.domain.silence import NEARBY, NOTHING_NEARBY, Density
from mdata.store import candles, coverage, doubts
from mdata.store.connection import Connection

# If the rows of an answer span more stored candles than fit on this many pages, the answer lacks so many of them that
# it is not compared.
_MOST_PAGES = 4


def read_known(connection: Connection, series: Series, page: Page, settle: int) -> Known:
    """Return what an answer is judged by; restored candles must have been counted before (`forget_restored`)."""
    asked = page.query.range
    span = page.span or Range(asked.start, asked.start)
    floor = series.wanted(page.asked_at, settle).start
    within = Range(min(asked.start, span.start), max(asked.end, span.end))
    beyond = Range(asked.start, span.start), Range(span.end, asked.end)
    most = _MOST_PAGES * page.query.venue.page_rows
    stored = candles.stored(connection, series.id, span, most + 1)
    return Known(
        stored=stored if len(stored) <= most else [],
        lost=candles.lost(connection, series.id, within),
        final=normal(coverage.clipped(connection, series.id, within, "final")),
        provisional=normal(coverage.clipped(connection, series.id, within, "provisional")),
        unobtainable=doubts.unobtainable(connection, series.id),
        doubts=doubts.of(connection, series.id),
        has_witness=_has_witness(connection, series, asked),
        held_before=_holds(connection, series, beyond[0]),
        held_after=_holds(connection, series, beyond[1]),
        before=nearby(connection, series, span.start, is_before=True) if page.span else NOTHING_NEARBY,
        after=nearby(connection, series, span.end, is_before=False) if page.span else NOTHING_NEARBY,
        floor=floor,
    )


def _has_witness(connection: Connection, series: Series, asked: Range) -> bool:
    """Whether a row in the requested range is known: a candle, or a silence that the exchange reports by a row."""
    if candles.first_from(connection, series.id, asked.start, before=asked.end) is not None:
        return True
    return series.venue.writes_silence and bool(coverage.clipped(connection, series.id, asked))


def _holds(connection: Connection, series: Series, part: Range) -> bool:
    """Whether a row is known in a covered part of a range."""
    if series.venue.writes_silence:
        return bool(coverage.clipped(connection, series.id, part))
    return any(
        segment.candles and candles.first_from(connection, series.id, max(part.start, segment.start),
                                               before=min(part.end, segment.end)) is not None
        for segment in coverage.touching(connection, series.id, part)
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
