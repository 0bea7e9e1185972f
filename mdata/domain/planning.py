"""What to request next: the forward pass, the backward pass, a stream's catch-up, doubts, and what that costs.

Every plan is made from the ledger as it is now, so that a job does not request again what another job has obtained in
the meantime; None means that there is nothing to request. A plan only says which part it is about; the code that
sends it looks up which stored candles to include, so that one of them comes back.
"""

from typing import NamedTuple

from mdata.domain.doubt import Doubt
from mdata.domain.interval import Range, normal, subtract
from mdata.domain.ledger import Ledger
from mdata.domain.query import WITNESSES
from mdata.domain.quiet import QUIET_EVERY
from mdata.domain.retries import FIRST_CANDLE_AGAIN
from mdata.domain.timeframe import Timeframe


class Wish(NamedTuple):
    """What to request: a part of a series, from which end, and how many stored candles to include on either side.

    `is_open`: the request names no start, so that the answer can include a row from before the part, which encloses
    its older end. `revisit_from` (ms UTC): the request begins there if that does not cost another request.
    """

    part: Range
    newest_first: bool
    is_open: bool = False
    witnesses: int = WITNESSES
    revisit_from: int | None = None


def first_page(timeframe: Timeframe, start: int, now: int) -> Wish:
    """Return the first request about a series that is wanted from `start` on (ms UTC): its newest page."""
    return Wish(Range(start, timeframe.next(timeframe.closed_end(now))), newest_first=True, is_open=True)


def forward(ledger: Ledger, *, confirm: bool, revisit: int = 0) -> Wish | None:
    """Return the next request of the forward pass, from the frontier to the forming interval.

    A request is planned if an interval has closed since the last answer, if a doubted silence is due, or, with
    `confirm`, if something has settled that is not final yet; a provisional silence alone is never a reason. A series
    without a candle starts with its newest page. `revisit` is how far before the frontier (ms) a request may begin.
    """
    series, grid, wanted = ledger.series, ledger.series.timeframe, ledger.wanted
    closed = grid.closed_end(ledger.now)
    is_early = ledger.is_quiet and ledger.now - (series.answered_at or 0) < QUIET_EVERY
    if ledger.last_candle is None:
        return None if is_early or closed <= wanted.start else first_page(grid, wanted.start, ledger.now)
    start = max(ledger.confirmed_to or wanted.start, wanted.start)
    doubted = _due_silence(ledger, start)
    if doubted is None:
        has_closed = closed > (series.asked_to or 0) and closed > start
        if is_early or not (has_closed or (confirm and _is_unconfirmed(ledger, start))):
            return None
    # A silence found from this end is confirmed from the other end.
    newest_first = doubted is not None and doubted.form == f"asc {ledger.reaches_from}"
    revisit_from = start - revisit if revisit and doubted is None else None
    return Wish(Range(start, grid.next(closed)), newest_first, witnesses=ledger.witnesses, revisit_from=revisit_from)


def _due_silence(ledger: Ledger, start: int) -> Doubt | None:
    """Return the doubted silence at the end of the hull (at `start` if there is no hull), if it is due."""
    silence = ledger.doubt("silence", since=ledger.hull.end if ledger.hull else start)
    return silence if silence is not None and silence.is_due(ledger.now) else None


def _is_unconfirmed(ledger: Ledger, start: int) -> bool:
    """Whether anything from `start` on has settled and is not final, except silences that an answer has reported.

    If a silence was reported, the newest candle is left out, too: the next answer confirms it anyway.
    """
    grid = ledger.series.timeframe
    settled = grid.closed_end(ledger.now, ledger.settle)
    silences = normal(
        doubt.range.clip(start, min(settled, grid.closed_end(doubt.asked_at, ledger.settle)))
        for doubt in ledger.doubts
        if doubt.kind == "silence"
    )
    if silences and ledger.last_candle is not None:
        silences = normal([*silences, Range(ledger.last_candle, grid.next(ledger.last_candle))])
    return bool(subtract(normal([Range(start, settled)]), silences))


def backward(ledger: Ledger) -> Wish | None:
    """Return the next request of the backward pass, from the hull's older end to the wanted start.

    If an answer suggests that the exchange's history begins inside the wanted range, the exchange must first be asked
    for its first candle (`asks_first`); if that candle is older than the hull, the backward request is repeated.
    """
    wanted, hull = ledger.wanted, ledger.hull
    if hull is None or not _has_older(ledger, hull):
        return None
    silence, first = ledger.doubt("silence", until=hull.start), ledger.doubt("first")
    if silence is not None and not (first and first.range.start < hull.start and silence.is_due(ledger.now)):
        return None
    return Wish(Range(wanted.start, hull.start), newest_first=True, is_open=True, witnesses=ledger.witnesses)


def _has_older(ledger: Ledger, hull: Range) -> bool:
    """Whether what lies directly before the hull is wanted and obtainable."""
    left = subtract(normal([Range(ledger.wanted.start, hull.start)]), list(ledger.unobtainable))
    return bool(left) and left[-1].end == hull.start


def asks_first(ledger: Ledger) -> bool:
    """Whether the exchange is to be asked for its first candle.

    It is asked if an answer ended inside the wanted range. Once the first candle is known, the exchange is asked
    again as soon as that candle has settled, and then every month.
    """
    series = ledger.series
    if series.first_candle is not None:
        settles_at = series.timeframe.next(series.first_candle) + ledger.settle
        return (
            ledger.now - series.first_asked_at >= FIRST_CANDLE_AGAIN
            or series.first_asked_at < settles_at <= ledger.now
        )
    first = ledger.doubt("first")
    if ledger.last_candle is None:
        return ledger.doubt("silence") is not None and (first is None or first.is_due(ledger.now))
    hull = ledger.hull
    if hull is None or not _has_older(ledger, hull) or not ledger.doubt("silence", until=hull.start):
        return False
    return first is None or (first.range.start >= hull.start and first.is_due(ledger.now))


def whole_first_page(ledger: Ledger) -> Wish | None:
    """Return the request for a series' whole first page, if a later answer contains none of its rows."""
    first, failed = ledger.doubt("unconfirmed"), ledger.doubt("unwitnessed")
    if first is None or failed is None or not failed.is_due(ledger.now):
        return None
    return Wish(first.range, newest_first=not failed.was_newest_first, witnesses=0)


def second_answer(ledger: Ledger) -> Wish | None:
    """Return the request that includes rows of a series' first page, as long as no other answer has contained any."""
    if not ledger.doubt("unconfirmed") or ledger.last_candle is None:
        return None
    grid, start = ledger.series.timeframe, ledger.confirmed_to or ledger.wanted.start
    return Wish(Range(start, grid.next(grid.closed_end(ledger.now))), newest_first=False, witnesses=ledger.witnesses)


def contradicted(ledger: Ledger) -> tuple[list[Range], bool]:
    """Return the due ranges (normal) that answers contradict, and whether to count rows from the newest."""
    due = [one for one in ledger.doubts if one.kind in {"absent", "changed"} and one.is_due(ledger.now)]
    last = max(due, key=lambda doubt: doubt.range.end, default=None)
    return normal(doubt.range for doubt in due), last is not None and not last.was_newest_first


def asks_beyond_forward(ledger: Ledger) -> bool:
    """Whether anything is to be requested that the forward pass does not request."""
    return bool(backward(ledger) or asks_first(ledger) or second_answer(ledger) or contradicted(ledger)[0])


def behind(ledger: Ledger, covered: list[Range], before: int, lookback: int) -> list[Range]:
    """Return what is unknown before `before` (ms UTC), back to the frontier and at most `lookback` ms.

    `covered` (normal) is what is known there. A stream fetches this when catching up; other jobs fetch the rest.
    """
    wanted, grid = ledger.wanted, ledger.series.timeframe
    start = max(wanted.start, grid.ceil(ledger.now - lookback), ledger.confirmed_to or wanted.start)
    return subtract(normal([Range(start, before)]), normal([*covered, *ledger.unobtainable]))


def catch_up(ledger: Ledger, covered: list[Range], before: int, lookback: int) -> Wish | None:
    """Return the next request for what is missing before `before`, where a stream's snapshot begins."""
    missing = behind(ledger, covered, before, lookback)
    if not missing:
        return None
    part = Range(missing[0].start, missing[-1].end)
    silence = next((one for one in ledger.doubts if one.kind == "silence" and one.range.overlaps(part)), None)
    newest_first = silence is not None and not silence.was_newest_first
    return Wish(part, newest_first, witnesses=ledger.witnesses)


def around_gap(ledger: Ledger, part: Range, *, has_older: bool, has_newer: bool, tries: int) -> Wish:
    """Return the request that can prove what is missing in `part`; `tries` is how often it was made before.

    If candles are stored on one side only, rows are counted from that side; on every second try, they are counted
    from the other end.
    """
    from_newest = has_newer or not has_older
    return Wish(part, from_newest if tries % 2 == 0 else not from_newest, witnesses=ledger.witnesses)
