"""What a store knows of a series for publishing."""

from mdata.domain.interval import Range
from mdata.domain.publication import Publishable
from mdata.domain.series import Series
from mdata.store import answered
from mdata.store.connection import Connection
from mdata.store.verdict import verdict


def known(connection: Connection, series: Series, until: int) -> Publishable:
    """Return what is known up to `until` (ms UTC)."""
    start = series.wanted(until, 0).start
    grid = series.timeframe
    within = Range(grid.ceil(start), max(grid.ceil(start), grid.ceil(until)))
    found = verdict(connection, series, within)
    return Publishable(
        grid, within.start, series.cleaned_to, found.provisional, found.unknown, found.unobtainable,
        answered.of(connection, series.id),
    )  # fmt: skip
