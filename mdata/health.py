"""Whether a store is healthy according to its ledger, and notes that do not make it unhealthy."""

from typing import NamedTuple

from mdata.domain import next_attempt
from mdata.domain.estimate import estimate
from mdata.domain.interval import Range
from mdata.domain.times import human_duration, iso
from mdata.jobs.status import SeriesState, Status, named, with_advice
from mdata.store import gap_counts


class Tolerance(NamedTuple):
    """Limits of a healthy store: at most `max_lag` seconds of lag, and `max_gaps` gaps.

    With `complete`, nothing may be missing, not even what `backfill` has not fetched yet. `delay` is the average
    number of seconds per request, from which the duration of a backfill is estimated.
    """

    max_lag: int
    max_gaps: int = 0
    complete: bool = False
    delay: float = 0.0


class Complaint(NamedTuple):
    """Why a store is not healthy, and what to do about it; doing this can help from `not_before` (ms UTC) on."""

    text: str
    not_before: int = 0


def complaints(state: Status, limits: Tolerance) -> list[str]:
    """Return sentences that say why the store is not healthy, what to do and when; none if it is healthy."""
    judged = [one for one in state.series if not one.is_retired]
    found = [
        *_without_data(state, judged),
        *_stale(judged, limits),
        *_holes(state, judged, limits),
        *_withdrawn(judged),
        *_early(judged),
        *(_incomplete(judged) if limits.complete else []),
    ]
    if not found:
        return []
    instant = max(min(one.not_before for one in found), state.blocked_until or 0)
    return [*(one.text for one in found), next_attempt.at(instant, state.now)]


def notes(state: Status, limits: Tolerance) -> list[str]:
    """Return notes about a healthy store: a backlog, long silences, intervals that are no longer obtainable."""
    judged = [one for one in state.series if not one.is_retired]
    found = [*_backlog(judged, limits)]
    for one in judged:
        if one.is_delisted:
            last = "" if one.counts.last is None else f" since {iso(one.counts.last)}"
            found.append(f"the exchange serves no candles of {one.series.name}{last}")
        elif one.counts.unobtainable:
            found.append(f"{one.counts.unobtainable:,} intervals of {one.series.name} are no longer obtainable")
        elif one.counts.silent_since is not None and not one.is_quiet:
            silent = human_duration((state.now - one.counts.silent_since) / 1000)
            found.append(f"{one.series.name} has had no candle for {silent}")
    return found


def sentence(state: Status, limits: Tolerance) -> str:
    """Return one line: `healthy` with notes, or why the store is not healthy."""
    return "; ".join(complaints(state, limits)) or "; ".join(["healthy", *notes(state, limits)])


def _without_data(state: Status, judged: list[SeriesState]) -> list[Complaint]:
    missing = [
        *(one.name for one in state.absent),
        *(one.series.name for one in judged if one.has_no_data and not one.is_quiet),
    ]
    if not missing:
        return []
    text = f"{named(missing)} {'has' if len(missing) == 1 else 'have'} no data"
    return [Complaint(f"{text}{with_advice(state)}")]


def _stale(judged: list[SeriesState], limits: Tolerance) -> list[Complaint]:
    stale = sorted((one for one in judged if one.is_stale(limits.max_lag)), key=lambda one: -one.lag_seconds)
    if not stale:
        return []
    names = named([one.series.name for one in stale])
    lag, limit = human_duration(stale[0].lag_seconds), human_duration(limits.max_lag)
    behind = f"lags by {lag}" if len(stale) == 1 else f"lag by up to {lag}"
    return [Complaint(f"{names} {behind} (limit {limit}): run `mdata update`")]


def _holes(state: Status, judged: list[SeriesState], limits: Tolerance) -> list[Complaint]:
    """Report gaps in the ledger, whether or not `detect-gaps` has listed them yet."""
    before = state.now - limits.max_lag * 1000
    count = sum(_counts_as_gap(one, hole, before) for one in judged for hole in one.counts.holes)
    if count <= limits.max_gaps:
        return []
    gaps = gap_counts.together(one.gaps for one in judged)
    text = f"{count} {'gap is' if count == 1 else 'gaps are'} open"
    if gaps.failed:
        text += f", {gaps.failed} of them given up"
    command = "mdata repair" if gaps.open else ("mdata repair --retry-failed" if gaps.failed else "mdata detect-gaps")
    return [Complaint(f"{text} (limit {limits.max_gaps}): run `{command}`", gaps.next_attempt_at or 0)]


def _counts_as_gap(one: SeriesState, hole: Range, before: int) -> bool:
    """Whether a hole counts as a gap: its first interval was over at `before` (ms UTC), or it has a lost candle."""
    is_old = one.series.timeframe.next(hole.start) <= before
    return is_old or any(hole.start <= time < hole.end for time in one.known.lost)


def _withdrawn(judged: list[SeriesState]) -> list[Complaint]:
    withdrawn = [one for one in judged if one.counts.withdrawn]
    if not withdrawn:
        return []
    count = sum(one.counts.withdrawn for one in withdrawn)
    names = named([one.series.name for one in withdrawn])
    advice = "run `mdata backfill`, `mdata detect-gaps` and `mdata repair`"
    return [Complaint(f"`mdata verify` has marked {count:,} intervals of {names} as unknown: {advice}")]


def _early(judged: list[SeriesState]) -> list[Complaint]:
    early = [one for one in judged if one.counts.early and not one.is_delisted]
    if not early:
        return []
    count = sum(one.counts.early for one in early)
    names = named([one.series.name for one in early])
    return [
        Complaint(f"{count:,} candles of {names} have been provisional for more than a day: run `mdata backfill`")
    ]


def _incomplete(judged: list[SeriesState]) -> list[Complaint]:
    """Report series with unobtainable intervals, or with a backlog that is older than the newest answer."""
    found = []
    for one in judged:
        missing = one.counts.backlog - one.counts.newer + one.counts.unobtainable
        if (missing > 0 and not (one.is_quiet and one.has_no_data)) or not one.is_confirmed:
            found.append(one.series.name)
    if not found:
        return []
    return [Complaint(f"{named(found)} {'is' if len(found) == 1 else 'are'} not complete: run `mdata backfill`")]


def _backlog(judged: list[SeriesState], limits: Tolerance) -> list[str]:
    """Say how much of a backfill is done, and how long the rest takes at most."""
    left = [(one.counts.backlog - one.counts.newer, one.series.venue.page_rows) for one in judged]
    wanted = sum(one.series.timeframe.count(*one.counts.wanted) for one in judged)
    missing = sum(count for count, _ in left)
    if not missing or not wanted:
        return []
    seconds = sum(estimate(count, limits.delay, rows).seconds for count, rows in left if count)
    share = min(99, 100 * (wanted - missing) // wanted)
    return [f"backfill {share} % done, about {human_duration(seconds)} left"]
