"""What the ledger says about a range of a series: what is proven, what may still change, what is unknown."""

from typing import NamedTuple

from mdata.domain.interval import BEGINNING_OF_TIME, Range, clip, intersect, normal, subtract
from mdata.domain.series import Series
from mdata.store import candles, coverage
from mdata.store.connection import Connection


class RangeParts(NamedTuple):
    """The parts of a range, each ascending and disjoint.

    `proven`, `provisional` and `unknown` together make up the range. `unobtainable` are its parts that the exchange
    no longer serves; they overlap the other three. Inside an unobtainable part, an interval with a stored candle is
    not unknown.
    """

    proven: list[Range]
    provisional: list[Range]
    unknown: list[Range]
    unobtainable: list[Range]


def verdict(connection: Connection, series: Series, within: Range) -> RangeParts:
    """Return what is known of a range that is aligned with the grid of the series."""
    grid, unobtainable = series.timeframe, _unobtainable(connection, series.id, within)
    lost = [Range(grid.floor(time), grid.next(time)) for time in candles.lost(connection, series.id, within)]
    before_all = clip([Range(BEGINNING_OF_TIME, _first(series))], *within)
    unanswered = subtract(coverage.uncovered(connection, series.id, within), before_all)
    # In an unobtainable range, an interval whose candle is stored is known.
    unknown = subtract(normal([*lost, *unanswered]), _stored(connection, series, unobtainable))
    unknown = normal([*unknown, *_unconfirmed(connection, series.id, within)])
    provisional = subtract(coverage.clipped(connection, series.id, within, "provisional"), unknown)
    return RangeParts(subtract([within], normal([*unknown, *provisional])), provisional, unknown, unobtainable)


def _first(series: Series) -> int:
    """Return the instant (ms UTC) before which the exchange has no candle, as confirmed by two answers."""
    return BEGINNING_OF_TIME if series.first_candle is None else series.first_candle


def _unobtainable(connection: Connection, series_id: int, within: Range) -> list[Range]:
    """Return the parts of a range that the exchange no longer serves."""
    if not _has_table(connection, "unobtainable"):
        return []
    rows = connection.execute(
        "SELECT start_time, end_time FROM unobtainable WHERE series_id = ?1 AND start_time < ?3 AND end_time > ?2",
        (series_id, *within),
    )
    return intersect(normal(Range(*row) for row in rows.fetchall()), [within])


def _unconfirmed(connection: Connection, series_id: int, within: Range) -> list[Range]:
    """Return the part of a range that only the first answer about the series has described.

    A single answer proves nothing, however complete it looks.
    """
    if not _has_table(connection, "doubts"):
        return []
    rows = connection.execute(
        "SELECT start_time, end_time FROM doubts WHERE series_id = ? AND kind = 'unconfirmed'", (series_id,)
    )
    return intersect(normal(Range(*row) for row in rows.fetchall()), [within])


def _has_table(connection: Connection, name: str) -> bool:
    """Whether the store has a table; one that an older version has written may lack it."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return found.fetchone() is not None


def _stored(connection: Connection, series: Series, ranges: list[Range]) -> list[Range]:
    """Return the intervals of these ranges that have a candle."""
    grid = series.timeframe
    return normal(
        Range(grid.floor(time), grid.next(time))
        for part in ranges
        for time in candles.open_times(connection, series.id, part)
    )
