"""Storing an answer, whichever job sent the request: the page, the frontier, the first candle."""

from typing import NamedTuple

from mdata.domain.doubt import Doubt
from mdata.domain.interval import BEGINNING_OF_TIME, Range
from mdata.domain.query import Page
from mdata.domain.series import Series
from mdata.errors import RowsRefusedError
from mdata.fetching.wanted import target_of
from mdata.running.job import Job
from mdata.store import candles, coverage, doubts
from mdata.store import series as table
from mdata.store.connection import Connection


class Stored(NamedTuple):
    """An answer that was stored: whether it counts, and whether something is known now that was not known before."""

    page: Page
    counts: bool
    is_news: bool


def store_page(job: Job, series: Series, page: Page, *, is_forward: bool = False) -> Stored:
    """Store an answer of any job, and count what it changed."""
    # Imported here: a run with nothing due never needs it.
    from mdata.store.pages import apply_page

    settle = job.context.settle
    with job.write() as connection:
        current = table.find(connection, *target_of(series)) or series
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


def _move_frontier(connection: Connection, series: Series, page: Page, settle: int) -> None:
    """Move the frontier over what is now final, and past the ranges of rejected rows."""
    grid, asked_at = series.timeframe, page.asked_at
    hull = coverage.hull(connection, series.id)
    wanted = series.wanted(asked_at, settle).start
    base = max(series.frontier if series.frontier is not None else (hull.start if hull else wanted), wanted)
    frontier = coverage.final_end(connection, series.id, base)
    if page.span is not None and page.query.range.start <= base:
        # The answer was also about the range between the old and the new frontier. Any part of that range that is not
        # final is a gap: a row was rejected, or the history is no longer served.
        frontier = max([frontier, *(part.end for part in _enclosed(connection, series, page, settle))])
    asked_to = min(page.query.range.end, grid.closed_end(asked_at))
    if page.is_full and page.span is not None and not page.query.newest_first:
        asked_to = min(asked_to, page.span.end)
    # What was requested but is still not covered, such as a silence in doubt at the newest end, has no answer yet.
    asked_to = min(asked_to, hull.end) if hull else asked_to
    table.move_frontier(connection, series.id, frontier if hull else None, asked_to)


def _enclosed(connection: Connection, series: Series, page: Page, settle: int) -> list[Range]:
    """Return the final parts of what an answer encloses."""
    span, settled = page.span or Range(0, 0), series.timeframe.closed_end(page.asked_at, settle)
    return coverage.clipped(connection, series.id, Range(span.start, min(span.end, settled)), "final")


def note_first(connection: Connection, series: Series, page: Page, settle: int) -> None:
    """Record the first candle that the exchange names.

    The candle is believed in three cases: it has settled and is the oldest known row, so that two answers agree; it
    is older than the first candle recorded before; or its interval has not closed, and nothing of the series is known
    yet. On an exchange that sends rows for silence, the first row need not be a candle.
    """
    grid, asked_at = series.timeframe, page.asked_at
    told = page.times[0] if page.times else None
    if told is None or (series.first_candle is not None and told >= series.first_candle):
        table.begins_at(connection, series.id, series.first_candle, asked_at)
        return
    oldest = _oldest(connection, series)
    known = doubts.of(connection, series.id)
    has_begun = grid.next(told) <= asked_at
    is_settled = grid.next(told) + settle <= asked_at
    if series.first_candle is not None or (oldest is None and not has_begun) or (oldest == told and is_settled):
        table.begins_at(connection, series.id, told, asked_at)
        doubts.end(connection, series.id, [one for one in known if one.kind == "first"])
        doubts.end_answered(connection, series.id, [Range(BEGINNING_OF_TIME, told)])
        return
    if oldest is None:
        # The exchange has candles after all: doubts about silences are dropped, so that their ranges are requested
        # again.
        doubts.end(connection, series.id, [one for one in known if one.kind == "silence"])
    first = next((one for one in known if one.kind == "first"), None)
    doubts.end(connection, series.id, [first] if first else [])
    since, answers = (first.since, first.answers + 1) if first else (asked_at, 1)
    interval, candle = Range(told, grid.next(told)), page.candles[0] if page.candles else None
    doubts.keep(connection, series.id, [Doubt(interval, "first", "asc first", since, asked_at, answers, candle)])


def _oldest(connection: Connection, series: Series) -> int | None:
    """Return the open time of the oldest known row."""
    if series.venue.writes_silence:
        hull = coverage.hull(connection, series.id)
        return None if hull is None else hull.start
    return candles.first_from(connection, series.id, BEGINNING_OF_TIME)
