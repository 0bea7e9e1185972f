"""The table `candle_revisions`: what final candles were before a later answer changed them."""

from typing import Any

from mdata.domain.candle import VALUES
from mdata.store.connection import Connection

COLUMNS = ("symbol", "timeframe", "open_time", "kind", *VALUES, "seen_at", "source", "exchange")


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Return all revisions, newest first, with the old values; times are ms UTC."""
    rows = connection.execute(
        f"""SELECT {", ".join(COLUMNS)} FROM candle_revisions JOIN series ON series.id = series_id
            ORDER BY candle_revisions.id DESC"""
    )
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows.fetchall()]


def listed_of(connection: Connection, series_id: int, limit: int) -> list[dict[str, Any]]:
    """Return the newest revisions of a series, at most `limit`, with the old values; times are ms UTC."""
    rows = connection.execute(
        f"""SELECT {", ".join(COLUMNS)} FROM candle_revisions JOIN series ON series.id = series_id
            WHERE series_id = ? ORDER BY candle_revisions.id DESC LIMIT ?""",
        (series_id, limit),
    )
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows.fetchall()]
