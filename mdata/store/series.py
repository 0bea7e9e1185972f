"""The table `series`: what the ledger knows about each (exchange, symbol, timeframe)."""

from mdata.domain.series import Series
from mdata.domain.timeframe import Timeframe
from mdata.domain.venue import Venue
from mdata.exchange import registry
from mdata.store.connection import Connection

_COLUMNS = (
    "id, exchange, symbol, timeframe, first_candle, first_asked_at, wanted_start, cleaned_to, frontier, asked_to, "
    "answered_at, compared_to, compared_since, compared_at"
)


def find(connection: Connection, venue: Venue, symbol: str, timeframe: Timeframe) -> Series | None:
    """Return the stored series, or None if no job has seen it yet."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM series WHERE exchange = ? AND symbol = ? AND timeframe = ?",
        (venue.name, symbol, timeframe.name),
    ).fetchone()
    return _series(row) if row else None


def every(connection: Connection) -> list[Series]:
    """Return all stored series, by symbol and then from fine to coarse."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM series ORDER BY symbol, id").fetchall()
    return sorted(map(_series, rows), key=lambda one: (one.symbol, one.exchange, one.timeframe.order))


def introduce(connection: Connection, venue: Venue, symbol: str, timeframe: Timeframe, wanted_start: int) -> None:
    """Store a new series; one that is stored already stays as it is. `wanted_start` is ms UTC."""
    connection.execute(
        """INSERT INTO series (exchange, symbol, timeframe, first_asked_at, wanted_start) VALUES (?, ?, ?, 0, ?)
           ON CONFLICT DO NOTHING""",
        (venue.name, symbol, timeframe.name, wanted_start),
    )


def begins_at(connection: Connection, series_id: int, first_candle: int | None, asked_at: int) -> None:
    """Record the exchange's first candle (None: unknown), and when the exchange was asked for it (both ms UTC)."""
    connection.execute(
        "UPDATE series SET first_candle = ?, first_asked_at = ? WHERE id = ?", (first_candle, asked_at, series_id)
    )


def answered(connection: Connection, series_id: int, instant: int) -> None:
    """Record that the exchange has answered about the series up to `instant` (ms UTC)."""
    connection.execute(
        "UPDATE series SET answered_at = max(coalesce(answered_at, ?2), ?2) WHERE id = ?1", (series_id, instant)
    )


def compared(connection: Connection, series_id: int, to: int | None, since: int, *, is_over: bool) -> None:
    """Record how far the round of comparing with the exchange that began at `since` (ms UTC) has come."""
    if is_over:
        connection.execute(
            "UPDATE series SET compared_to = NULL, compared_since = NULL, compared_at = ? WHERE id = ?",
            (since, series_id),
        )
    else:
        connection.execute(
            "UPDATE series SET compared_to = ?, compared_since = ? WHERE id = ?", (to, since, series_id)
        )


def shown_to(connection: Connection) -> int | None:
    """Return the newest instant (ms UTC) that any answer of the exchange has shown, or None."""
    found: int | None = connection.execute("SELECT max(answered_at) FROM series").fetchone()[0]
    return found


def want_from(connection: Connection, series_id: int, start: int) -> None:
    """Extend the wanted range back to `start` (ms UTC); a later start than the stored one changes nothing."""
    connection.execute("UPDATE series SET wanted_start = ?2 WHERE id = ?1 AND wanted_start > ?2", (series_id, start))


def want_again_from(connection: Connection, series_id: int, start: int) -> None:
    """Want everything from `start` on, even what cleanup removed or what is before the exchange's first candle.

    The user asked for it explicitly.
    """
    want_from(connection, series_id, start)
    connection.execute("UPDATE series SET cleaned_to = ?2 WHERE id = ?1 AND cleaned_to > ?2", (series_id, start))
    connection.execute(
        "UPDATE series SET first_candle = NULL WHERE id = ?1 AND first_candle > ?2", (series_id, start)
    )


def move_frontier(connection: Connection, series_id: int, frontier: int | None, asked_to: int | None) -> None:
    """Move `frontier` and `asked_to` forward; None, or an earlier instant, changes nothing."""
    connection.execute(
        """UPDATE series SET frontier = max(coalesce(frontier, ?2), coalesce(?2, frontier)),
                             asked_to = max(coalesce(asked_to, ?3), coalesce(?3, asked_to)) WHERE id = ?1""",
        (series_id, frontier, asked_to),
    )


def confirm_from(connection: Connection, series_id: int, start: int) -> None:
    """Move the frontier back to `start` (ms UTC) if it is later, so that provisional ranges there are requested.

    Only ranges that lie before the frontier and are filled later need this: intervals of a rejected row, or of
    deleted candles.
    """
    connection.execute("UPDATE series SET frontier = ?2 WHERE id = ?1 AND frontier > ?2", (series_id, start))


def take_back(connection: Connection, series_id: int, hull_end: int | None) -> None:
    """Move `frontier` and `asked_to` back to the end (ms UTC) of a hull that has shrunk; None: nothing is left."""
    connection.execute(
        "UPDATE series SET frontier = min(frontier, ?2), asked_to = min(asked_to, ?2) WHERE id = ?1",
        (series_id, hull_end),
    )


def clean_to(connection: Connection, series_id: int, before: int) -> None:
    """Record that everything before `before` (ms UTC) was removed on purpose and is not wanted again."""
    connection.execute(
        "UPDATE series SET cleaned_to = max(coalesce(cleaned_to, ?2), ?2) WHERE id = ?1", (series_id, before)
    )


def _series(row: tuple[object, ...]) -> Series:
    identity, exchange, symbol, timeframe, *times = row
    venue, grid = registry.stored_grid(str(exchange), str(timeframe))
    return Series(identity, venue, symbol, grid, *times)  # type: ignore[arg-type]  # STRICT
