"""Hints: coarser candles with a wider price range or more volume than their minutes, which may lack something.

Around outages, fine and coarse candles have been seen to differ permanently. A difference therefore proves nothing:
it is only a reason to compare the finer series with the exchange once more.
"""

from typing import NamedTuple

from mdata.domain.interval import Range, normal
from mdata.domain.series import Series
from mdata.store import coverage
from mdata.store import series as table
from mdata.store.connection import Connection

# The most hints of one run: they are not meant for a store in which everything differs.
_MOST = 100


class Hints(NamedTuple):
    """The ranges of a series to compare (normal), and up to where (ms UTC) its coarser candles have been checked."""

    series: Series
    parts: list[Range]
    looked_from: int
    looked_to: int


def find(connection: Connection, series: Series) -> Hints:
    """Return what the coarser candles of the same pair say about this series, as far as they are new."""
    (looked_from,) = connection.execute(
        "SELECT coalesce(hinted_to, 0) FROM series WHERE id = ?", (series.id,)
    ).fetchone()
    final = [segment.range for segment in coverage.segments(connection, series.id) if segment.kind == "final"]
    looked_to = max((part.end for part in final), default=looked_from)
    parts = []
    for other in table.every(connection):
        if (other.venue, other.symbol) == (series.venue, series.symbol) and _is_made_of(other, series):
            # A coarse interval that was not over when its minutes were checked is checked again.
            start = other.timeframe.floor(looked_from)
            for part in final:
                parts += _differing(connection, other, series, part.clip(start, looked_to))
    return Hints(series, normal(parts[:_MOST]), looked_from, looked_to)


def followed(connection: Connection, hints: Hints) -> None:
    """Record that these hints were followed."""
    connection.execute("UPDATE series SET hinted_to = ? WHERE id = ?", (hints.looked_to, hints.series.id))


def _is_made_of(coarse: Series, fine: Series) -> bool:
    steps = coarse.timeframe.step, fine.timeframe.step
    finest = min(one.order for one in fine.venue.timeframes)
    return bool(steps[0] and steps[1]) and steps[0] > steps[1] and fine.timeframe.order == finest


def _differing(connection: Connection, coarse: Series, fine: Series, within: Range) -> list[Range]:
    """Return the coarse intervals whose candle has a wider price range or more volume than the finer ones."""
    step = coarse.timeframe.step
    rows = connection.execute(
        """SELECT one.open_time FROM candles AS one LEFT JOIN (
               SELECT (open_time - ?5) / ?1 AS place, max(high) AS high, min(low) AS low, sum(volume) AS volume
               FROM candles WHERE series_id = ?2 AND open_time >= ?3 AND open_time < ?4 GROUP BY place
           ) AS many ON many.place = (one.open_time - ?5) / ?1
           WHERE one.series_id = ?6 AND one.open_time >= ?3 AND one.open_time + ?1 <= ?4
             AND (many.place IS NULL OR one.high > many.high OR one.low < many.low
                  OR one.volume > many.volume * (1 + 1e-9))
           ORDER BY one.open_time DESC LIMIT ?7""",
        (step, fine.id, *within, coarse.timeframe.anchor, coarse.id, _MOST),
    )
    return [Range(time, time + step) for (time,) in rows.fetchall()]
