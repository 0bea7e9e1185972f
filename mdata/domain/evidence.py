"""What an answer proves: decided only here, as a pure function of the answer and of what is known.

Most exchanges send no candle for an interval without trades, and an answer does not say why it is short: `[]` comes
for silence, for the future and for an unknown symbol alike, and has also come by mistake. Some exchanges send a row
without volume for such an interval (`Venue.silence`). Hence:

- *witnesses*: one of the candles stored in the requested range must come back unchanged, or else nothing is proven;
- *enclosure*: an answer proves what lies between its oldest and its newest row; on an exchange that sends a row for
  each silent interval, an answer proves only the intervals that have a row, and an interval without a row is treated
  like a silence at an end;
- a *silence* at an end of an answer is provisional, or in doubt if it is remarkable, until an answer encloses it or a
  second, independent one says the same (`domain/tails.py`);
- a *contradiction* (a stored candle is absent, or has other values) changes nothing until a second, independent
  answer agrees. If the absent candles leave a remarkable hole, the exchange has stopped serving this history: the
  candles stay, and the range is unobtainable (`domain/contradiction.py`).
"""

from collections.abc import Mapping
from typing import NamedTuple

from mdata.domain import contradiction, tails
from mdata.domain.candle import Candle
from mdata.domain.doubt import Doubt, raised
from mdata.domain.interval import Range, clip, normal, subtract
from mdata.domain.known import Known
from mdata.domain.query import WITNESSES, Page, is_same


class Verdict(NamedTuple):
    """The changes that an answer makes to the ledger; `counts` is False if the answer proves nothing.

    The answer covers the ranges `final` and `provisional` (normal). `candles` (ascending) are those of the final
    ranges, as they are to be stored. `changed` are the old values of candles that now have new values, `withdrawn`
    the candles that are gone, `lost` the times of lost candles that stay lost. The ranges `unknown` lose their
    provisional coverage, and `distrusted` lose all coverage except what this answer proves. `doubts` replace those of
    their kind that they overlap; the doubts in `ended` are removed. The ranges `served` are no longer unobtainable.
    `silent` are the times (ascending) of rows that say that nothing was traded.
    """

    counts: bool
    final: list[Range]
    provisional: list[Range]
    candles: list[Candle]
    changed: list[Candle]
    withdrawn: list[Candle]
    lost: list[int]
    unknown: list[Range]
    distrusted: list[Range]
    doubts: list[Doubt]
    ended: list[Doubt]
    unobtainable: list[Range]
    served: list[Range]
    silent: tuple[int, ...] = ()


def judge(page: Page, known: Known, settle: int) -> Verdict:
    """Return what an answer proves, and what it puts in doubt; `settle` is in ms."""
    is_witnessed = _brings_stored(page, known)
    if known.has_witness and not is_witnessed and not _repeats(page, known):
        return _proves_nothing(page, known, settle)
    distrusted = [] if is_witnessed else normal(doubt.range for doubt in _of_first_page(known))
    ended = _confirmed(known, is_witnessed=is_witnessed)
    known = _without(known, distrusted)
    grid, asked_at = page.query.timeframe, page.asked_at
    closed, settled = grid.closed_end(asked_at), grid.closed_end(asked_at, settle)
    # The answer says nothing about the ranges of rejected rows, nor about what is stored there.
    spoiled = normal(row.unknown for row in page.refused if row.unknown)
    enclosed = subtract(clip([page.span], known.floor, closed), spoiled) if page.span else []
    found = contradiction.find(page, known, clip(enclosed, known.floor, settled))
    told = tails.find(page, known, spoiled, settle)
    proven, newest = subtract(enclosed, page.holes), _unfollowed(page, known, settled)
    final = subtract(clip(proven, known.floor, settled), normal([*found.unsettled, *found.unproven, *newest]))
    return Verdict(
        counts=True,
        final=normal([*final, *subtract(told.final, found.unsettled)]),
        provisional=normal([*clip(proven, max(known.floor, settled), closed), *told.provisional, *newest]),
        candles=found.candles,
        changed=found.changed,
        withdrawn=found.withdrawn,
        lost=found.lost,
        unknown=subtract(spoiled, known.final),
        distrusted=distrusted if known.has_witness else [],
        doubts=[*found.doubts, *told.doubts, *_unconfirmed(page, known, enclosed)],
        ended=[*found.ended, *ended],
        unobtainable=found.unobtainable,
        served=[part for part in known.unobtainable if any(part.start <= row[0] < part.end for row in page.candles)],
        silent=page.silent,
    )


def _brings_stored(page: Page, known: Known) -> bool:
    """Whether the answer contains stored candles unchanged.

    One final candle that comes back unchanged is enough, unless more than `WITNESSES` final candles come back with
    other values; then at least half must be unchanged. If all stored candles that come back are provisional, the same
    open time is enough, but at least half of the stored candles between the answer's first and last row must come
    back, because rows of a coarser timeframe also have the open times of a few stored candles.
    """
    stored = {candle[0]: candle for candle in known.stored}
    rows = contradiction.within(page.candles, Range(min(stored), max(stored) + 1)) if stored else []
    back = [(stored[row[0]], row) for row in rows if row[0] in stored]
    final = back
    if known.provisional:
        final = [(held, row) for held, row in back if not contradiction.is_in(row[0], known.provisional)]
    if not final:
        return 0 < len(stored) <= 2 * len(back) or _brings_silence(page, known, stored)
    same = sum(is_same(held, row) for held, row in final)
    differing = len(final) - same
    return same > 0 and (differing <= WITNESSES or same >= differing)


def _brings_silence(page: Page, known: Known, stored: Mapping[int, Candle]) -> bool:
    """Whether a row reports silence for a covered interval, and none does so for an interval with a final candle."""
    if any(time in stored and contradiction.is_in(time, known.final) for time in page.silent):
        return False
    return any(contradiction.is_in(time, [*known.final, *known.provisional]) for time in page.silent)


def _unfollowed(page: Page, known: Known, settled: int) -> list[Range]:
    """For an answer up to the present, return the interval of its newest row, unless the store confirms the row.

    If the answer came from a cache, the row may be the candle that was still forming when the cache was filled. The
    next answer settles the question: in it, a newer row follows this row, or this row is repeated.
    """
    if page.span is None or known.held_after or page.query.range.end <= settled:
        return []
    grid, row = page.query.timeframe, page.candles[-1] if page.candles else None
    if row is None or grid.next(row[0]) != page.span.end or page.span.end > settled or row[0] < known.floor:
        return []
    is_known = any(candle[0] == row[0] and is_same(candle, row) for candle in known.stored[-1:])
    is_final = contradiction.is_in(row[0], known.final)
    return [] if is_known or is_final else [Range(row[0], page.span.end)]


def _repeats(page: Page, known: Known) -> bool:
    """Whether the answer repeats a doubted row: one that an earlier, independent answer has sent.

    Such a row contradicted the store or was new to it.
    """
    told = {
        doubt.candle[0]: doubt.candle
        for doubt in known.doubts
        if doubt.kind == "changed" and doubt.candle is not None and doubt.has_second_opinion(page)
    }
    return any(row[0] in told and is_same(row, told[row[0]]) for row in page.candles) if told else False


def _of_first_page(known: Known) -> list[Doubt]:
    """Return the doubt about a first page, and the doubts about silences that the same request raised."""
    forms = {doubt.form for doubt in known.doubts if doubt.kind == "unconfirmed"}
    return [doubt for doubt in known.doubts if doubt.kind in {"unconfirmed", "silence"} and doubt.form in forms]


def _without(known: Known, distrusted: list[Range]) -> Known:
    """Return what is known, without a first page that two independent answers agree is wrong."""
    if not (distrusted and known.has_witness):
        return known
    first = _of_first_page(known)
    return known._replace(
        final=subtract(known.final, distrusted),
        provisional=subtract(known.provisional, distrusted),
        doubts=[doubt for doubt in known.doubts if doubt not in first],
        lost=[],
        held_before=False,
        held_after=False,
    )


def _proves_nothing(page: Page, known: Known, settle: int) -> Verdict:
    """Return the verdict on an answer that contains no stored candle unchanged, or too few of them.

    It changes no candle and no coverage. A few of its rows are kept as doubts: up to `WITNESSES` rows that differ
    from stored candles (those nearest to the requested part), and the newest settled row without a stored candle.
    """
    doubts = [raised(page, page.query.range, "unwitnessed", known.doubts)]
    stored = {candle[0]: candle for candle in known.stored if contradiction.is_in(candle[0], known.final)}
    differing = [row for row in page.candles if row[0] in stored]
    nearest = differing[:WITNESSES] if page.query.newest_first else differing[-WITNESSES:]
    grid = page.query.timeframe
    # Keep one of the new rows, too: an independent answer counts if it also contains this row.
    settled = grid.closed_end(page.asked_at, settle)
    nearest += [row for row in page.candles if row[0] not in stored and known.floor <= row[0] < settled][-1:]
    doubts += [contradiction.changed(page, known, row, Range(row[0], grid.next(row[0]))) for row in nearest]
    return Verdict(
        counts=False, final=[], provisional=[], candles=[], changed=[], withdrawn=[], lost=[],
        unknown=[], distrusted=[], doubts=doubts, ended=[], unobtainable=[], served=[],
    )  # fmt: skip


def _unconfirmed(page: Page, known: Known, enclosed: list[Range]) -> list[Doubt]:
    """Return the doubt about a first page, which came when no candle was stored yet that could have confirmed it."""
    if known.has_witness or not enclosed:
        return []
    return [raised(page, Range(enclosed[0].start, enclosed[-1].end), "unconfirmed", known.doubts)]


def _confirmed(known: Known, *, is_witnessed: bool) -> list[Doubt]:
    """Return the doubts that are resolved by an answer that counts.

    These are the doubts about unwitnessed answers and about a first page. If the answer refutes that page, all doubts
    that came with the page are resolved too: the contradictions inside it, and the silences at its ends.
    """
    ended = [doubt for doubt in known.doubts if doubt.kind == "unwitnessed"]
    if not known.has_witness:
        return ended
    first = [doubt for doubt in known.doubts if doubt.kind == "unconfirmed"]
    if is_witnessed:
        return [*ended, *first]
    about = [doubt for doubt in known.doubts if doubt.kind in {"changed", "absent"}]
    ended += [doubt for doubt in about if any(doubt.range.overlaps(one.range) for one in first)]
    return [*ended, *_of_first_page(known)]
