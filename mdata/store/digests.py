"""The table `digests`: what `verify` has read of a month, to see a change that nobody has made through mdata."""

from mdata.domain.interval import Range
from mdata.domain.timeframe import month_index, month_start
from mdata.store.engine import Connection


def drop(connection: Connection, series_id: int, part: Range) -> None:
    """Drop the digests of the months that a changed range touches; one that is being computed is not kept then."""
    first, last = month_start(month_index(part.start)), month_start(month_index(part.end - 1))
    connection.execute("DELETE FROM digests WHERE series_id = ? AND month BETWEEN ? AND ?", (series_id, first, last))
