"""Tails: silences at an end of an answer, which no row encloses.

An answer that was cut short looks just like an answer about a market that fell silent. A silence at its end is
therefore only believed when a second, independent answer says the same (what the stream has shown counts as an
answer). Until then the silence is provisional, or, if it is remarkable, not covered at all, so that its range is
requested again. On an exchange that sends a row for every silent interval, a missing row, at an end or between two
rows, only counts as a silence when a second answer confirms it.
"""

from bisect import bisect_left
from typing import NamedTuple

from mdata.domain.doubt import Doubt, raised
from mdata.domain.interval import Range, clip, intersect, intervals_of, normal, subtract
from mdata.domain.known import Known
from mdata.domain.query import Page
from mdata.domain.silence import NEARBY, NOTHING_NEARBY, Density, is_improbable, is_remarkable, least


class Told(NamedTuple):
    """The verdict on silences at the ends of an answer: accepted, provisional, or in doubt (see `Verdict`)."""

    final: list[Range]
    provisional: list[Range]
    doubts: list[Doubt]


def find(page: Page, known: Known, spoiled: list[Range], settle: int) -> Told:
    """Judge the silences at the ends of an answer; `spoiled` are ranges that its refused rows may have been about."""
    told = Told([], [], [])
    for tail, nearby in _tails(page, known):
        for part in subtract([tail], spoiled):
            _judge(page, known, part, nearby, settle, told)
    return told


def _tails(page: Page, known: Known) -> list[tuple[Range, Density]]:
    """Return the silences that no rows enclose, each with how busy the market is beside it."""
    query, span = page.query, page.span
    asked = query.range.clip(known.floor, query.timeframe.closed_end(page.asked_at))
    if span is None:
        return [(asked, NOTHING_NEARBY)] if asked.start < asked.end else []
    found = []
    # If a covered candle beyond the rows is not in the answer, the answer was truncated.
    if not known.held_before and not (page.is_full and query.newest_first):
        found.append((Range(asked.start, span.start), _beside(page, span, known.after, is_before=True)))
    if not known.held_after and not (page.is_full and not query.newest_first):
        found.append(
            (Range(max(span.end, asked.start), asked.end), _beside(page, span, known.before, is_before=False))
        )
    found += [(hole.clip(asked.start, asked.end), NOTHING_NEARBY) for hole in page.holes]
    return [(tail, nearby) for tail, nearby in found if tail.start < tail.end]


def _beside(page: Page, span: Range, beyond: Density, *, is_before: bool) -> Density:
    """Return how busy the market is at one end of the rows.

    If the rows span fewer than `NEARBY` intervals, `beyond` is added, which is the density past the other end of the
    rows.
    """
    grid = page.query.timeframe
    count = min(NEARBY, grid.count(*span))
    if is_before:
        held = bisect_left(page.candles, (grid.shift(span.start, count),))
    else:
        held = len(page.candles) - bisect_left(page.candles, (grid.shift(span.end, -count),))
    inside = Density(count, held)
    return inside if count == NEARBY else inside + beyond


def _judge(page: Page, known: Known, tail: Range, nearby: Density, settle: int, told: Told) -> None:
    query, grid = page.query, page.query.timeframe
    settled = grid.closed_end(page.asked_at, settle)
    is_old_end = query.is_open and tail.start <= max(query.range.start, known.floor)
    firsts = [one.range.start for one in known.doubts if one.kind == "first"]
    # If an answer ends before it reaches the first candle that the exchange named, the rest of its range is not taken
    # for a silence, whatever other answers said. On an exchange that sends rows for silence, no row can come from
    # before the first candle of a series: rows that are missing there are no silence.
    is_denied = is_old_end and any(first < tail.end for first in firsts)
    is_denied |= query.venue.writes_silence and any(first >= tail.end for first in firsts)
    agreed = [] if is_denied else clip(_said_before(page, known, tail, settle), tail.start, settled)
    # A silence that was accepted before is confirmed, too.
    believed = normal([*agreed, *subtract(intersect([tail], known.final), _lost(page, known))])
    rest = subtract([tail], believed)
    told.final.extend(believed)
    if not rest:
        return
    silent, new = grid.count(*tail), sum(grid.count(*part) for part in rest)
    is_growth = is_remarkable(grid, silent - new, nearby) and new <= silent - new
    is_surprising = _is_surprising(page, tail, nearby, settled) and not is_growth
    is_doubtful = query.venue.writes_silence or is_old_end or is_surprising
    told.provisional.extend([] if is_doubtful else subtract(rest, _lost(page, known)))
    for part in rest:
        alike = [one for one in known.doubts if _begins_alike(page, one, part)]
        told.doubts.append(raised(page, part, "silence", alike))


def _is_surprising(page: Page, tail: Range, nearby: Density, settled: int) -> bool:
    """Whether a silence at an end is remarkable or, in an answer about more than an hour, improbable.

    Without the second rule, the last minutes of every catch-up would pass as silent if a server sent fewer rows than
    requested.
    """
    grid = page.query.timeframe
    if is_remarkable(grid, grid.count(*tail), nearby):
        return True
    is_long = grid.count(*page.query.range) > least(grid)
    # Intervals that have only just closed may not have been published yet.
    return is_long and is_improbable(grid.count(tail.start, min(tail.end, settled)), nearby)


def _lost(page: Page, known: Known) -> list[Range]:
    """Return the intervals of lost candles: a single answer cannot prove that they were silent."""
    return intervals_of(page.query.timeframe, known.lost)


def _begins_alike(page: Page, doubt: Doubt, part: Range) -> bool:
    """Whether a doubt is about a silence that borders on the same row as `part`.

    The new doubt about `part` is merged with such a doubt only. Any other doubt about a silence that overlaps the new
    doubt is replaced by it.
    """
    if page.span is None:
        return True
    if part.end <= page.span.start:
        return doubt.range.end == part.end
    return doubt.range.start == part.start


def _has_row(page: Page, part: Range) -> bool:
    """Whether a row of the answer lies in a range."""
    first = bisect_left(page.candles, (part.start,))
    return first < len(page.candles) and page.candles[first][0] < part.end


def _said_before(page: Page, known: Known, tail: Range, settle: int) -> list[Range]:
    """Return the parts of a silence that an independent answer or the stream has reported before."""
    grid = page.query.timeframe
    if page.span is None:
        return []  # without rows, the series may be absent instead of silent
    silences = [doubt for doubt in known.doubts if doubt.kind == "silence"]
    answered = [
        doubt.range.clip(tail.start, min(tail.end, grid.closed_end(doubt.asked_at, settle)))
        for doubt in silences
        # If this answer has a row where an earlier one reported silence, the earlier one was truncated and confirms
        # nothing.
        if doubt.has_second_opinion(page) and not _has_row(page, doubt.range)
    ]
    by_rest = (doubt.range for doubt in silences)
    streamed = subtract(intersect([tail], known.provisional), normal([*by_rest, *_lost(page, known)]))
    return normal([*(part for part in answered if part.start < part.end), *streamed])
