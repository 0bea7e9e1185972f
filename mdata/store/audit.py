"""The audit: compares the store with its ledger, to find damage that no trigger has noticed.

After a flipped byte, a copy of a file that was being written to, or a row inserted by hand, the candles differ from
the counts in `coverage`, or a row cannot be a candle. To find that, everything has to be read.
"""

from json import dumps
from typing import NamedTuple

from mdata.domain import doubt as domain
from mdata.domain.candle import COLUMNS, LARGEST, Candle, fault
from mdata.domain.interval import BEGINNING_OF_TIME, END_OF_TIME, Range, count_within, normal, subtract
from mdata.domain.query import RefusedRow
from mdata.domain.series import Series
from mdata.domain.timeframe import Timeframe
from mdata.store import candles, coverage, digests, gaps, silences
from mdata.store import doubts as table_of_doubts
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.digests import Digest
from mdata.store.engine import Store
from mdata.store.pages import keep_refused
from mdata.store.sqlite_errors import damaged

# This condition accepts what `domain.candle.fault` accepts, so that only suspicious rows are passed to that function;
# SQLite reads a NaN as NULL.
_SOUND = f"""coalesce(low > 0 AND volume > 0 AND high < {LARGEST} AND volume < {LARGEST}
                      AND open BETWEEN low AND high AND close BETWEEN low AND high, 0)"""
# SQLite's reports about a NaN: the row breaks a rule of its table, but the file is not damaged.
_NO_NUMBERS = {f"NULL value in candles.{column}" for column in COLUMNS[1:]}


class Mismatch(NamedTuple):
    """A covered range that cannot be trusted: how many candles the ledger records, and how many are stored."""

    segment: coverage.Segment
    stored: int
    reason: str


class Audit(NamedTuple):
    """What was found in a series: its candles, those outside coverage, mismatches, and invalid rows.

    `refused` are the open times of the invalid rows, ascending. `lost` counts those of them that are in
    covered ranges without a mismatch.
    """

    candles: int
    unvouched: int
    mismatches: list[Mismatch]
    refused: list[int]
    lost: int


def check_file(store: Store) -> None:
    """Let SQLite read every page of the file; raise StorageError if one is damaged."""
    with store.read() as connection:
        # The quick check would miss a key that is out of order, which hides its row from every statement.
        told = [text for (text,) in connection.execute("PRAGMA integrity_check")]
    damages = [text for text in told if text != "ok" and text not in _NO_NUMBERS]
    if damages:
        raise damaged(store.path, damages[0])


def audit(connection: Connection, series: Series) -> Audit:
    """Read all that is stored of a series, and compare it with its ledger."""
    refused, grid = find_refused(connection, series), series.timeframe
    off_grid = [time for time in refused if not grid.is_aligned(time)]
    segments = count_segments(connection, series.id)
    vouched, lost, mismatches, reached = 0, 0, [], -(2**63)
    for segment, stored in segments:
        vouched += stored
        reason = (
            _difference(stored - segment.candles)
            or _misplaced(segment, grid, reached)
            or (count_within(off_grid, [segment.range]) and f"a candle is off the {grid.name} grid")
        )
        if reason:
            mismatches.append(Mismatch(segment, stored, reason))
        else:
            lost += count_within(refused, [segment.range])
        reached = max(reached, segment.end)
    unvouched = _count_outside(connection, series.id, normal(segment.range for segment, _ in segments))
    return Audit(vouched + unvouched, unvouched, mismatches, refused, lost)


def miscounted(connection: Connection, series: Series) -> list[Mismatch]:
    """Return the covered ranges of a series that do not contain as many candles as were recorded."""
    counted = count_segments(connection, series.id)
    return [
        Mismatch(segment, stored, reason)
        for segment, stored in counted
        if (reason := _difference(stored - segment.candles))
    ]


def _difference(more: int) -> str | None:
    if not more:
        return None
    candles = "1 candle" if abs(more) == 1 else f"{abs(more)} candles"
    return f"{candles} {'more' if more > 0 else 'fewer'} than recorded"


def _misplaced(segment: coverage.Segment, grid: Timeframe, reached: int) -> str | None:
    if not (grid.is_aligned(segment.start) and grid.is_aligned(segment.end)):
        return f"the range is off the {grid.name} grid"
    return "the range overlaps another" if segment.start < reached else None


def count_segments(connection: Connection, series_id: int) -> list[tuple[coverage.Segment, int]]:
    """Return every segment, ascending, with the recorded number of candles, and how many are stored."""
    # Candles that were lost and restored by another program are counted by the next job that checks them.
    _, restored = candles.marks(connection, series_id)
    return [
        (
            segment._replace(candles=segment.candles + count_within(restored, [segment.range])),
            candles.count(connection, series_id, segment.range),
        )
        for segment in coverage.segments(connection, series_id)
    ]


def _count_outside(connection: Connection, series_id: int, covered: list[Range]) -> int:
    """Return how many candles are stored outside of these ranges (normal)."""
    outside = subtract([Range(-(2**63), 2**63 - 1)], covered)
    return sum(candles.count(connection, series_id, part) for part in outside)


def find_refused(connection: Connection, series: Series) -> list[int]:
    """Return the open times, ascending, of the stored rows that cannot be candles.

    They came from no answer, because such a row of an answer is never stored.
    """
    grid = series.timeframe
    # Months have no constant step, and there are few of them.
    off_grid = f"(open_time - {grid.anchor}) % {grid.step} <> 0" if grid.step else "1"
    rows = connection.execute(
        f"""SELECT {", ".join(COLUMNS)} FROM candles
            WHERE series_id = ? AND (NOT {_SOUND} OR {off_grid}) ORDER BY open_time""",
        (series.id,),
    )
    return [row[0] for row in rows if _fault(row, grid)]


def _fault(row: Candle, grid: Timeframe) -> str | None:
    return "a value is missing" if None in row else fault(row, grid)


def withdraw(connection: Connection, series: Series, mismatches: list[Mismatch], now: int) -> None:
    """Remove coverage from ranges that do not match: they become gaps, or backlog at an end of the hull.

    If another job has lengthened or shortened a segment in the meantime, the segment loses all its coverage, because
    its count is still wrong by the same amount. A segment of the other kind (final instead of provisional, or the
    reverse) keeps its coverage, because its count comes from a later answer.
    """
    for mismatch in mismatches:
        for segment in coverage.touching(connection, series.id, mismatch.segment.range):
            if segment.kind == mismatch.segment.kind and segment.range.overlaps(mismatch.segment.range):
                coverage.remove(connection, series.id, segment)
                candles.forget_lost(connection, series.id, segment.range)
                silences.forget_within(connection, series.id, segment.range)
                digests.drop(connection, series.id, segment.range)
                _note_withdrawn(connection, series, segment.range, now)
    _take_back(connection, series)


def _note_withdrawn(connection: Connection, series: Series, part: Range, now: int) -> None:
    """Record that the coverage of a range was withdrawn.

    Until the exchange has answered for the range again, the store is not healthy.
    """
    table_of_doubts.keep(connection, series.id, [domain.Doubt(part, "withdrawn", "verify", now, now)])


def _take_back(connection: Connection, series: Series) -> None:
    """Move the frontier back into a hull that has become smaller, and forget gaps outside of it."""
    hull = coverage.hull(connection, series.id)
    gaps.forget_outside(connection, series, hull)
    table.take_back(connection, series.id, hull.end if hull else None)


def set_aside(connection: Connection, series: Series, times: list[int], now: int, source: str) -> None:
    """Move the rows at these open times to `rejected_rows`, unless they have become valid candles.

    A row inside coverage then counts as a lost candle.
    """
    refused = {}
    for row in filter(None, (candles.at(connection, series.id, time) for time in times)):
        reason = _fault(row, series.timeframe)
        if reason is not None:
            text = dumps(dict(zip(COLUMNS, row, strict=True)))
            refused[row[0]] = RefusedRow(row[0], text, f"found in the store: {reason}", None)
    keep_refused(connection, series, refused.values(), now, source)
    candles.delete(connection, series.id, [*refused])
    for time in refused:
        candles.mark_lost(connection, series.id, time)
        digests.drop(connection, series.id, Range(time, time + 1))


def withdraw_months(connection: Connection, series: Series, differing: list[Digest], now: int) -> None:
    """Remove coverage from months that differ from their digests, if no job has written there since."""
    kept = digests.of(connection, series.id)
    for one in differing:
        if kept.get(one.month) != one:
            continue
        part = digests.month_of(series, one.month)
        candles.forget_restored(connection, series.id, part)
        coverage.cut(connection, series.id, part)
        candles.forget_lost(connection, series.id, part)
        silences.forget_within(connection, series.id, part)
        digests.drop(connection, series.id, part)
        _note_withdrawn(connection, series, part, now)
    _take_back(connection, series)


def orphans(connection: Connection) -> list[tuple[int, int]]:
    """Return the ids of series that another program deleted, each with its remaining candles."""
    found: list[tuple[int, int]] = []
    series_id = -(2**62)
    while True:
        (series_id,) = connection.execute(
            "SELECT min(series_id) FROM candles WHERE series_id > ?", (series_id,)
        ).fetchone()
        if series_id is None:
            return found
        if connection.execute("SELECT 1 FROM series WHERE id = ?", (series_id,)).fetchone() is None:
            found.append((series_id, candles.count(connection, series_id, Range(BEGINNING_OF_TIME, END_OF_TIME))))
