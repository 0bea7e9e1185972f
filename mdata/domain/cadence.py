"""Cadences as calendar times: which cadences a calendar can express, and the times of day for them.

systemd's calendar timers and cron (which has no seconds) name the times at which a job runs each day, or each Monday.
A cadence can be kept exactly if it divides a day, or if it is a week. Times are UTC, cadences and offsets in seconds.
"""

from dataclasses import dataclass

from mdata.domain.times import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS, WEEK_SECONDS


@dataclass(frozen=True, slots=True)
class Times:
    """Every combination of these hours, minutes and seconds, each day or only on Mondays."""

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    is_weekly: bool = False


def is_even(cadence: int) -> bool:
    """Whether calendar times can keep this cadence exactly, in a readable number of lines."""
    if cadence % MINUTE_SECONDS:
        return cadence > 0 and HOUR_SECONDS % cadence == 0
    return cadence == WEEK_SECONDS or (cadence > 0 and DAY_SECONDS % cadence == 0)


def neighbours(cadence: int, unit: int = 1) -> tuple[int | None, int | None]:
    """Return the nearest even cadences below and above this one, of those that are multiples of `unit` seconds."""
    even = [one for one in (*range(unit, DAY_SECONDS + 1, unit), WEEK_SECONDS) if is_even(one)]
    below, above = [one for one in even if one < cadence], [one for one in even if one > cadence]
    return (below[-1] if below else None), (above[0] if above else None)


def times(cadence: int, offset: int = 0) -> list[Times]:
    """Return the times of day of an even cadence, counted from `offset` seconds after midnight."""
    if cadence == WEEK_SECONDS:
        hours, rest = divmod(offset % DAY_SECONDS, HOUR_SECONDS)
        return [Times((hours,), (rest // MINUTE_SECONDS,), (rest % MINUTE_SECONDS,), is_weekly=True)]
    seconds_of: dict[tuple[int, int], list[int]] = {}
    for run in range(offset % cadence, DAY_SECONDS, cadence):
        seconds_of.setdefault((run // HOUR_SECONDS, run % HOUR_SECONDS // MINUTE_SECONDS), []).append(
            run % MINUTE_SECONDS
        )
    minutes_of: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for (hour, minute), seconds in seconds_of.items():
        minutes_of.setdefault((hour, tuple(seconds)), []).append(minute)
    hours_of: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for (hour, second), minutes in minutes_of.items():
        hours_of.setdefault((tuple(minutes), second), []).append(hour)
    return [Times(tuple(hours), minutes, seconds) for (minutes, seconds), hours in hours_of.items()]


def on_calendar(one: Times) -> str:
    """Return times as systemd's `OnCalendar=` reads them, in UTC because local time skips an hour each spring."""
    clock = f"{_systemd(one.hours, 24)}:{_systemd(one.minutes, 60)}:{_systemd(one.seconds, 60)}"
    return f"{'Mon ' if one.is_weekly else ''}*-*-* {clock} UTC"


def crontab_times(one: Times) -> str:
    """Return times as the first five fields of a crontab line; cron has no seconds, and keeps local time."""
    return f"{_cron(one.minutes, 60)} {_cron(one.hours, 24)} * * {'1' if one.is_weekly else '*'}"


def _systemd(values: tuple[int, ...], limit: int) -> str:
    step = _step(values, limit)
    if step == 1:
        return "*"
    return f"{values[0]:02}/{step}" if step else ",".join(f"{value:02}" for value in values)


def _cron(values: tuple[int, ...], limit: int) -> str:
    step = _step(values, limit)
    if step == 1:
        return "*"
    return f"{values[0]}-{limit - 1}/{step}" if step else ",".join(map(str, values))


def _step(values: tuple[int, ...], limit: int) -> int | None:
    """Return the step of values that are evenly spaced up to the limit; None for any others."""
    if len(values) < 2:
        return None
    step = values[1] - values[0]
    is_even_step = limit % step == 0 and values == tuple(range(values[0] % step, limit, step))
    return step if is_even_step else None
