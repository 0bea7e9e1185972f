"""`/health`, `/status`, `/gaps` and `/jobs`: from query parameters to the JSON that the commands print with `--json`.

Of HTTP, this module knows only the status codes; each parameter means the same as the option of that name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mdata import json_views, lookups
from mdata.clock import Clock
from mdata.config import Settings, values
from mdata.domain.gaps import STATUSES
from mdata.domain.times import parse_duration, parse_instant
from mdata.errors import MdataError
from mdata.exit_codes import USAGE
from mdata.health import Tolerance, complaints
from mdata.jobs.status import with_next_runs
from mdata.running.commands import JOBS, RUN_OUTCOMES
from mdata.running.result import envelope
from mdata.web.parameters import Parameters, every, one, one_of, refuse_others


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP status, and the object that the command prints."""

    status: int
    body: dict[str, Any]


def answer(path: str, parameters: Parameters, settings: Settings, clock: Clock) -> Response:
    """Return the response for `path`, one of PATHS."""
    command = "status" if path == "/health" else path.removeprefix("/")
    allowed, read = PATHS[path]
    try:
        refuse_others(parameters, allowed)
        found = read(parameters, settings, clock)
    except ValueError as error:
        return Response(400, envelope(command, USAGE, str(error), {}))
    except MdataError as error:
        return Response(503, envelope(command, error.exit_code, str(error), {}))
    return Response(503 if found.exit else 200, envelope(command, found.exit, found.reason, found.data))


@dataclass(frozen=True, slots=True)
class _Found:
    data: dict[str, Any]
    exit: int = 0
    reason: str | None = None


def _health(parameters: Parameters, settings: Settings, clock: Clock) -> _Found:
    limit = one(parameters, "max_lag", parse_duration)
    most_gaps = one(parameters, "max_gaps", values.whole(0, 10**9)) or 0
    settings = _narrowed(parameters, settings)
    state = lookups.find_status(settings, clock, narrowed=_is_narrowed(parameters))
    most_lag = settings.status_max_lag_minutes * 60 if limit is None else limit
    complete = one(parameters, "complete", values.truth) or False
    limits = Tolerance(most_lag, most_gaps, complete=complete, delay=settings.rate_limit_delay)
    found = complaints(state, limits)
    data = json_views.status(state, lookups.budget(settings, clock), limits)
    return _Found(data, 3, "; ".join(found)) if found else _Found(data)


def _status(parameters: Parameters, settings: Settings, clock: Clock) -> _Found:
    settings = _narrowed(parameters, settings)
    state = with_next_runs(lookups.find_status(settings, clock, narrowed=_is_narrowed(parameters)))
    return _Found(json_views.status(state, lookups.budget(settings, clock)))


def _gaps(parameters: Parameters, settings: Settings, clock: Clock) -> _Found:
    status = one(parameters, "status", one_of(STATUSES))
    symbols = [one for found in every(parameters, "symbol", values.symbols) for one in found]
    timeframes = [one.name for found in every(parameters, "timeframe", values.timeframes) for one in found]
    limit = one(parameters, "limit", values.whole(1, 10**9))
    found = lookups.find_gaps(settings, status, symbols, timeframes, _since(parameters, clock), limit)
    return _Found({"gaps": found or []})


def _jobs(parameters: Parameters, settings: Settings, clock: Clock) -> _Found:
    command = one(parameters, "command", one_of(JOBS))
    outcome = one(parameters, "outcome", one_of(RUN_OUTCOMES))
    limit = one(parameters, "limit", values.whole(1, 10**9)) or 50
    found = lookups.find_jobs(settings, command, _since(parameters, clock), limit, outcome)
    return _Found({"jobs": found or []})


_SERIES = ("symbol", "timeframe")
PATHS: dict[str, tuple[tuple[str, ...], Callable[[Parameters, Settings, Clock], _Found]]] = {
    "/health": ((*_SERIES, "max_lag", "max_gaps", "complete"), _health),
    "/status": (_SERIES, _status),
    "/gaps": ((*_SERIES, "status", "since", "limit"), _gaps),
    "/jobs": (("command", "outcome", "since", "limit"), _jobs),
}


def _since(parameters: Parameters, clock: Clock) -> int | None:
    instant: int | None = one(parameters, "since", lambda text: parse_instant(text, clock.now()))
    return instant


def _is_narrowed(parameters: Parameters) -> bool:
    return any(parameters.get(name) for name in _SERIES)


def _narrowed(parameters: Parameters, settings: Settings) -> Settings:
    """Return the settings with the requested series instead of the configured ones."""
    symbols = tuple(one for found in every(parameters, "symbol", values.symbols) for one in found)
    grids = tuple(one for found in every(parameters, "timeframe", values.timeframes) for one in found)
    return settings._replace(symbols=symbols or settings.symbols, timeframes=grids or settings.timeframes)
