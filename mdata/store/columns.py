"""Candles of a series as columns."""

from array import array

from mdata.domain.columns import Columns
from mdata.domain.interval import Range
from mdata.store.engine import Connection

# More are no faster, and take memory.
_ROWS_AT_A_TIME = 2_000


def columns(connection: Connection, series_id: int, within: Range) -> Columns:
    """Return the candles of a range."""
    rows = connection.execute(
        """SELECT open_time, open, high, low, close, volume FROM candles
           WHERE series_id = ? AND open_time >= ? AND open_time < ? ORDER BY open_time""",
        (series_id, *within),
    )
    found = Columns.none()
    while part := rows.fetchmany(_ROWS_AT_A_TIME):
        for column, values in zip(found, zip(*part, strict=True), strict=True):
            # An array is taken over as it is, the values of a tuple one by one.
            column.extend(array(column.typecode, values))
    return found
