"""What the ledger says about a range of a series: what is proven, what may still change, what is unknown."""

from typing import NamedTuple

from mdata.domain.interval import BEGINNING_OF_TIME, Range, clip, normal, subtract
from mdata.domain.series import Series
from mdata.store import candles, coverage
from mdata.store.connection import Connection
from mdata.store.doubts import noted


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
    grid, unobtainable = series.timeframe, clip(noted(connection, series.id, "unobtainable"), *within)
    lost = [Range(grid.floor(time), grid.next(time)) for time in candles.lost(connection, series.id, within)]
    before_all = clip([Range(BEGINNING_OF_TIME, _first(series))], *within)
    unanswered = subtract(coverage.uncovered(connection, series.id, within), before_all)
    # In an unobtainable range, an interval whose candle is stored is known.
    unknown = subtract(normal([*lost, *unanswered]), _stored(connection, series, unobtainable))
    # What only the first answer about the series has said: a single answer proves nothing.
    unconfirmed = clip(noted(connection, series.id, "doubts", "kind = 'unconfirmed'"), *within)
    unknown = normal([*unknown, *unconfirmed])
    provisional = subtract(coverage.clipped(connection, series.id, within, "provisional"), unknown)
    return RangeParts(subtract([within], normal([*unknown, *provisional])), provisional, unknown, unobtainable)


def _first(series: Series) -> int:
    """Return the instant (ms UTC) before which the exchange has no candle, as confirmed by two answers."""
    return BEGINNING_OF_TIME if series.first_candle is None else series.first_candle


def _stored(connection: Connection, series: Series, ranges: list[Range]) -> list[Range]:
    """Return the intervals of these ranges that have a candle."""
    grid = series.timeframe
    return normal(
        Range(grid.floor(time), grid.next(time))
        for part in ranges
        for time in candles.open_times(connection, series.id, part)
    )
