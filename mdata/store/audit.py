"""The audit: what is stored against what the ledger says, for damage that no trigger has seen.

A flipped byte, a file that was copied while it was written to, a row put in by hand: then there are other candles
than `coverage` counts, or one that can be none. To see that, everything has to be read.
"""

from json import dumps
from typing import NamedTuple

from mdata.domain.candle import LARGEST, Candle, fault
from mdata.domain.interval import Range, normal, subtract
from mdata.domain.query import RefusedRow
from mdata.domain.series import Series
from mdata.errors import StorageError
from mdata.store import candles, coverage, gaps, silences
from mdata.store import series as table
from mdata.store.engine import Connection, Store
from mdata.store.pages import keep_refused

# What `domain.candle.fault` accepts, so that only suspects come to it; SQLite reads a NaN as NULL.
_SOUND = f"""coalesce(low > 0 AND volume > 0 AND high < {LARGEST} AND volume < {LARGEST}
                      AND open BETWEEN low AND high AND close BETWEEN low AND high, 0)"""
_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")


class Doubt(NamedTuple):
    """A covered range that cannot be trusted: its candles as the ledger counts them, and as they are."""

    range: Range
    recorded: int
    stored: int
    reason: str


class Audit(NamedTuple):
    """What was found in a series: its candles, those that nobody vouches for, doubts, rows that are no candles."""

    candles: int
    unvouched: int
    doubts: list[Doubt]
    unsound: list[RefusedRow]


def check_file(store: Store) -> None:
    """Have SQLite read every page of the file; raise StorageError where one is damaged."""
    with store.read() as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StorageError(
            f"{store.path} is damaged ({' '.join(found.split())}); nothing was changed: keep the file, restore a "
            "backup or start a new one"
        )


def audit(connection: Connection, series: Series) -> Audit:
    """Read all that is stored of a series, and compare it with its ledger."""
    unsound = find_unsound(connection, series)
    off_grid = [row.open_time for row in unsound if not series.timeframe.is_aligned(row.open_time or 0)]
    vouched, doubts = 0, []
    for part, recorded, stored in count_segments(connection, series.id):
        vouched += stored
        if stored != recorded:
            doubts.append(Doubt(part, recorded, stored, _difference(stored - recorded)))
        elif any(part.start <= time < part.end for time in off_grid if time is not None):
            doubts.append(Doubt(part, recorded, stored, f"a candle is off the {series.timeframe.name} grid"))
    unvouched = count_unvouched(connection, series.id)
    return Audit(vouched + unvouched, unvouched, doubts, unsound)


def _difference(more: int) -> str:
    candles = "1 candle" if abs(more) == 1 else f"{abs(more)} candles"
    return f"{candles} {'more' if more > 0 else 'fewer'} than recorded"


def count_segments(connection: Connection, series_id: int) -> list[tuple[Range, int, int]]:
    """Return every covered range, ascending, with its candles as they were recorded and as they are."""
    rows = connection.execute(
        """SELECT start_time, end_time, candles,
                  (SELECT count(*) FROM candles
                   WHERE series_id = ?1 AND open_time >= start_time AND open_time < end_time)
           FROM coverage WHERE series_id = ?1 ORDER BY start_time""",
        (series_id,),
    ).fetchall()
    # What was lost and put back by hand is counted by the next job that looks at it.
    _, restored = candles.marks(connection, series_id)
    return [
        (Range(start, end), recorded + sum(start <= time < end for time in restored), stored)
        for start, end, recorded, stored in rows
    ]


def count_unvouched(connection: Connection, series_id: int) -> int:
    """Return how many candles are stored where nothing is covered."""
    covered = normal(segment.range for segment in coverage.segments(connection, series_id))
    outside = subtract([Range(-(2**63), 2**63 - 1)], covered)
    return sum(candles.count(connection, series_id, part) for part in outside)


def find_unsound(connection: Connection, series: Series) -> list[RefusedRow]:
    """Return the stored rows, ascending, that can be no candles and that no answer has brought so."""
    grid = series.timeframe
    # Months have no constant step, and there are few of them.
    off_grid = f"(open_time - {grid.anchor}) % {grid.step} <> 0" if grid.step else "1"
    rows = connection.execute(
        f"""SELECT {", ".join(_COLUMNS)} FROM candles
            WHERE series_id = ? AND (NOT {_SOUND} OR {off_grid}) ORDER BY open_time""",
        (series.id,),
    ).fetchall()
    return [found for row in rows if (found := _refused(row, series)) is not None]


def _refused(row: Candle, series: Series) -> RefusedRow | None:
    reason = "a value is missing" if None in row else fault(row, series.timeframe)
    text = dumps(dict(zip(_COLUMNS, row, strict=True)))
    return None if reason is None else RefusedRow(row[0], text, f"found in the store: {reason}", None)


def distrust(connection: Connection, series: Series, found: Audit, now: int, source: str) -> None:
    """Vouch no more for what is doubted, and move the rows that are no candles to `rejected_rows`.

    What was doubted is a gap then, or backlog at the end of the hull; an unsound candle is a lost one. `found` was
    read in this transaction.
    """
    candles.forget_restored(connection, series.id)
    for doubt in found.doubts:
        coverage.cut(connection, series.id, doubt.range)
        candles.forget_lost(connection, series.id, doubt.range)
        silences.forget_within(connection, series.id, doubt.range)
    if found.doubts:
        hull = coverage.hull(connection, series.id)
        gaps.forget_outside(connection, series, hull)
        table.take_back(connection, series.id, hull.end if hull else None)
    keep_refused(connection, series, found.unsound, now, source)
    candles.delete(connection, series.id, [row.open_time for row in found.unsound if row.open_time is not None])
