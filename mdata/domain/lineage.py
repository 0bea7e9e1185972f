"""Whether a database's file and the write-ahead log beside it belong together, from the marks that both contain.

Every write transaction raises the store's generation, draws a new random mark, and notes the mark before it. SQLite
begins a log only when everything older is in the database file. At that moment the file contains the mark that the
log's first mark names as its predecessor. Later the file contains either this mark or one of the log's own marks,
depending on how much of the log has been moved into the file. A copy that has taken the file's place contains a
different mark, whatever its generation is; or, if SQLite made the copy while the log was growing, one of these marks
but another schema number.
"""

from collections.abc import Set as AbstractSet
from typing import NamedTuple


class Mark(NamedTuple):
    """What a write transaction leaves in the row of `store`; `cookie` is SQLite's schema number."""

    id: str
    generation: int
    mark: int
    previous: int
    cookie: int


class File(NamedTuple):
    """What the database's file says without its log: its mark (None before the first one) and its schema number."""

    mark: Mark | None
    cookie: int


class LoggedMarks(NamedTuple):
    """What the committed part of a log says: its first and newest mark, and all of them.

    `cookies` are the schema numbers that the file may have; None if another program may have changed the schema
    before the first mark.
    """

    first: Mark
    newest: Mark
    marks: AbstractSet[int]
    cookies: AbstractSet[int] | None


def belong_together(file: File, log: LoggedMarks) -> bool:
    """Whether `log` was started for `file`."""
    if file.mark is None:
        # The log creates the table of the marks, and nothing of the log has been moved into the file yet.
        return log.first.previous == 0
    if file.mark.id != log.first.id or file.mark.mark not in {log.first.previous, *log.marks}:
        return False
    # A copy made by SQLite itself (`.backup`, `VACUUM INTO`) has the same mark, but a schema number of its own.
    return log.cookies is None or file.cookie in log.cookies


def follows(mark: Mark, before: Mark | None) -> bool:
    """Whether a transaction that left `mark` came after the one of `before`, in the same store."""
    if before is None:
        return True
    if mark.id != before.id or mark.generation <= before.generation:
        return False
    return mark.previous == before.mark or mark.generation > before.generation + 1
