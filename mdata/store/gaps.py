"""The table `data_gaps`: the work list of `repair` and its history."""

from itertools import islice
from typing import NamedTuple

from mdata.domain.gaps import Gap, Judgement, after_attempt, judge
from mdata.domain.interval import Range, normal, subtract
from mdata.domain.series import Series
from mdata.store import candles
from mdata.store.connection import Connection


class Closed(NamedTuple):
    """How many gaps were closed, by what was found in them."""

    repaired: int = 0
    empty: int = 0

    def __add__(self, other: "Closed") -> "Closed":  # type: ignore[override]  # adds two counts, not a concatenation
        return Closed(self.repaired + other.repaired, self.empty + other.empty)


def unresolved(connection: Connection, series_id: int, within: Range | None = None) -> list[Gap]:
    """Return the open and failed gaps of a series that overlap `within`, ascending."""
    start, end = within or (-(2**63), 2**63 - 1)
    rows = connection.execute(
        """SELECT id, start_time, end_time, status, attempts, detected_at, next_attempt_at FROM data_gaps
           WHERE series_id = ? AND status IN ('open', 'failed') AND start_time < ? AND end_time > ?
           ORDER BY start_time""",
        (series_id, end, start),
    )
    return [Gap(row[0], Range(row[1], row[2]), *row[3:]) for row in rows.fetchall()]


def close_answered(connection: Connection, series: Series, answered: list[Range], now: int) -> Closed:
    """Close every gap, or part of one, that `answered` (normal, aligned) covers; the rest is unchanged.

    A part is closed as repaired if it now has candles, otherwise as empty; call this after candles are written.
    """
    closed = Closed()
    if not answered:
        return closed
    for gap in unresolved(connection, series.id, Range(answered[0].start, answered[-1].end)):
        judgement = judge(gap, answered)
        if judgement.answered:
            closed += _resolve(connection, series, judgement, now)
    return closed


def _resolve(connection: Connection, series: Series, judgement: Judgement, now: int) -> Closed:
    """Close the answered parts of a gap; the first part that is left (or the first answered one) keeps the id."""
    closed, rows = Closed(), list[tuple[Range, str, int]]()
    for part in judgement.answered:
        found = candles.count(connection, series.id, part)
        closed += Closed(repaired=1) if found else Closed(empty=1)
        rows.append((part, "repaired" if found else "empty", found))
    gap = judgement.gap
    for part in judgement.left[1:]:
        _copy(connection, series, gap, part)
    if judgement.left:
        _narrow(connection, series, gap.id, judgement.left[0])
    for number, (part, status, found) in enumerate(rows):
        is_first = not judgement.left and number == 0
        identity = gap.id if is_first else _copy(connection, series, gap, part)
        _narrow(connection, series, identity, part)
        connection.execute(
            """UPDATE data_gaps SET status = ?, candles = ?, reason = NULL, next_attempt_at = NULL, resolved_at = ?
               WHERE id = ?""",
            (status, found, now, identity),
        )
    return closed


def _narrow(connection: Connection, series: Series, identity: int, part: Range) -> None:
    connection.execute(
        "UPDATE data_gaps SET start_time = ?, end_time = ?, intervals = ? WHERE id = ?",
        (*part, series.timeframe.count(*part), identity),
    )


def _copy(connection: Connection, series: Series, gap: Gap, part: Range) -> int:
    """Give a part of a gap its own row; return the row's id."""
    cursor = connection.execute(
        """INSERT INTO data_gaps (series_id, start_time, end_time, intervals, status, attempts, reason, detected_at,
                                  next_attempt_at)
           SELECT series_id, ?, ?, ?, status, attempts, reason, detected_at, next_attempt_at
           FROM data_gaps WHERE id = ?""",
        (*part, series.timeframe.count(*part), gap.id),
    )
    return int(cursor.lastrowid or 0)


def open_missing(connection: Connection, series: Series, missing: list[Range], now: int) -> int:
    """Open a gap for every part of `missing` (normal, aligned) that no unresolved gap lists; return how many."""
    known = normal(gap.range for gap in unresolved(connection, series.id))
    parts = subtract(missing, known)
    connection.executemany(
        f"""INSERT INTO data_gaps (series_id, start_time, end_time, intervals, status, detected_at)
            VALUES ({series.id:d}, ?, ?, ?, 'open', {now:d})""",
        [(*part, series.timeframe.count(*part)) for part in parts],
    )
    return len(parts)


def close_filled(connection: Connection, series: Series, missing: list[Range], now: int) -> Closed:
    """Close the gaps, and parts of gaps, that are no longer missing."""
    closed = Closed()
    for gap in unresolved(connection, series.id):
        judgement = judge(gap, subtract([gap.range], missing))
        if judgement.answered:
            closed += _resolve(connection, series, judgement, now)
    return closed


def count_open(connection: Connection) -> int:
    """Return how many gaps of all series are open."""
    (count,) = connection.execute("SELECT count(*) FROM data_gaps WHERE status = 'open'").fetchone()
    return int(count)


def attempted(connection: Connection, series: Series, asked: Range, now: int, reason: str) -> int:
    """Record that an answer left the open gaps in `asked` unproven; return how many are now given up."""
    failed = 0
    for gap in unresolved(connection, series.id, asked):
        if gap.status != "open":
            continue
        status, next_attempt_at = after_attempt(gap.attempts + 1, now)
        failed += status == "failed"
        connection.execute(
            "UPDATE data_gaps SET attempts = attempts + 1, status = ?, next_attempt_at = ?, reason = ? WHERE id = ?",
            (status, next_attempt_at, reason, gap.id),
        )
    return failed


def excused(connection: Connection, series_id: int, asked: Range, reason: str) -> None:
    """Record why no answer about the open gaps in `asked` was obtained; nothing else changes."""
    connection.execute(
        """UPDATE data_gaps SET reason = ? WHERE series_id = ? AND status = 'open'
           AND end_time > ? AND start_time < ?""",
        (reason, series_id, *asked),
    )


def retry_failed(connection: Connection, series_id: int) -> None:
    """Reopen the gaps of a series that were given up."""
    connection.execute(
        """UPDATE data_gaps SET status = 'open', attempts = 0, next_attempt_at = NULL
           WHERE series_id = ? AND status = 'failed'""",
        (series_id,),
    )


def forget_outside(connection: Connection, series: Series, hull: Range | None) -> None:
    """Remove the parts of unresolved gaps outside the hull: these were deleted on purpose or are backlog now."""
    kept = hull or Range(0, 0)
    for gap in unresolved(connection, series.id):
        left = gap.range.clip(*kept)
        if left.end <= left.start:
            connection.execute("DELETE FROM data_gaps WHERE id = ?", (gap.id,))
        elif left != gap.range:
            connection.execute(
                "UPDATE data_gaps SET start_time = ?, end_time = ?, intervals = ? WHERE id = ?",
                (*left, series.timeframe.count(*left), gap.id),
            )


class GapRow(NamedTuple):
    """A gap as `mdata gaps` shows it; instants are ms UTC."""

    id: int
    exchange: str
    symbol: str
    timeframe: str
    start: int
    end: int
    intervals: int
    status: str
    attempts: int
    reason: str | None
    detected_at: int
    next_attempt_at: int | None
    resolved_at: int | None


def listed(
    connection: Connection,
    status: str | None,
    symbols: list[tuple[str, str]],
    timeframes: list[str],
    since: int | None,
    limit: int | None = None,
) -> list[GapRow]:
    """Return the gaps that pass the filters, newest first, at most `limit`; `symbols` are exchanges and pairs."""
    rows = connection.execute(
        """SELECT data_gaps.id, exchange, symbol, timeframe, start_time, end_time, intervals, status, attempts,
                  reason, detected_at, next_attempt_at, resolved_at
           FROM data_gaps JOIN series ON series.id = series_id
           WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR end_time > ?2)
           ORDER BY start_time DESC, data_gaps.id""",
        (status, since),
    )
    found = (
        gap
        for gap in map(GapRow._make, rows)
        if (not symbols or (gap.exchange, gap.symbol) in symbols) and (not timeframes or gap.timeframe in timeframes)
    )
    return list(islice(found, limit))
