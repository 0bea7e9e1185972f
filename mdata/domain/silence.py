"""Long silences: when the exchange is asked again about a run of intervals without candles.

Around outages the exchange has been seen to fill in candles later (2021-06-30 and 2022-10-12: the daily
candle holds more volume than the hours downloaded before), so a long empty run is asked about again when it
is 1, 7 and 30 days old. What was already older when it was last asked about is believed for good.
"""

from itertools import pairwise

from mdata.domain.interval import Range
from mdata.domain.query import LONG_SILENCE
from mdata.domain.timeframe import DAY, Timeframe

RECHECK_AGES = (1 * DAY, 7 * DAY, 30 * DAY)


def recheck_at(run_end: int, asked_at: int) -> int | None:
    """Return when a run that ended at `run_end` and was last asked about at `asked_at` is due again (ms UTC)."""
    age = asked_at - run_end
    return next((run_end + threshold for threshold in RECHECK_AGES if threshold > age), None)


def long_runs(timeframe: Timeframe, within: Range, open_times: list[int]) -> list[Range]:
    """Return the stretches of `within` that hold 60 intervals or more and none of these (ascending) candles."""
    silent = timeframe.count(*within) - len(open_times)
    if silent < LONG_SILENCE:
        return []
    edges = [timeframe.previous(within.start), *open_times, within.end]
    runs = []
    for before, after in pairwise(edges):
        start = timeframe.next(before)
        if timeframe.count(start, after) >= LONG_SILENCE:
            runs.append(Range(start, after))
    return runs
