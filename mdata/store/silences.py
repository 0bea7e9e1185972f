"""The table `empty_runs`: long final ranges without a candle, and when the exchange last said so."""

from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.domain.silence import long_runs, recheck_at
from mdata.store import candles, coverage
from mdata.store.engine import Connection


def remember(connection: Connection, series: Series, answered: Range, open_times: list[int], asked_at: int) -> None:
    """Store the long empty runs in and around a final range; call this when it is covered and written.

    `open_times` are the candles of the range, ascending. A run that began or goes on outside the range keeps
    the earlier time of asking: only part of it was asked about now.
    """
    around = _with_silent_edges(connection, series, answered, open_times)
    older = connection.execute(
        """DELETE FROM empty_runs WHERE series_id = ? AND start_time < ? AND end_time > ?
           RETURNING start_time, end_time, asked_at""",
        (series.id, around.end, around.start),
    ).fetchall()
    outside = [(Range(start, end), at) for start, end, at in older if not answered.contains(Range(start, end))]
    known = sorted({*open_times, *candles.lost(connection, series.id, around)}) if around != answered else open_times
    connection.executemany(
        f"INSERT INTO empty_runs VALUES ({series.id:d}, ?, ?, ?)",
        [
            (*run, min([asked_at, *(at for part, at in outside if part.overlaps(run))]))
            for run in long_runs(series.timeframe, around, known)
        ],
    )


def due(connection: Connection, series_id: int, now: int) -> list[Range]:
    """Return the runs that are to be asked about again at `now`, ascending."""
    rows = connection.execute(
        "SELECT start_time, end_time, asked_at FROM empty_runs WHERE series_id = ? ORDER BY start_time",
        (series_id,),
    )
    runs = []
    for start, end, asked_at in rows.fetchall():
        instant = recheck_at(end, asked_at)
        if instant is not None and instant <= now:
            runs.append(Range(start, end))
    return runs


def at_least(connection: Connection, series_id: int, length: int) -> list[Range]:
    """Return the runs that last for `length` ms or longer, ascending."""
    rows = connection.execute(
        """SELECT start_time, end_time FROM empty_runs WHERE series_id = ? AND end_time - start_time >= ?
           ORDER BY start_time""",
        (series_id, length),
    )
    return [Range(*row) for row in rows.fetchall()]


def forget(connection: Connection, series_id: int, before: int) -> None:
    """Forget the runs, and parts of runs, before `before` (ms UTC)."""
    connection.execute("DELETE FROM empty_runs WHERE series_id = ? AND end_time <= ?", (series_id, before))
    connection.execute(
        "UPDATE empty_runs SET start_time = ?2 WHERE series_id = ?1 AND start_time < ?2", (series_id, before)
    )


def forget_within(connection: Connection, series_id: int, part: Range) -> None:
    """Forget the runs of a covered range that is covered no more."""
    connection.execute(
        "DELETE FROM empty_runs WHERE series_id = ? AND end_time > ? AND start_time < ?", (series_id, *part)
    )


def _with_silent_edges(connection: Connection, series: Series, answered: Range, times: list[int]) -> Range:
    """Widen a range over the silent final intervals that border on it, up to the nearest candles."""
    start, end = answered
    is_silent_at_start = not times or times[0] > start
    is_silent_at_end = not times or series.timeframe.next(times[-1]) < end
    if not (is_silent_at_start or is_silent_at_end):
        return answered
    covered = next(
        segment
        for segment in coverage.touching(connection, series.id, answered)
        if segment.kind == "final" and segment.range.contains(answered)
    )
    if is_silent_at_start:
        before = candles.last_before(connection, series.id, start)
        start = max(covered.start, series.timeframe.next(before) if before is not None else covered.start)
    if is_silent_at_end:
        after = candles.first_from(connection, series.id, end)
        end = min(covered.end, after if after is not None else covered.end)
    return Range(start, end)
