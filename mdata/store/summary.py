"""What the ledger says about every series; the cost grows with the number of segments, not of candles."""

from typing import NamedTuple

from mdata.domain.coverage_bar import KnownRanges
from mdata.domain.doubt import Doubt
from mdata.domain.gaps import missing
from mdata.domain.interval import (
    BEGINNING_OF_TIME,
    END_OF_TIME,
    Range,
    clip,
    count_within,
    intersect,
    normal,
    subtract,
)
from mdata.domain.series import Series
from mdata.domain.timeframe import DAY
from mdata.store import candles, coverage, doubts, silences
from mdata.store.connection import Connection
from mdata.store.coverage import Segment

# A silence shorter than the wanted range divided by this fills no cell of a coverage bar, and is not read.
_CELLS = 400


class Counts(NamedTuple):
    """The state of one series: times are ms UTC, counts are intervals of the wanted range.

    wanted = present + empty + provisional + unknown; final = present + empty. The unknown include the `lost`, the
    `doubted` (only one answer called them silent), the `unobtainable`, the `backlog` (outside the hull, but
    obtainable), its part `newer` than the hull, and what `verify` has `withdrawn`. `holes` are the ranges inside the
    hull that `detect-gaps` would list as gaps. `candles` counts all that are stored. `hull_end` is the end of the
    newest coverage. `early` is how many candles have been provisional for more than a day. `silent_since` is when the
    present remarkable silence began, if there is one.
    """

    first: int | None
    last: int | None
    candles: int
    wanted: Range
    final: int
    provisional: int
    empty: int
    unknown: int
    lost: int
    hull_end: int | None
    doubted: int = 0
    unobtainable: int = 0
    backlog: int = 0
    newer: int = 0
    withdrawn: int = 0
    early: int = 0
    silent_since: int | None = None
    holes: tuple[Range, ...] = ()

    @property
    def present(self) -> int:
        """Return how many intervals are final and have a candle."""
        return self.final - self.empty


def look(
    connection: Connection, series: Series, wanted: Range, *, silent: bool = False
) -> tuple[Counts, KnownRanges, list[Doubt]]:
    """Return what is known of a series, counted and in ranges, and its doubts.

    `silent` adds its silences, for a coverage bar.
    """
    grid, segments = series.timeframe, coverage.segments(connection, series.id)
    lost, restored = candles.marks(connection, series.id)
    doubted, gone = doubts.of(connection, series.id), doubts.unobtainable(connection, series.id)
    finals = [segment for segment in segments if segment.kind == "final"]
    final_ranges = normal(segment.range for segment in finals)
    provisional_ranges = normal(segment.range for segment in segments if segment.kind == "provisional")
    covered = normal([*final_ranges, *provisional_ranges]) if provisional_ranges else final_ranges
    uncovered = subtract([wanted] if wanted.start < wanted.end else [], covered)
    known = KnownRanges(
        final_ranges,
        provisional_ranges,
        _silences(connection, series, wanted, segments) if silent else [],
        lost,
        intersect(uncovered, normal(doubt.range for doubt in doubted if doubt.kind == "silence")),
        intersect(uncovered, gone),
    )
    final, provisional = clip(known.final, *wanted), clip(known.provisional, *wanted)
    lost_final, lost_provisional = count_within(lost, final), count_within(lost, provisional)
    finally_known = sum(grid.count(*part) for part in final) - lost_final
    provisionally_known = sum(grid.count(*part) for part in provisional) - lost_provisional
    held = sum(_held(connection, series.id, segment, wanted, restored) for segment in finals)
    hull = Range(segments[0].start, segments[-1].end) if segments else None
    outside = subtract(subtract(uncovered, [hull] if hull else []), gone)
    last = candles.last_before(connection, series.id, END_OF_TIME)
    counts = Counts(
        first=candles.first_from(connection, series.id, BEGINNING_OF_TIME),
        last=last,
        candles=sum(segment.candles for segment in segments) + len(restored),
        wanted=wanted,
        final=finally_known,
        provisional=provisionally_known,
        empty=finally_known - held,
        unknown=grid.count(*wanted) - finally_known - provisionally_known,
        lost=lost_final + lost_provisional,
        hull_end=segments[-1].end if segments else None,
        doubted=sum(grid.count(*part) for part in known.doubted),
        unobtainable=sum(grid.count(*part) for part in known.unobtainable),
        backlog=sum(grid.count(*part) for part in outside),
        withdrawn=sum(
            grid.count(*part)
            for part in intersect(uncovered, normal(doubt.range for doubt in doubted if doubt.kind == "withdrawn"))
        ),
        newer=sum(grid.count(*part) for part in outside if hull and part.start >= hull.end),
        early=_early(connection, series.id, segments, wanted.end - DAY),
        silent_since=_silent_since(connection, series, last, doubted),
        holes=tuple(find_holes(series, hull, covered, lost, gone)),
    )
    return counts, known, doubted


def find_holes(
    series: Series, hull: Range | None, covered: list[Range], lost: list[int], gone: list[Range]
) -> list[Range]:
    """Return the gaps that a series has now, from its coverage and its lost candles alone."""
    if hull is None:
        return []
    kept = Range(series.cleaned_to or 0, END_OF_TIME)
    known = normal([*covered, *gone]) if gone else covered
    return missing(series.timeframe, hull, subtract([hull], known), lost, kept)


def _early(connection: Connection, series_id: int, segments: list[Segment], before: int) -> int:
    """Count the candles before an instant (ms UTC) that are still provisional."""
    parts = (one.range.clip(one.start, before) for one in segments if one.kind == "provisional" and one.candles)
    return sum(candles.count(connection, series_id, part) for part in parts if part.start < part.end)


def _silent_since(connection: Connection, series: Series, last: int | None, doubted: list[Doubt]) -> int | None:
    """Return when (ms UTC) a remarkable silence began that lasts up to the newest answer, or None."""
    if last is None:
        return None
    begins = series.timeframe.next(last)
    is_doubted = any(doubt.kind == "silence" and doubt.range.start == begins for doubt in doubted)
    return begins if is_doubted or silences.begins_at(connection, series.id, begins) else None


def _silences(connection: Connection, series: Series, wanted: Range, segments: list[Segment]) -> list[Range]:
    runs = silences.at_least(connection, series.id, (wanted.end - wanted.start) // _CELLS)
    bare = (segment.range for segment in segments if segment.kind == "final" and not segment.candles)
    return normal([*runs, *bare])


def _held(connection: Connection, series_id: int, segment: Segment, wanted: Range, restored: list[int]) -> int:
    """Return how many candles of a segment are in the wanted range; only the few outside that range are counted."""
    found = segment.candles + count_within(restored, [segment.range])
    if wanted.start <= segment.start and segment.end <= wanted.end:
        return found
    inside = segment.range.clip(*wanted)
    if inside.end <= inside.start:
        return 0
    return found - sum(candles.count(connection, series_id, part) for part in subtract([segment.range], [inside]))


def file_size(connection: Connection) -> int:
    """Return the bytes of the database."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages * size)
