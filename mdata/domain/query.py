"""What is asked of the exchange, and what its answer proves.

The exchange sends no candle for an interval without trades, and an answer says nothing about why it is
short: `[]` comes for silence, for the future and for an unknown symbol alike. What an answer proves is
therefore decided here, and nowhere else:

- a full page (as many rows as the limit allows) proves its range up to its last row;
- a shorter page proves the whole range that was asked;
- but an empty stretch of 60 intervals or more at the far end of a page may be a cut answer: it is asked
  about once more, and believed when the second answer brings nothing either. When it does bring something, the
  exchange sends no more rows than the first had, and from then on so many make a full page. Where a repair has a
  witness at one end only, any empty stretch at the other end is one of those.
"""

from math import isclose
from typing import NamedTuple

from mdata.domain.candle import Candle
from mdata.domain.interval import Range, normal, subtract
from mdata.domain.timeframe import Timeframe

# Candles per answer at most: the exchange's own maximum.
PAGE_LIMIT = 10_000

# An empty stretch of so many intervals is remarkable: asked about twice, remembered, and asked again later.
LONG_SILENCE = 60


class Query(NamedTuple):
    """One request for candles: an aligned range, from which end to count, and at most how many rows.

    `doubted` came out empty a moment ago and is believed when it does so again. `witnesses` are open times of
    stored candles inside the range that must come back before the answer proves anything. `cap`: an answer of so
    many rows was found to have been cut, whatever the limit.
    """

    symbol: str
    timeframe: Timeframe
    range: Range
    newest_first: bool
    limit: int = PAGE_LIMIT
    doubted: Range | None = None
    witnesses: tuple[int, ...] = ()
    cap: int = PAGE_LIMIT


class RefusedRow(NamedTuple):
    """A row that cannot be a candle: what it said (shortened), why it was refused, and what stays unknown."""

    open_time: int | None
    text: str
    reason: str
    unknown: Range | None


class Page(NamedTuple):
    """One answer, read: candles ascending and inside the range asked, rows refused, rows counted.

    `asked_at` (ms UTC) is the earlier of the local clock when the request was sent and the answer's own date.
    """

    query: Query
    candles: list[Candle]
    refused: tuple[RefusedRow, ...]
    rows: int
    asked_at: int

    @property
    def is_full(self) -> bool:
        """Whether the answer holds as many rows as it may, so that more can lie beyond its last one."""
        return self.rows >= min(self.query.limit, self.query.cap)

    @property
    def refusal(self) -> str:
        """What to tell of the rows refused: how many, and the first of them."""
        first, count = self.refused[0], len(self.refused)
        told = "a row was refused" if count == 1 else f"{count} rows were refused, the first of them"
        return f"{told}: {first.reason}: {first.text}"


class Proof(NamedTuple):
    """What a page proves: `reach` was answered for, but for the rows that were refused; the rest is `proven`.

    `doubt` came out empty and is to be asked about once more.
    """

    reach: Range | None
    proven: list[Range]
    doubt: Range | None


def prove(page: Page) -> Proof:
    """Return what this page proves about the range asked; intervals of refused rows are never proven."""
    query, timeframe = page.query, page.query.timeframe
    asked, reached = query.range, _reached(page)
    if _lacks_witness(page, reached):
        return Proof(None, [], None)
    if page.is_full:
        reach, doubt = reached, None
    else:
        beyond = Range(asked.start, reached.start) if query.newest_first else Range(reached.end, asked.end)
        is_doubtful = timeframe.count(*beyond) >= _remarkable(query) and not _is_second_time(query, beyond)
        reach, doubt = (reached, beyond) if is_doubtful else (asked, None)
    unknown = normal(row.unknown for row in page.refused if row.unknown)
    if reach.end <= reach.start:
        return Proof(None, [], doubt)
    return Proof(reach, subtract([reach], unknown), doubt)


def _lacks_witness(page: Page, reached: Range) -> bool:
    if not page.query.witnesses:
        return False
    times = {candle[0] for candle in page.candles}
    # A full page may end before it comes to the farther witness.
    due = (time for time in page.query.witnesses if not page.is_full or reached.start <= time < reached.end)
    return any(time not in times for time in due)


def _remarkable(query: Query) -> int:
    """Return how many silent intervals at the far end are asked about twice: any where a repair lacks a witness."""
    return 1 if len(query.witnesses) == 1 else LONG_SILENCE


def _is_second_time(query: Query, beyond: Range) -> bool:
    """Whether the stretch began at the same place the last time; its far end may have moved with the clock."""
    if query.doubted is None:
        return False
    return beyond.end == query.doubted.end if query.newest_first else beyond.start == query.doubted.start


def _reached(page: Page) -> Range:
    """Return the part of the range asked up to the page's last row, refused ones included."""
    query, timeframe = page.query, page.query.timeframe
    times = [row.open_time for row in page.refused if row.open_time is not None]
    if page.candles:
        times += (page.candles[0][0], page.candles[-1][0])
    start, end = query.range
    if query.newest_first:
        return Range(min(times, default=end), end)
    return Range(start, timeframe.next(max(times)) if times else start)


def changes(stored: list[Candle], answered: list[Candle]) -> tuple[list[Candle], list[Candle]]:
    """Return which stored candles come back different, and which do not come back at all.

    Both lists are of the same range, ascending; what is returned are the stored, old values. Volumes are sums
    of floats on the exchange's side, which add up differently in the last digits: that is no change.
    """
    answers = {candle[0]: candle for candle in answered}
    changed = [candle for candle in stored if _differ(candle, answers.get(candle[0], candle))]
    missing = [candle for candle in stored if candle[0] not in answers]
    return changed, missing


def _differ(one: Candle, other: Candle) -> bool:
    return one != other and (one[:5] != other[:5] or not isclose(one[5], other[5], rel_tol=1e-9))
