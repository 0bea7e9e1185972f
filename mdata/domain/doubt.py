"""Doubts: what one answer said and no second, independent answer has confirmed.

A wrong answer looks like a right one. Two answers to requests of different forms, or from different times, are rarely
wrong in the same place. If an answer contradicts the store, or reports a silence that no rows enclose, its statement
is therefore kept as a doubt until another answer agrees or disagrees.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

from mdata.domain.interval import Range
from mdata.domain.retries import INDEPENDENT_AFTER, MOST_ANSWERS, ask_again_after

if TYPE_CHECKING:
    from mdata.domain.candle import Candle
    from mdata.domain.query import Page

# silence: no rows came at an end of the answer · absent: stored candles did not come back · changed: a stored candle
# came back with other values · first: the exchange's first candle, as one answer named it · unconfirmed: the first
# page of a series, while no other answer has contained any of its rows · unwitnessed: no stored candle came back ·
# withdrawn: the stored candles differ from what the answers contained, so that the range is requested again.
DoubtKind = Literal["silence", "absent", "changed", "first", "unconfirmed", "unwitnessed", "withdrawn"]


class Doubt(NamedTuple):
    """A statement about a range (ms UTC): how it was requested, when it was first and last made, and how often.

    `candle` is the candle that was sent, if there was one (`changed`, `first`).
    """

    range: Range
    kind: DoubtKind
    form: str
    since: int
    asked_at: int
    answers: int = 1
    candle: "Candle | None" = None

    def is_independent_of(self, form: str, asked_at: int) -> bool:
        """Whether an answer to this form of request, sent at `asked_at` (ms UTC), counts as independent."""
        return form != self.form or asked_at - self.asked_at >= INDEPENDENT_AFTER

    def has_second_opinion(self, page: "Page") -> bool:
        """Whether an answer is independent of the one that raised the doubt."""
        return self.is_independent_of(page.query.form, page.asked_at)

    def is_due(self, now: int) -> bool:
        """Whether the exchange may be asked about the doubted range at `now` (ms UTC)."""
        if self.answers < MOST_ANSWERS:
            return True
        wait = ask_again_after(self.answers - MOST_ANSWERS + 1)
        # A doubt recorded by a clock that was ahead must not wait until that time.
        return not 0 <= now - self.asked_at < wait

    @property
    def was_newest_first(self) -> bool:
        """Whether the rows were counted from the newest one."""
        return self.form.startswith("desc")


def raised(page: "Page", about: Range, kind: DoubtKind, known: list[Doubt], candle: "Candle | None" = None) -> Doubt:
    """Return the doubt that an answer raises about a range, merged with the known doubts that it overlaps."""
    return merged(Doubt(about, kind, page.query.form, page.asked_at, page.asked_at, candle=candle), known)


def merged(doubt: Doubt, known: list[Doubt]) -> Doubt:
    """Return a doubt merged with those of its kind that it overlaps.

    The result has the earliest `since` of them all, and counts one answer more than any of the overlapped doubts.
    """
    older = [one for one in known if one.kind == doubt.kind and one.range.overlaps(doubt.range)]
    if not older:
        return doubt
    last = max(older, key=lambda one: one.asked_at)
    answers = max(one.answers for one in older) + 1
    # An answer that only repeats the previous answer must not postpone the second request.
    is_repeated = not last.is_independent_of(doubt.form, doubt.asked_at)
    is_repeated = is_repeated and last.range.contains(doubt.range) and last.candle == doubt.candle
    asked_at = last.asked_at if is_repeated else doubt.asked_at
    return doubt._replace(since=min(one.since for one in older), asked_at=asked_at, answers=answers)
