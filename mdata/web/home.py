"""The home page: what `status` tells, in the words and strips that the page shows."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from mdata import shapes
from mdata.clock import Clock
from mdata.config import Settings
from mdata.domain.moment import human_duration
from mdata.domain.strip import draw
from mdata.jobs.health import Limits, complaints, notes
from mdata.jobs.status import SeriesState, with_next_runs
from mdata.web.metadata import DATABASE

# Cells of a strip: two pixels each on a small phone.
_WIDTH = 150


def home(settings: Settings, clock: Clock) -> dict[str, Any]:
    """Return what the home page shows; raise MdataError where the store cannot be read."""
    state = with_next_runs(shapes.find_status(settings, clock, silent=True))
    told = shapes.status(state, shapes.budget(settings, clock))
    database = told["database"]
    limits = Limits(settings.status_max_lag_minutes * 60, delay=settings.rate_limit_delay)
    return {
        **told,
        "complaints": complaints(state, limits),
        "notes": notes(state, limits),
        "series": [_series(*pair) for pair in zip(state.series, told["series"], strict=True)],
        "jobs": {command: _job(job) for command, job in told["jobs"].items()},
        "megabytes": f"{(database['bytes'] + database['wal_bytes']) / 1e6:,.1f}",
    }


def _series(state: SeriesState, told: Mapping[str, Any]) -> dict[str, Any]:
    wanted = told["final"] + told["provisional"] + told["unknown"]
    name = {"symbol": told["symbol"], "timeframe": told["timeframe"]}
    every = {"exchange": told["exchange"], **name, "_sort_desc": "open_time"}
    cells = draw(state.series.timeframe, state.counts.wanted, state.known, _WIDTH)
    return {
        **told,
        "answered": _percent(wanted - told["unknown"], wanted),
        "strip": [(cell.replace(" ", "-"), len(list(run))) for cell, run in groupby(cells)],
        "first_shown": _minute(told["first"]),
        "last_shown": _minute(told["last"]),
        "lag": human_duration(told["lag_seconds"]),
        "latest": f"/{DATABASE}/latest?{urlencode(name)}",
        "every": f"/{DATABASE}/ohlcv?{urlencode(every)}",
    }


def _job(told: Mapping[str, Any]) -> dict[str, Any]:
    return {**told, "began": _minute(told["last_started_at"]), "next": _minute(told["next_run_at"])}


def _percent(part: int, whole: int) -> str:
    """Return a share that says 100 only when it is all, and 0 only when it is nothing."""
    if not whole or part == whole:
        return "100" if whole else "–"
    return f"{min(99.99, max(0.01, 100 * part / whole)):.2f}" if part else "0"


def _minute(iso: str | None) -> str | None:
    """Return an ISO instant as a person writes it, to the minute."""
    return iso and iso[:16].replace("T", " ")
