"""The table `candles`, and the marks of covered candles that another program deleted."""

from mdata.domain.candle import COLUMNS, VALUES, Candle
from mdata.domain.interval import END_OF_TIME, Range
from mdata.store.connection import Connection

_COLUMNS, _VALUES = ", ".join(COLUMNS), ", ".join(VALUES)
_MARKS = ", ".join("?" for _ in COLUMNS)
_EXCLUDED = ", ".join(f"excluded.{name}" for name in VALUES)
_WITHIN = "series_id = ? AND open_time >= ? AND open_time < ?"


def insert(connection: Connection, series_id: int, candles: list[Candle]) -> int:
    """Insert candles of a range in which none is stored, faster than `upsert`; return how many they are."""
    connection.executemany(f"INSERT INTO candles VALUES ({series_id:d}, {_MARKS})", candles)
    return len(candles)


def upsert(connection: Connection, series_id: int, candles: list[Candle]) -> int:
    """Insert or overwrite ascending candles with one statement; return how many rows are new or different.

    A candle that is already stored with the same values is not touched, so a second pass writes nothing.
    """
    before = connection.total_changes
    connection.executemany(
        f"""INSERT INTO candles VALUES ({series_id:d}, {_MARKS}) ON CONFLICT DO UPDATE
            SET ({_VALUES}) = ({_EXCLUDED}) WHERE ({_VALUES}) IS NOT ({_EXCLUDED})""",
        candles,
    )
    return connection.total_changes - before


def stored(connection: Connection, series_id: int, within: Range, most: int = -1) -> list[Candle]:
    """Return the candles of a range, ascending, at most `most`."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM candles WHERE {_WITHIN} ORDER BY open_time LIMIT ?", (series_id, *within, most)
    )
    return rows.fetchall()


def at(connection: Connection, series_id: int, open_time: int) -> Candle | None:
    """Return the candle with this open time, or None."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM candles WHERE series_id = ? AND open_time = ?", (series_id, open_time)
    )
    found: Candle | None = rows.fetchone()
    return found


def open_times(connection: Connection, series_id: int, within: Range) -> list[int]:
    """Return the open times of the candles of a range, ascending."""
    rows = connection.execute(
        f"SELECT open_time FROM candles WHERE {_WITHIN} ORDER BY open_time", (series_id, *within)
    )
    return [open_time for (open_time,) in rows.fetchall()]


def count(connection: Connection, series_id: int, within: Range) -> int:
    """Return how many candles a range contains."""
    rows = connection.execute(f"SELECT count(*) FROM candles WHERE {_WITHIN}", (series_id, *within))
    return int(rows.fetchone()[0])


def last_before(connection: Connection, series_id: int, instant: int) -> int | None:
    """Return the open time of the newest candle before `instant`, or None."""
    rows = connection.execute(
        "SELECT max(open_time) FROM candles WHERE series_id = ? AND open_time < ?", (series_id, instant)
    )
    found: int | None = rows.fetchone()[0]
    return found


def first_from(connection: Connection, series_id: int, instant: int, before: int = END_OF_TIME) -> int | None:
    """Return the open time of the oldest candle at or after `instant` (and earlier than `before`), or None."""
    rows = connection.execute(
        "SELECT min(open_time) FROM candles WHERE series_id = ? AND open_time >= ? AND open_time < ?",
        (series_id, instant, before),
    )
    found: int | None = rows.fetchone()[0]
    return found


def nth_from(connection: Connection, series_id: int, instant: int, number: int) -> int | None:
    """Return the open time of the candle `number` places after the first one at or after `instant`, or None."""
    row = connection.execute(
        "SELECT open_time FROM candles WHERE series_id = ? AND open_time >= ? ORDER BY open_time LIMIT 1 OFFSET ?",
        (series_id, instant, number),
    ).fetchone()
    return None if row is None else int(row[0])


def around(connection: Connection, series_id: int, within: Range, steps: int) -> tuple[int | None, int | None]:
    """Return the open times of the candle `steps` places before a range, and of the one `steps` places after it.

    If there are fewer candles on a side, return that of the farthest; None if there is none.
    """
    before, after = connection.execute(
        """SELECT (SELECT min(open_time) FROM (SELECT open_time FROM candles WHERE series_id = ?1 AND open_time < ?2
                                               ORDER BY open_time DESC LIMIT ?4)),
                  (SELECT max(open_time) FROM (SELECT open_time FROM candles WHERE series_id = ?1 AND open_time >= ?3
                                               ORDER BY open_time LIMIT ?4))""",
        (series_id, *within, steps),
    ).fetchone()
    return before, after


def delete(connection: Connection, series_id: int, times: list[int]) -> None:
    """Delete single candles; those inside coverage count as lost."""
    connection.executemany(
        f"DELETE FROM candles WHERE series_id = {series_id:d} AND open_time = ?", [(time,) for time in times]
    )


def mark_lost(connection: Connection, series_id: int, open_time: int) -> None:
    """Mark a deleted candle inside coverage as lost, unless a trigger has done so."""
    covered = connection.execute(
        """SELECT max(start_time) FROM coverage WHERE series_id = ?1 AND start_time <= ?2 AND end_time > ?2
           AND NOT EXISTS (SELECT 1 FROM lost_candles WHERE series_id = ?1 AND open_time = ?2)""",
        (series_id, open_time),
    ).fetchone()[0]
    if covered is not None:
        connection.execute("INSERT INTO lost_candles VALUES (?, ?)", (series_id, open_time))
        connection.execute(
            "UPDATE coverage SET candles = candles - 1 WHERE series_id = ? AND start_time = ?", (series_id, covered)
        )


def lost(connection: Connection, series_id: int, within: Range | None = None) -> list[int]:
    """Return the open times of covered candles that were deleted, ascending."""
    # The left join leaves out candles that another program has restored since.
    rows = connection.execute(
        """SELECT lost.open_time FROM lost_candles AS lost LEFT JOIN candles USING (series_id, open_time)
           WHERE lost.series_id = ? AND lost.open_time >= ? AND lost.open_time < ? AND candles.open IS NULL
           ORDER BY lost.open_time""",
        (series_id, *(within or (-(2**63), 2**63 - 1))),
    )
    return [open_time for (open_time,) in rows.fetchall()]


def marks(connection: Connection, series_id: int) -> tuple[list[int], list[int]]:
    """Return the open times (ascending) of deleted candles: those still missing, and those restored.

    Restored candles are not counted in `coverage` until `detect-gaps` removes their marks.
    """
    rows = connection.execute(
        """SELECT lost.open_time, candles.open IS NULL
           FROM lost_candles AS lost LEFT JOIN candles USING (series_id, open_time)
           WHERE lost.series_id = ? ORDER BY lost.open_time""",
        (series_id,),
    )
    missing: list[int] = []
    restored: list[int] = []
    for open_time, is_missing in rows.fetchall():
        (missing if is_missing else restored).append(open_time)
    return missing, restored


def forget_lost(connection: Connection, series_id: int, within: Range, but: list[int] | None = None) -> None:
    """Remove the marks of a range, except those in `but`.

    Call this if the range was answered for again, or is no longer wanted.
    """
    connection.execute(f"DELETE FROM lost_candles WHERE {_WITHIN}", (series_id, *within))
    connection.executemany(
        f"INSERT OR IGNORE INTO lost_candles VALUES ({series_id:d}, ?)",
        [(time,) for time in but or () if within.start <= time < within.end],
    )


def forget_restored(connection: Connection, series_id: int, within: Range | None = None) -> None:
    """Remove the marks of lost candles that another program has restored, and count those candles again."""
    restored = connection.execute(
        # There are few marks and many candles: a cross join reads the marks first.
        """SELECT lost.open_time FROM lost_candles AS lost CROSS JOIN candles USING (series_id, open_time)
           WHERE lost.series_id = ? AND lost.open_time >= ? AND lost.open_time < ?""",
        (series_id, *(within or (-(2**63), 2**63 - 1))),
    ).fetchall()
    for (open_time,) in restored:
        connection.execute(
            """UPDATE coverage SET candles = candles + 1 WHERE series_id = ?1 AND start_time =
               (SELECT max(start_time) FROM coverage WHERE series_id = ?1 AND start_time <= ?2)""",
            (series_id, open_time),
        )
        forget_lost(connection, series_id, Range(open_time, open_time + 1))


def delete_before(connection: Connection, series_id: int, before: int, limit: int) -> int:
    """Delete the oldest candles before `before` (ms UTC), at most `limit`; return how many."""
    cursor = connection.execute(
        """DELETE FROM candles WHERE series_id = ?1 AND open_time < ?2 AND open_time <= coalesce(
             (SELECT open_time FROM candles WHERE series_id = ?1 ORDER BY open_time LIMIT 1 OFFSET ?3), ?2)""",
        (series_id, before, limit - 1),
    )
    return cursor.rowcount
