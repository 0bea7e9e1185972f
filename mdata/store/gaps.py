"""The table `data_gaps`: the work list of `repair` and its history."""

from dataclasses import dataclass

from mdata.domain.gaps import Gap, Judgement, judge
from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.store import candles
from mdata.store.engine import Connection


@dataclass(frozen=True, slots=True)
class Closed:
    """How many gaps were closed, by what was found in them."""

    repaired: int = 0
    empty: int = 0

    def __add__(self, other: "Closed") -> "Closed":
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
    """Close every gap, or part of one, that `answered` (normal, aligned) covers; what is left stays as it was.

    A part closes as repaired when it holds candles now, else as empty; call this after they were written.
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
    gap, closed = judgement.gap, Closed()
    for part in judgement.answered:
        found = candles.count(connection, series.id, part)
        closed += Closed(repaired=1) if found else Closed(empty=1)
        connection.execute(
            """INSERT INTO data_gaps (series_id, start_time, end_time, intervals, status, candles, attempts,
                                      detected_at, resolved_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                *(series.id, *part, series.timeframe.count(*part), "repaired" if found else "empty"),
                *(found, gap.attempts, gap.detected_at, now),
            ),
        )
    _keep(connection, series, judgement)
    return closed


def _keep(connection: Connection, series: Series, judgement: Judgement) -> None:
    """Leave of a gap's row what is still missing: the same row for the first part, copies for the others."""
    gap = judgement.gap
    for part in judgement.left:
        connection.execute(
            """INSERT INTO data_gaps (series_id, start_time, end_time, intervals, status, attempts, reason,
                                      detected_at, next_attempt_at)
               SELECT series_id, ?, ?, ?, status, attempts, reason, detected_at, next_attempt_at
               FROM data_gaps WHERE id = ?""",
            (*part, series.timeframe.count(*part), gap.id),
        )
    connection.execute("DELETE FROM data_gaps WHERE id = ?", (gap.id,))
