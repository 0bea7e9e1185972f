"""The table `answered_months`: when the exchange last answered for a part of a month.

Two stores may have different candles of a month if the exchange changed them between the two answers. The later
answer is the better one.
"""

from collections.abc import Iterable

from mdata.domain.interval import Range
from mdata.domain.timeframe import month_index, month_start
from mdata.store.connection import Connection


def note(connection: Connection, series_id: int, parts: Iterable[Range], now: int) -> None:
    """Record that the exchange has answered for these ranges at `now` (ms UTC)."""
    months = {index for part in parts for index in range(month_index(part.start), month_index(part.end - 1) + 1)}
    connection.executemany(
        f"""INSERT INTO answered_months VALUES ({series_id:d}, ?, {now:d})
            ON CONFLICT DO UPDATE SET answered_at = max(answered_at, excluded.answered_at)""",
        [(month_start(index),) for index in sorted(months)],
    )


def of(connection: Connection, series_id: int) -> dict[int, int]:
    """Return when each month was last answered for, by its beginning (both ms UTC)."""
    rows = connection.execute("SELECT month, answered_at FROM answered_months WHERE series_id = ?", (series_id,))
    return dict(rows.fetchall())


def forget(connection: Connection, series_id: int, before: int) -> None:
    """Delete the months that are over at `before` (ms UTC)."""
    first = month_start(month_index(before))
    connection.execute("DELETE FROM answered_months WHERE series_id = ? AND month < ?", (series_id, first))
