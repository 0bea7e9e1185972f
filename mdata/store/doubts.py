"""The tables `doubts` (what only one answer has said) and `unobtainable` (what the exchange no longer serves)."""

from mdata.domain.candle import VALUES, Candle
from mdata.domain.doubt import Doubt
from mdata.domain.interval import BEGINNING_OF_TIME, END_OF_TIME, Range, normal, subtract
from mdata.store.connection import Connection

# The unobtainable range of a delisted pair has no end.
NO_END = 2**53

_NAMES = ("start_time", "end_time", "kind", "form", "since", "asked_at", "answers", *VALUES)
_COLUMNS, _MARKS = ", ".join(_NAMES), ", ".join("?" for _ in _NAMES)
_ALL = Range(BEGINNING_OF_TIME, END_OF_TIME)


def of(connection: Connection, series_id: int, within: Range = _ALL) -> list[Doubt]:
    """Return the doubts that overlap `within`, ascending."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM doubts WHERE series_id = ? AND start_time < ? AND end_time > ?
            ORDER BY start_time, kind""",
        (series_id, within.end, within.start),
    )
    return [_doubt(row) for row in rows.fetchall()]


def _doubt(row: tuple[int, int, str, str, int, int, int, float | None, float, float, float, float]) -> Doubt:
    start, end, kind, form, since, asked_at, answers, open_, *others = row
    candle: Candle | None = None if open_ is None else (start, open_, others[0], others[1], others[2], others[3])
    return Doubt(Range(start, end), kind, form, since, asked_at, answers, candle)  # type: ignore[arg-type]  # CHECK


def keep(connection: Connection, series_id: int, doubts: list[Doubt]) -> None:
    """Store doubts in place of those of the same kind that they overlap."""
    connection.executemany(
        f"DELETE FROM doubts WHERE series_id = {series_id:d} AND kind = ? AND start_time < ? AND end_time > ?",
        [(doubt.kind, doubt.range.end, doubt.range.start) for doubt in doubts],
    )
    connection.executemany(
        f"INSERT INTO doubts (series_id, {_COLUMNS}) VALUES ({series_id:d}, {_MARKS})",
        [
            (*doubt.range, doubt.kind, doubt.form, doubt.since, doubt.asked_at, doubt.answers)
            + (doubt.candle[1:] if doubt.candle else (None,) * len(VALUES))
            for doubt in doubts
        ],
    )


def end(connection: Connection, series_id: int, doubts: list[Doubt]) -> None:
    """Remove doubts."""
    connection.executemany(
        f"DELETE FROM doubts WHERE series_id = {series_id:d} AND kind = ? AND start_time = ?",
        [(doubt.kind, doubt.range.start) for doubt in doubts],
    )


def end_answered(connection: Connection, series_id: int, known: list[Range]) -> None:
    """Remove doubts about silences and withdrawn coverage from ranges that are certain now."""
    for doubt in of(connection, series_id):
        if doubt.kind in {"silence", "withdrawn"} and any(doubt.range.overlaps(part) for part in known):
            end(connection, series_id, [doubt])
            left = subtract([doubt.range], known)
            keep(connection, series_id, [doubt._replace(range=part) for part in left])


def forget_before(connection: Connection, series_id: int, before: int) -> None:
    """Delete doubts and unobtainable ranges before `before` (ms UTC)."""
    for doubt in of(connection, series_id, Range(_ALL.start, before)):
        end(connection, series_id, [doubt])
        if doubt.range.end > before:
            keep(connection, series_id, [doubt._replace(range=Range(before, doubt.range.end))])
    connection.execute("DELETE FROM unobtainable WHERE series_id = ? AND end_time <= ?", (series_id, before))
    connection.execute(
        "UPDATE unobtainable SET start_time = ?2 WHERE series_id = ?1 AND start_time < ?2", (series_id, before)
    )


def noted(connection: Connection, series_id: int, table: str, condition: str = "1") -> list[Range]:
    """Return the ranges (normal) of `doubts` or `unobtainable` that meet an SQL condition.

    An older store may lack the table; the list is then empty.
    """
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    if exists.fetchone() is None:
        return []
    rows = connection.execute(
        f"SELECT start_time, end_time FROM {table} WHERE series_id = ? AND {condition}", (series_id,)
    )
    return normal(Range(*row) for row in rows.fetchall())


def unobtainable(connection: Connection, series_id: int) -> list[Range]:
    """Return the ranges that the exchange no longer serves (normal)."""
    rows = connection.execute(
        "SELECT start_time, end_time FROM unobtainable WHERE series_id = ? ORDER BY start_time", (series_id,)
    )
    return normal(Range(*row) for row in rows.fetchall())


def cannot_be_had(connection: Connection, series_id: int, parts: list[Range], now: int) -> None:
    """Record that the exchange no longer serves these ranges, as of `now` (ms UTC)."""
    for part in parts:
        merged = normal([*(one for one in unobtainable(connection, series_id) if one.overlaps(part)), part])
        served_again(connection, series_id, merged)
        connection.executemany(
            f"INSERT INTO unobtainable VALUES ({series_id:d}, ?, ?, {now:d})", [tuple(one) for one in merged]
        )


def served_again(connection: Connection, series_id: int, parts: list[Range]) -> None:
    """Record that the exchange serves something of these unobtainable ranges again."""
    connection.executemany(
        f"DELETE FROM unobtainable WHERE series_id = {series_id:d} AND start_time < ? AND end_time > ?",
        [(part.end, part.start) for part in parts],
    )
