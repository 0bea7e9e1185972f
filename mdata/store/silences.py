"""The table `empty_runs`: remarkable final silences, when they were believed, and when they were last asked about."""

from itertools import pairwise

from mdata.domain.interval import Range, subtract
from mdata.domain.retries import silence_again_at
from mdata.domain.series import Series
from mdata.domain.silence import NEARBY, density_beside, is_remarkable, silent_stretches
from mdata.store import candles, coverage
from mdata.store.connection import Connection


def remember_outages(connection: Connection, series: Series, answered: Range, rows: list[int], now: int) -> None:
    """Store the intervals for which an exchange sent no row, although it sends one even for silence.

    They are requested again later. `rows` are the open times (ascending) of the intervals in the range with a row.
    """
    grid = series.timeframe
    edges = [grid.previous(answered.start), *rows, answered.end]
    lacking = [Range(grid.next(one), other) for one, other in pairwise(edges) if grid.next(one) < other]
    older = connection.execute(
        """DELETE FROM empty_runs WHERE series_id = ? AND start_time < ? AND end_time > ?
           RETURNING start_time, end_time, believed_at, asked_at""",
        (series.id, answered.end, answered.start),
    ).fetchall()
    runs = [
        (run, min([now, *(since for *part, since, _ in older if run.overlaps(Range(*part)))]), now) for run in lacking
    ]
    # Outside the range nothing was requested.
    runs += [(rest, since, at) for *part, since, at in older for rest in subtract([Range(*part)], [answered])]
    connection.executemany(
        "INSERT INTO empty_runs VALUES (?, ?, ?, ?, ?)", [(series.id, *run, since, at) for run, since, at in runs]
    )


def remember(connection: Connection, series: Series, answered: Range, open_times: list[int], now: int) -> None:
    """Store the remarkable silences in and around a final range, after it has been covered and written.

    `open_times` are the candles of the range, ascending. A silence that is already known keeps its `believed_at`. A
    silence that extends beyond the range also keeps its `asked_at`, because only a part of it was requested.
    """
    around = _with_silent_edges(connection, series, answered, open_times)
    older = connection.execute(
        """DELETE FROM empty_runs WHERE series_id = ? AND start_time < ? AND end_time > ?
           RETURNING start_time, end_time, believed_at, asked_at""",
        (series.id, around.end, around.start),
    ).fetchall()
    known = sorted({*open_times, *candles.lost(connection, series.id, around)}) if around != answered else open_times
    runs = silent_stretches(series.timeframe, around, known)
    if not runs:
        return
    grid, beside = series.timeframe, _beside(connection, series, around)
    times = [*candles.open_times(connection, series.id, Range(beside.start, around.start)), *known]
    times += candles.open_times(connection, series.id, Range(around.end, beside.end))
    for run in runs:
        if is_remarkable(grid, grid.count(*run), density_beside(grid, times, beside, run)):
            known_of = [one for one in older if run.overlaps(Range(*one[:2]))]
            believed_at = min([now, *(since for _, _, since, _ in known_of)])
            asked_at = min([now, *(at for *part, _, at in known_of if not answered.contains(Range(*part)))])
            connection.execute(
                "INSERT INTO empty_runs VALUES (?, ?, ?, ?, ?)", (series.id, *run, believed_at, asked_at)
            )


def _beside(connection: Connection, series: Series, around: Range) -> Range:
    """Return the final range around `around` by which to judge how busy the market is."""
    grid = series.timeframe
    wide = Range(grid.shift(around.start, -NEARBY), grid.shift(around.end, NEARBY))
    parts = coverage.clipped(connection, series.id, wide, "final")
    return next((part for part in parts if part.contains(around)), around)


def due(connection: Connection, series_id: int, now: int) -> list[Range]:
    """Return the silences that are due again at `now`, ascending."""
    rows = connection.execute(
        "SELECT start_time, end_time, believed_at, asked_at FROM empty_runs WHERE series_id = ? ORDER BY start_time",
        (series_id,),
    )
    runs = []
    for start, end, believed_at, asked_at in rows.fetchall():
        instant = silence_again_at(believed_at, asked_at)
        if instant is not None and instant <= now:
            runs.append(Range(start, end))
    return runs


def begins_at(connection: Connection, series_id: int, instant: int) -> bool:
    """Whether a remarkable silence begins at an instant (ms UTC)."""
    found = connection.execute(
        "SELECT 1 FROM empty_runs WHERE series_id = ? AND start_time = ?", (series_id, instant)
    ).fetchone()
    return found is not None


def at_least(connection: Connection, series_id: int, length: int) -> list[Range]:
    """Return the silences that last for `length` ms or longer, ascending."""
    rows = connection.execute(
        """SELECT start_time, end_time FROM empty_runs WHERE series_id = ? AND end_time - start_time >= ?
           ORDER BY start_time""",
        (series_id, length),
    )
    return [Range(*row) for row in rows.fetchall()]


def forget(connection: Connection, series_id: int, before: int) -> None:
    """Forget the silences, and parts of silences, before `before` (ms UTC)."""
    connection.execute("DELETE FROM empty_runs WHERE series_id = ? AND end_time <= ?", (series_id, before))
    connection.execute(
        "UPDATE empty_runs SET start_time = ?2 WHERE series_id = ?1 AND start_time < ?2", (series_id, before)
    )


def forget_within(connection: Connection, series_id: int, part: Range) -> None:
    """Delete the silences of a range that is no longer covered."""
    connection.execute(
        "DELETE FROM empty_runs WHERE series_id = ? AND end_time > ? AND start_time < ?", (series_id, *part)
    )


def _with_silent_edges(connection: Connection, series: Series, answered: Range, times: list[int]) -> Range:
    """Extend a range over adjacent final intervals without candles, up to the nearest candles."""
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
