"""The home page: the result of `status`, as text and strips."""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from mdata import json_views, lookups
from mdata.clock import Clock
from mdata.config import Settings
from mdata.domain.coverage_bar import draw
from mdata.domain.times import human_duration
from mdata.exchange import registry
from mdata.health import Tolerance, complaints, notes
from mdata.jobs.status import SeriesState, with_next_runs
from mdata.web.listing import ORDERS, choose, read
from mdata.web.metadata import DATABASE
from mdata.web.parameters import Parameters
from mdata.web.series_page import address

# Cells of a strip: two pixels each on a small phone.
_WIDTH = 150
_INSTANT = re.compile(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d):[\d.]+Z")


def home(parameters: Parameters, settings: Settings, clock: Clock) -> dict[str, Any]:
    """Return the content of the home page; raise MdataError if the store is unreadable, ValueError for bad input."""
    wish = read(parameters)
    state = with_next_runs(lookups.find_status(settings, clock, silent=True))
    told = json_views.status(state, lookups.budget(settings, clock))
    database = told["database"]
    told_of = dict(zip((one.series.id for one in state.series), told["series"], strict=True))
    limits = Tolerance(settings.status_max_lag_minutes * 60, delay=settings.rate_limit_delay)
    listing = choose(state.series, wish)
    return {
        **told,
        "complaints": [_dated(one) for one in complaints(state, limits)],
        "notes": [_dated(one) for one in notes(state, limits)],
        "series": [_series(one, told_of[one.series.id]) for one in listing.shown],
        "listing": listing,
        "orders": {name: text for name, (text, _) in ORDERS.items()},
        "jobs": {command: _job(job) for command, job in told["jobs"].items()},
        "blocked_until": _minute(told["rate_limit"]["blocked_until"]),
        "megabytes": f"{(database['bytes'] + database['wal_bytes']) / 1e6:,.1f}",
    }


def _series(state: SeriesState, told: Mapping[str, Any]) -> dict[str, Any]:
    wanted = told["final"] + told["provisional"] + told["unknown"]
    name = {"symbol": told["symbol"], "timeframe": told["timeframe"]}
    written = registry.qualified(state.series.exchange, state.series.symbol)
    every = {"exchange": told["exchange"], **name, "_sort_desc": "open_time"}
    cells = draw(state.series.timeframe, state.counts.wanted, state.known, _WIDTH)
    return {
        **told,
        "answered": _percent(wanted - told["unknown"], wanted),
        "strip": [(cell.replace(" ", "-"), len(list(run))) for cell, run in groupby(cells)],
        "first_shown": _minute(told["first"]),
        "last_shown": _minute(told["last"]),
        "lag": human_duration(told["lag_seconds"]),
        "symbol": written,
        "page": address(written, told["timeframe"]),
        "latest": f"/{DATABASE}/latest?{urlencode(name)}",
        "every": f"/{DATABASE}/ohlcv?{urlencode(every)}",
    }


def _job(told: Mapping[str, Any]) -> dict[str, Any]:
    return {**told, "began": _minute(told["last_started_at"]), "next": _minute(told["next_run_at"])}


def _percent(part: int, whole: int) -> str:
    """Format a percentage that is 100 only if complete, and 0 only if empty."""
    if not whole or part == whole:
        return "100" if whole else "–"
    return f"{min(99.99, max(0.01, 100 * part / whole)):.2f}" if part else "0"


def _dated(sentence: str) -> str:
    """Return a sentence with its times in the usual form."""
    return _INSTANT.sub(r"\1 \2 UTC", sentence)


def _minute(iso: str | None) -> str | None:
    """Return an ISO time in the usual form, to the minute."""
    return iso and iso[:16].replace("T", " ")
