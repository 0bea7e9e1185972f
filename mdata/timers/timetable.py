"""When each job runs and for how long at most, from the settings. Pure, for the sake of tests."""

from dataclasses import dataclass

from mdata.config import Settings
from mdata.domain.cadence import Times, is_even, neighbours, times
from mdata.domain.pace import Pace
from mdata.domain.times import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS
from mdata.errors import ConfigurationError

# The jobs start at different minutes, and gaps are detected shortly before they are repaired.
_OFFSETS = {
    "backfill": 4 * MINUTE_SECONDS,
    "update": 0,
    "detect-gaps": 9 * MINUTE_SECONDS,
    "repair": 12 * MINUTE_SECONDS,
    "stream": 0,
    "cleanup": 4 * HOUR_SECONDS + 20 * MINUTE_SECONDS,
    "recheck": 2 * HOUR_SECONDS + 40 * MINUTE_SECONDS,
    "publish": 5 * HOUR_SECONDS + 30 * MINUTE_SECONDS,
    "status": 14 * MINUTE_SECONDS,
}
SCHEDULED = tuple(_OFFSETS)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One job's timer: a run each `cadence` s of at most `run_seconds` (None: the job ends itself).

    `switch` is the setting that enables it; timers without a switch are always enabled.
    """

    job: str
    cadence: int
    run_seconds: int | None
    is_enabled: bool = True
    switch: str | None = None
    at_startup: bool = False

    @property
    def times(self) -> list[Times]:
        """Return the times of day at which it runs, UTC."""
        return times(self.cadence, _OFFSETS[self.job])

    @property
    def random_delay(self) -> int:
        """Return the largest random delay, s, so that not all machines contact the exchange at the same moment."""
        return 0 if self.job == "stream" else min(90, self.cadence // 10)


def timetable(settings: Settings) -> list[Scheduled]:
    """Return every job's timer; raise ConfigurationError if a cadence or the shared budget cannot be kept."""
    minutes = {
        "BACKFILL_INTERVAL_MINUTES": settings.backfill_interval_minutes,
        "GAP_DETECTION_INTERVAL_MINUTES": settings.gap_detection_interval_minutes,
        "GAP_REPAIR_INTERVAL_MINUTES": settings.gap_repair_interval_minutes,
    }
    faults = [
        _uneven(name, count, MINUTE_SECONDS) for name, count in minutes.items() if not is_even(count * MINUTE_SECONDS)
    ]
    update = settings.update_interval_seconds
    if not is_even(update):
        if settings.rest_update_enabled:
            faults.append(_uneven("UPDATE_INTERVAL_SECONDS", update, 1))
        # If REST_UPDATE_ENABLED is off, `update` has no timer, so this cadence is no fault. Its unit can still be
        # started by hand; its time limit is then computed from a cadence of one minute.
        update = MINUTE_SECONDS
    if faults:
        raise ConfigurationError("; ".join(faults) + "; change it in the env file and run this again")
    backfill, detection, repair = (count * MINUTE_SECONDS for count in minutes.values())
    has_retention = bool(settings.retention_days or any(settings.retention_days_by_timeframe.values()))
    found = [
        Scheduled("backfill", backfill, _most_of(backfill), at_startup=settings.backfill_on_startup),
        Scheduled("update", update, update * 4 // 5, settings.rest_update_enabled, "REST_UPDATE_ENABLED"),
        Scheduled("detect-gaps", detection, min(5 * MINUTE_SECONDS, _most_of(detection))),
        Scheduled("repair", repair, _most_of(repair)),
        Scheduled("stream", MINUTE_SECONDS, None, settings.ws_ingestion_enabled, "WS_INGESTION_ENABLED"),
        Scheduled("cleanup", DAY_SECONDS, 30 * MINUTE_SECONDS, has_retention, "RETENTION_DAYS"),
        Scheduled("recheck", DAY_SECONDS, HOUR_SECONDS, settings.recheck_days > 0, "RECHECK_DAYS"),
        Scheduled("publish", DAY_SECONDS, 2 * HOUR_SECONDS, settings.lake_url is not None, "LAKE_URL"),
        Scheduled("status", 15 * MINUTE_SECONDS, MINUTE_SECONDS),
    ]
    _refuse_more_than_the_budget(settings, found)
    return found


def warnings(settings: Settings) -> list[str]:
    """Return settings that are possible but probably unintended, one sentence each."""
    minutes, limit = settings.backfill_interval_minutes, settings.status_max_lag_minutes
    if settings.ws_ingestion_enabled or settings.rest_update_enabled or minutes < limit:
        return []
    often = f"only backfill fetches candles, every {minutes} min"
    check = f"the check fails after {limit} min of lag (STATUS_MAX_LAG_MINUTES)"
    return [f"{often}, but {check}: it will fail before each run"]


def _most_of(cadence: int) -> int:
    """Return how long (s) a run may last: less than the cadence, or it would start again at once."""
    return cadence - max(30, cadence // 10)


def _uneven(name: str, count: int, unit: int) -> str:
    word = "seconds" if unit == 1 else "minutes"
    near = [str(one // unit) for one in neighbours(count * unit, unit) if one is not None]
    return (
        f"{name}={count} is not possible: a day cannot be divided into intervals of {count} {word}; the nearest "
        f"possible: {' or '.join(near)}"
    )


def _refuse_more_than_the_budget(settings: Settings, found: list[Scheduled]) -> None:
    """Raise ConfigurationError if `backfill` and `update` together need more than the rate budget allows.

    Each of their runs sends one request per series. A run may start with a burst, but over a day the average counts.
    """
    series, pace = len(settings.symbols) * len(settings.timeframes), settings.pace
    asking = [one for one in found if one.job in {"backfill", "update"} and one.is_enabled]
    delay, name = (
        pace.sustained,
        "RATE_LIMIT_DELAY" if pace.sustained == pace.delay else f"at most {pace.window.most} per minute",
    )
    share = sum(series * delay / one.cadence for one in asking)
    if share <= 1:
        for one in asking:
            _refuse_more_than_a_run(series, pace, one)
        return
    parts = " and ".join(f"{one.job} needs them every {one.cadence} s" for one in asking)
    last = asking[-1]
    rest = 1 - sum(series * delay / one.cadence for one in asking[:-1])
    fitting = _least_even(series * delay / rest, last) if rest > 0 else None
    advice = f"{last.job} every {fitting} would fit; or " if fitting else ""
    raise ConfigurationError(
        f"this exceeds the rate budget: {series} series × {delay:.3g} s ({name}) = {series * delay:.4g} s of "
        f"requests, but {parts}: {share:.0%} of the available time; {advice}use fewer series"
    )


def _refuse_more_than_a_run(series: int, pace: Pace, one: Scheduled) -> None:
    """Raise ConfigurationError if one request per series takes longer than a run may last."""
    seconds, most = pace.seconds(series, pace.burst), one.run_seconds or one.cadence
    if seconds > most:
        raise ConfigurationError(
            f"this exceeds the rate budget: {series} series in one run of {one.job}, {pace.burst} at once "
            f"(RATE_LIMIT_BURST) and {series - pace.burst} × {pace.delay:g} s (RATE_LIMIT_DELAY) = {seconds:.4g} s, "
            f"but a run may only last {most} s; use fewer series, or run it less often"
        )


def _least_even(seconds: float, one: Scheduled) -> str | None:
    """Return the shortest possible cadence of at least `seconds`, with its unit."""
    unit, word = (1, "s") if one.job == "update" else (MINUTE_SECONDS, "min")
    least = max(1, -int(-seconds // unit))
    above = least * unit if is_even(least * unit) else neighbours(least * unit, unit)[1]
    return None if above is None else f"{above // unit} {word}"
