"""The table `coverage`: the ledger of what the exchange has answered for.

Segments of one series never overlap, whatever their kind; neighbours of the same kind are merged. Each segment
records how many candles it contains, so that counting reads one row per segment, not one per candle.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from mdata.domain.interval import Range, subtract
from mdata.store import candles
from mdata.store.connection import Connection

CoverageKind = Literal["final", "provisional"]


class Segment(NamedTuple):
    """A covered range, its kind, and how many candles are stored in it."""

    start: int
    end: int
    kind: CoverageKind
    candles: int

    @property
    def range(self) -> Range:
        """Return the covered range."""
        return Range(self.start, self.end)


def segments(connection: Connection, series_id: int) -> list[Segment]:
    """Return all segments of a series, ascending."""
    rows = connection.execute(
        "SELECT start_time, end_time, kind, candles FROM coverage WHERE series_id = ? ORDER BY start_time",
        (series_id,),
    )
    return [Segment(*row) for row in rows.fetchall()]


def touching(connection: Connection, series_id: int, around: Range) -> list[Segment]:
    """Return the segments that overlap `around` or border on it, ascending."""
    rows = connection.execute(
        """SELECT start_time, end_time, kind, candles FROM coverage
           WHERE series_id = ?1 AND start_time <= ?3 AND end_time >= ?2
             AND start_time >= coalesce((SELECT max(start_time) FROM coverage
                                         WHERE series_id = ?1 AND start_time < ?2), ?2)
           ORDER BY start_time""",
        (series_id, *around),
    )
    return [Segment(*row) for row in rows.fetchall()]


def hull(connection: Connection, series_id: int) -> Range | None:
    """Return the range from the oldest to the newest coverage, or None if nothing is covered."""
    start, end = connection.execute(
        """SELECT (SELECT min(start_time) FROM coverage WHERE series_id = ?1),
                  (SELECT end_time FROM coverage WHERE series_id = ?1 ORDER BY start_time DESC LIMIT 1)""",
        (series_id,),
    ).fetchone()
    return None if start is None else Range(start, end)


def beside(connection: Connection, series_id: int, instant: int, *, is_before: bool) -> Iterator[Segment]:
    """Yield the segments on one side of an instant, nearest first; a segment that contains it comes first."""
    condition = "start_time < ? ORDER BY start_time DESC" if is_before else "end_time > ? ORDER BY start_time"
    rows = connection.execute(
        f"SELECT start_time, end_time, kind, candles FROM coverage WHERE series_id = ? AND {condition}",
        (series_id, instant),
    )
    return map(Segment._make, rows)


def final_end(connection: Connection, series_id: int, instant: int) -> int:
    """Return the end of the final segment that contains `instant`, or `instant` itself if there is none."""
    for segment in touching(connection, series_id, Range(instant, instant)):
        if segment.kind == "final" and segment.end > instant:
            return segment.end
    return instant


def clipped(connection: Connection, series_id: int, within: Range, kind: CoverageKind | None = None) -> list[Range]:
    """Return the covered ranges inside `within`, of one kind, or of both kinds (then not merged)."""
    found = touching(connection, series_id, within)
    parts = (segment.range.clip(*within) for segment in found if kind in {None, segment.kind})
    return [part for part in parts if part.end > part.start]


def uncovered(connection: Connection, series_id: int, within: Range) -> list[Range]:
    """Return the parts of `within` that are not covered."""
    if within.end <= within.start:
        return []
    return subtract([within], clipped(connection, series_id, within))


def add(connection: Connection, series_id: int, covered: Range, kind: CoverageKind, gained: int) -> None:
    """Cover a range that contains `gained` candles, and merge it with segments of the same kind that it touches.

    The range must not overlap segments of the other kind: `cut` these first, or leave their parts out of the range.
    """
    start, end, count = *covered, gained
    for segment in touching(connection, series_id, covered):
        if segment.kind == kind:
            start, end, count = min(start, segment.start), max(end, segment.end), count + segment.candles
            remove(connection, series_id, segment)
    _insert(connection, series_id, Segment(start, end, kind, count))


def cut(connection: Connection, series_id: int, hole: Range, kind: CoverageKind | None = None) -> None:
    """Forget the coverage (of one kind, or any) inside `hole`; coverage outside of it stays.

    Restored candles there must have been counted before (`candles.forget_restored`).
    """
    for segment in touching(connection, series_id, hole):
        if kind not in {None, segment.kind} or not segment.range.overlaps(hole):
            continue
        remove(connection, series_id, segment)
        # The last part that stays is not counted: it gets the rest. Cutting the older end off a long segment, as
        # cleanup does, must not count the years that stay.
        rest = segment.candles - candles.count(connection, series_id, segment.range.clip(*hole))
        left = subtract([segment.range], [hole])
        for part in left:
            held = rest if part == left[-1] else candles.count(connection, series_id, part)
            rest -= held
            _insert(connection, series_id, Segment(*part, segment.kind, held))


def remove(connection: Connection, series_id: int, segment: Segment) -> None:
    """Forget a whole segment."""
    connection.execute("DELETE FROM coverage WHERE series_id = ? AND start_time = ?", (series_id, segment.start))


def _insert(connection: Connection, series_id: int, segment: Segment) -> None:
    connection.execute("INSERT INTO coverage VALUES (?, ?, ?, ?, ?)", (series_id, *segment))
