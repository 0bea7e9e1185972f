"""How many gaps each series has, by their status."""

from collections.abc import Iterable
from typing import NamedTuple

from mdata.store.connection import Connection


class GapCounts(NamedTuple):
    """How many rows of `data_gaps` have each status, of one series or of all; instants are ms UTC.

    `oldest_at` is when the oldest unresolved gap was found. `next_attempt_at` is when `repair` may ask next: None if
    nothing is open, 0 if a gap is already due.
    """

    open: int = 0
    repaired: int = 0
    empty: int = 0
    failed: int = 0
    oldest_at: int | None = None
    next_attempt_at: int | None = None

    @property
    def unresolved(self) -> int:
        """Return how many gaps are open or given up: the gaps that count when health is judged."""
        return self.open + self.failed


def together(parts: Iterable[GapCounts]) -> GapCounts:
    """Return the gaps of several series, or of several statuses, as one."""
    found = list(parts)
    return GapCounts(
        open=sum(one.open for one in found),
        repaired=sum(one.repaired for one in found),
        empty=sum(one.empty for one in found),
        failed=sum(one.failed for one in found),
        oldest_at=_earliest(one.oldest_at for one in found),
        next_attempt_at=_earliest(one.next_attempt_at for one in found),
    )


def _earliest(instants: Iterable[int | None]) -> int | None:
    return min((instant for instant in instants if instant is not None), default=None)


def of_every_series(connection: Connection) -> dict[int, GapCounts]:
    """Return the gaps of every series that has had any, by its id."""
    rows = connection.execute(
        """SELECT series_id, status, count(*), min(detected_at), min(coalesce(next_attempt_at, 0))
           FROM data_gaps GROUP BY series_id, status"""
    )
    found: dict[int, GapCounts] = {}
    for series_id, status, count, detected_at, next_attempt_at in rows.fetchall():
        more = GapCounts(
            **{status: count},
            oldest_at=detected_at if status in {"open", "failed"} else None,
            next_attempt_at=next_attempt_at if status == "open" else None,
        )
        found[series_id] = together((found.get(series_id, GapCounts()), more))
    return found
