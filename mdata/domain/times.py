"""Instants and durations as people write and read them; inside mdata they are integers, ms UTC and seconds.

Every parser raises ValueError with a sentence that can be shown to the user.
"""

import re

from mdata.domain.escape import quote
from mdata.domain.timeframe import DAY, month_index, month_start

MINUTE_SECONDS, HOUR_SECONDS, DAY_SECONDS, WEEK_SECONDS = 60, 3600, 86_400, 604_800
_UNITS = {"s": 1, "m": MINUTE_SECONDS, "h": HOUR_SECONDS, "d": DAY_SECONDS}
_DURATION, _MILLISECONDS = r"([0-9]{1,9})([smhd]?)", r"[0-9]{12,13}"
# A century: nothing that mdata keeps is older, and no run lasts longer.
_LONGEST = 36_525 * DAY_SECONDS
_END_OF_TIME = month_start(10_000 * 12)


def parse_duration(text: str) -> int:
    """Return the seconds that `90s`, `10m`, `2h`, `1d` or a plain number of seconds stands for."""
    found = re.fullmatch(_DURATION, text)
    if not found:
        hint = (
            f"did you mean {text.lower()}?" if re.fullmatch(_DURATION, text.lower()) else "write 90s, 10m, 2h or 1d"
        )
        raise ValueError(f"{quote(text)} is not a duration; {hint}")
    seconds = int(found[1]) * _UNITS[found[2] or "s"]
    if seconds > _LONGEST:
        raise ValueError(f"{quote(text)} is more than a century; write 90s, 10m, 2h or 1d")
    return seconds


def parse_instant(text: str, now: int) -> int:
    """Return the instant, ms UTC, that `text` names; `-7d` counts back from `now` (ms UTC).

    It may be `2024`, `2024-03`, `2024-03-01`, an ISO 8601 date and time (UTC if no zone is given), a duration with a
    minus sign, or milliseconds since 1970.
    """
    if text.startswith("-") and text[-1] in _UNITS:
        instant = now - parse_duration(text[1:]) * 1000
    elif re.fullmatch(_MILLISECONDS, text):
        instant = int(text)
    else:
        instant = _calendar_instant(text)
    if not 0 <= instant < _END_OF_TIME:
        raise ValueError(f"{quote(text)} is before 1970 or after 9999; no exchange has candles of that time")
    return instant


def _calendar_instant(text: str) -> int:
    """Return the instant (ms UTC) of a year, a month, or an ISO 8601 date with or without a time."""
    from datetime import UTC, datetime, timedelta

    padding = {4: "-01-01", 7: "-01"}.get(len(text), "")
    try:
        moment = datetime.fromisoformat(text + padding)
    except ValueError:
        hint = "write 2024, 2024-03, 2024-03-01, 2024-03-01T12:30Z or -7d"
        if re.fullmatch(r"[0-9]{9,11}", text):
            hint = f"if these are seconds, write milliseconds: {text}000"
        raise ValueError(f"{quote(text)} is not a date or time; {hint}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def iso(instant: int) -> str:
    """Return an instant (ms UTC) as ISO 8601 with `Z`; milliseconds are only shown if there are any."""
    index = month_index(instant)
    year, month = divmod(index, 12)
    day, time = divmod(instant - month_start(index), DAY)
    seconds, milliseconds = divmod(time, 1000)
    fraction = f".{milliseconds:03}" if milliseconds else ""
    clock = f"{seconds // HOUR_SECONDS:02}:{seconds // MINUTE_SECONDS % 60:02}:{seconds % 60:02}"
    return f"{year:04}-{month + 1:02}-{day + 1:02}T{clock}{fraction}Z"


def human_duration(seconds: float) -> str:
    """Return a duration as its two largest units: `45 s`, `1 min 46 s`, `2 h 5 min`, `3 d 4 h`."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", DAY_SECONDS), ("h", HOUR_SECONDS), ("min", MINUTE_SECONDS), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"
