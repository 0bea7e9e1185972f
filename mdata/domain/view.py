"""A series as a chart shows it: in the finest buckets of which there are not too many, with verdicts."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from mdata.domain.interval import Range, clip, normal, subtract
from mdata.domain.timeframe import TIMEFRAMES, Timeframe

Verdict = Literal["lost", "unknown", "in doubt", "unobtainable", "provisional", "empty"]
# The worst first: if a bucket has two verdicts, the worse one is shown.
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

# Maximum number of buckets.
MOST = 5_000


class Stretch(NamedTuple):
    """A range (ms UTC) with any verdict other than "final candles"."""

    start: int
    end: int
    verdict: Verdict


class LedgerRanges(NamedTuple):
    """What the ledger says about a range of a series: normal lists of ranges, ms UTC.

    Two kinds of uncovered ranges are listed: `doubted` ranges, which only one answer has found silent, and
    `unobtainable` ranges, which the exchange no longer serves.
    """

    final: list[Range]
    provisional: list[Range]
    lost: list[Range]
    doubted: list[Range]
    unobtainable: list[Range]


def buckets(timeframe: Timeframe) -> list[Timeframe]:
    """Return the grids on which candles of `timeframe` can be shown, from fine to coarse."""
    if not timeframe.step:
        return [timeframe]
    return [one for one in TIMEFRAMES.values() if one.step >= timeframe.step]


def choose(timeframe: Timeframe, within: Range, most: int = MOST) -> Timeframe:
    """Return the finest grid with at most `most` buckets in a range, or the coarsest that there is."""
    grids = buckets(timeframe)
    return next((one for one in grids if count(one, within) <= most), grids[-1])


def count(bucket: Timeframe, within: Range) -> int:
    """Return how many buckets a range touches."""
    return bucket.count(within.start, bucket.ceil(within.end))


def aligned(bucket: Timeframe, within: Range) -> Range:
    """Return the range with its ends moved outwards to the grid."""
    return Range(bucket.floor(within.start), bucket.ceil(within.end))


def stretches(
    bucket: Timeframe, shown: Range, expected: Range, occupied: Sequence[int], ledger: LedgerRanges
) -> list[Stretch]:
    """Return the verdicts on the buckets of `shown`, ascending, except those that simply have final candles.

    `expected` is what should be known; `occupied` are the open times of the buckets that have a candle (ascending). A
    stretch is as wide as its buckets, so that even a single interval is visible in a chart of years; silence shows
    only if it fills a bucket.
    """
    covered = normal([*ledger.final, *ledger.provisional])
    uncovered = subtract(clip([expected], *shown), covered)
    explained = normal([*ledger.doubted, *ledger.unobtainable])
    taken = normal(Range(time, bucket.next(time)) for time in occupied)
    found: dict[Verdict, list[Range]] = {
        "lost": ledger.lost,
        "unknown": subtract(uncovered, explained),
        "in doubt": clip(subtract(ledger.doubted, covered), *shown),
        "unobtainable": clip(subtract(ledger.unobtainable, covered), *shown),
        "provisional": ledger.provisional,
    }
    drawn: list[Stretch] = []
    before: list[Range] = []
    for verdict, ranges in found.items():
        widened = normal(aligned(bucket, part) for part in clip(ranges, *shown))
        drawn += [Stretch(*part, verdict) for part in subtract(widened, before)]
        before = normal([*before, *widened])
    empty = subtract(subtract(clip(ledger.final, *shown), taken), before)
    return sorted([*drawn, *(Stretch(*part, "empty") for part in empty)])
