"""The home page: from what `status --check --json` tells to the words and shares that the page shows."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from mdata.domain.moment import human_duration
from mdata.web.metadata import DATABASE


def home(health: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the home page shows of a health answer; without `series` where the store cannot be read."""
    shown = {"healthy": health["exit"] == 0, "reason": health["reason"], "is_read": "series" in health}
    if not shown["is_read"]:
        return shown
    return {
        **shown,
        "series": [_series(one) for one in health["series"]],
        "absent": health["absent"],
        "gaps": health["gaps"],
        "jobs": {
            command: {**job, "began": _minute(job["last_started_at"])} for command, job in health["jobs"].items()
        },
        "rate": health["rate_limit"],
        "file": health["database"],
        "megabytes": f"{(health['database']['bytes'] + health['database']['wal_bytes']) / 1e6:,.1f}",
    }


def _series(one: Mapping[str, Any]) -> dict[str, Any]:
    wanted = one["final"] + one["provisional"] + one["unknown"]
    name = {"symbol": one["symbol"], "timeframe": one["timeframe"]}
    every = {"exchange": one["exchange"], **name, "_sort_desc": "open_time"}
    return {
        **one,
        "first_shown": _minute(one["first"]),
        "last_shown": _minute(one["last"]),
        "lag": human_duration(one["lag_seconds"]),
        "wanted": wanted,
        "shares": [
            (kind, 100 * count / wanted)
            for kind, count in (
                ("present", one["final"] - one["empty"]),
                ("empty", one["empty"]),
                ("provisional", one["provisional"]),
                ("unknown", one["unknown"]),
            )
            if wanted and count
        ],
        "answered": _percent(wanted - one["unknown"], wanted),
        "latest": f"/{DATABASE}/latest?{urlencode(name)}",
        "every": f"/{DATABASE}/ohlcv?{urlencode(every)}",
    }


def _percent(part: int, whole: int) -> str:
    """Return a share that says 100 only when it is all, and 0 only when it is nothing."""
    if not whole or part == whole:
        return "100" if whole else "–"
    return f"{min(99.99, max(0.01, 100 * part / whole)):.2f}" if part else "0"


def _minute(iso: str | None) -> str | None:
    """Return an ISO instant as a person writes it, to the minute."""
    return iso and iso[:16].replace("T", " ")
