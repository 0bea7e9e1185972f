"""When each job runs and for how long at most, from the settings: pure, so that a table of tests can hold it."""

from dataclasses import dataclass

from mdata.config import Settings
from mdata.domain.cadence import Times, is_even, neighbours, times
from mdata.domain.pace import Pace
from mdata.domain.times import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS
from mdata.errors import ConfigurationError

# Jobs of one kind start at different minutes, and gaps are detected a little before they are repaired.
_OFFSETS = {
    "backfill": 4 * MINUTE_SECONDS,
    "update": 0,
    "detect-gaps": 9 * MINUTE_SECONDS,
    "repair": 12 * MINUTE_SECONDS,
    "stream": 0,
    "cleanup": 4 * HOUR_SECONDS + 20 * MINUTE_SECONDS,
    "recheck": 2 * HOUR_SECONDS + 40 * MINUTE_SECONDS,
    "status": 14 * MINUTE_SECONDS,
}
SCHEDULED = tuple(_OFFSETS)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One job's timer: a run each `cadence` s of at most `run_seconds` (None: the job ends itself).

    `switch` names the setting that decides whether it is enabled; the others always are.
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
        """Return for how many seconds a run may be put off, so that not all machines ask at the same instant."""
        return 0 if self.job == "stream" else min(90, self.cadence // 10)


def timetable(settings: Settings) -> list[Scheduled]:
    """Return every job's timer; raise ConfigurationError for what cannot be kept: a cadence, or the shared budget."""
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
        # Nothing runs by it then; its unit stays startable by hand.
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
        Scheduled("status", 15 * MINUTE_SECONDS, MINUTE_SECONDS),
    ]
    _refuse_more_than_the_budget(settings, found)
    return found


def warnings(settings: Settings) -> list[str]:
    """Return what is possible, but hardly meant: a sentence each."""
    minutes, limit = settings.backfill_interval_minutes, settings.status_max_lag_minutes
    if settings.ws_ingestion_enabled or settings.rest_update_enabled or minutes < limit:
        return []
    often = f"only backfill fetches candles, every {minutes} min"
    return [f"{often}, and the check fails beyond {limit} min (STATUS_MAX_LAG_MINUTES): it will fail before each run"]


def _most_of(cadence: int) -> int:
    """Return for how long a run may last: a run that ends at the next slot would begin again at once."""
    return cadence - max(30, cadence // 10)


def _uneven(name: str, count: int, unit: int) -> str:
    word = "seconds" if unit == 1 else "minutes"
    near = [str(one // unit) for one in neighbours(count * unit, unit) if one is not None]
    return (
        f"{name}={count} cannot be kept: runs {count} {word} apart do not come out even within a day; "
        f"the nearest that can: {' or '.join(near)}"
    )


def _refuse_more_than_the_budget(settings: Settings, found: list[Scheduled]) -> None:
    """Raise ConfigurationError when the jobs that ask once per series and run want more than there is.

    A run may begin with a burst, but over the day the average holds.
    """
    series, pace = len(settings.symbols) * len(settings.timeframes), settings.pace
    asking = [one for one in found if one.job in {"backfill", "update"} and one.is_enabled]
    delay, name = (
        pace.sustained,
        "RATE_LIMIT_DELAY" if pace.sustained == pace.delay else f"{pace.window.most} a minute at most",
    )
    share = sum(series * delay / one.cadence for one in asking)
    if share <= 1:
        for one in asking:
            _refuse_more_than_a_run(series, pace, one)
        return
    parts = " and ".join(f"{one.job} wants them every {one.cadence} s" for one in asking)
    last = asking[-1]
    rest = 1 - sum(series * delay / one.cadence for one in asking[:-1])
    fitting = _least_even(series * delay / rest, last) if rest > 0 else None
    advice = f"{last.job} every {fitting} would fit; or " if fitting else ""
    raise ConfigurationError(
        f"more than the rate budget gives: {series} series × {delay:.3g} s ({name}) = {series * delay:.4g} s "
        f"of requests, and {parts}: {share:.0%} of the time there is; {advice}keep fewer series"
    )


def _refuse_more_than_a_run(series: int, pace: Pace, one: Scheduled) -> None:
    """Raise ConfigurationError when one request for each series takes longer than one run may last."""
    seconds, most = pace.seconds(series, pace.burst), one.run_seconds or one.cadence
    if seconds > most:
        raise ConfigurationError(
            f"more than the rate budget gives: {series} series in one run of {one.job}, {pace.burst} at once "
            f"(RATE_LIMIT_BURST) and {series - pace.burst} × {pace.delay:g} s (RATE_LIMIT_DELAY) = {seconds:.4g} s, "
            f"and it may last {most} s; keep fewer series, or run it less often"
        )


def _least_even(seconds: float, one: Scheduled) -> str | None:
    """Return the shortest cadence of at least `seconds` that can be kept, with its unit."""
    unit, word = (1, "s") if one.job == "update" else (MINUTE_SECONDS, "min")
    least = max(1, -int(-seconds // unit))
    above = least * unit if is_even(least * unit) else neighbours(least * unit, unit)[1]
    return None if above is None else f"{above // unit} {word}"
