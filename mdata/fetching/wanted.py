"""What the settings ask for: which series, and from which start."""

from typing import NamedTuple

from mdata.config import Settings
from mdata.domain.estimate import Estimate
from mdata.domain.series import Series, days_before, name_of
from mdata.domain.timeframe import DAY, Timeframe
from mdata.domain.times import iso
from mdata.domain.venue import Venue
from mdata.errors import ConfigurationError
from mdata.exchange import registry
from mdata.store import series as table
from mdata.store.engine import Store


class Target(NamedTuple):
    """A series that the settings name, whether or not the store has it yet."""

    venue: Venue
    symbol: str
    timeframe: Timeframe

    @property
    def name(self) -> str:
        """How the series is called in messages."""
        return name_of(*self)

    @property
    def as_written(self) -> str:
        """How settings and options name it: without the exchange's name for the home exchange."""
        return f"{registry.qualified(self.venue.name, self.symbol)} {self.timeframe.name}"


class Planned(NamedTuple):
    """What a run would do for one series: how many intervals are unknown, and what requesting them costs."""

    target: Target
    intervals: int
    estimate: Estimate


def targets(settings: Settings) -> list[Target]:
    """Return the series that the settings name."""
    named = [registry.resolve(name) for name in settings.symbols]
    return [Target(*one, timeframe) for one in named for timeframe in settings.timeframes]


def target_of(series: Series) -> Target:
    """Return a stored series as the settings would name it."""
    return Target(series.venue, series.symbol, series.timeframe)


def find(store: Store, target: Target) -> Series | None:
    """Return the stored series of a target."""
    return table.find(store.connection, *target)


def stored(store: Store, settings: Settings) -> list[Series]:
    """Return those series of the settings that are stored."""
    return [series for target in targets(settings) if (series := find(store, target)) is not None]


def retention_days(settings: Settings, timeframe: Timeframe) -> int:
    """Return for how many days candles of a timeframe are kept; 0 means for ever."""
    return settings.retention_days_by_timeframe.get(timeframe.name, settings.retention_days)


def cut_off(settings: Settings, timeframe: Timeframe, now: int) -> int | None:
    """Return the open time (ms UTC) before which candles are not kept at `now`; None: all are kept.

    The newest closed interval is always kept, however short the retention.
    """
    days = retention_days(settings, timeframe)
    if not days:
        return None
    return min(days_before(timeframe, now, days), timeframe.previous(timeframe.closed_end(now)))


def start_asked(settings: Settings, venue: Venue, timeframe: Timeframe, now: int) -> int:
    """Return the wanted start of the settings at `now` (ms UTC), moved past what is no longer served or kept."""
    start = days_before(timeframe, now, settings.backfill_days)
    return max(start, cut_off(settings, timeframe, now) or start, venue.horizon(timeframe, now) or start)


def refuse_wrong_clock(clock: int, known: int) -> None:
    """Raise ConfigurationError if the local `clock` is more than a day behind an instant that has passed (ms UTC).

    A machine whose clock has no battery boots in 1970. The wanted start would be counted back from there, and since
    the wanted start never moves forward, everything from then on would be wanted for ever.
    """
    if known - clock > DAY:
        raise ConfigurationError(
            f"the local clock says {iso(clock)}, which is before {iso(known)}, a time that has already passed: set "
            "the clock, then run this again"
        )
