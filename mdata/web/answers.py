"""`/health`, `/status`, `/gaps` and `/jobs`: from query parameters to what the commands print with `--json`.

Knows no HTTP beyond the number of a status; a parameter means what the option of its name means.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdata import shapes
from mdata.clock import Clock
from mdata.config import Settings, values
from mdata.domain.gaps import STATUSES
from mdata.domain.moment import parse_duration, parse_instant
from mdata.domain.near import did_you_mean
from mdata.domain.quote import quote
from mdata.errors import USAGE, MdataError
from mdata.jobs import JOBS, RUN_OUTCOMES
from mdata.jobs.health import Limits, complaints
from mdata.jobs.result import envelope
from mdata.jobs.status import with_next_runs

Parameters = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status, and the object that the command prints."""

    status: int
    body: dict[str, Any]


def answer(path: str, parameters: Parameters, settings: Settings, clock: Clock) -> Answer:
    """Return what is served at `path`, one of PATHS."""
    command = "status" if path == "/health" else path.removeprefix("/")
    allowed, read = PATHS[path]
    try:
        _refuse_others(parameters, allowed)
        found = read(parameters, settings, clock)
    except ValueError as error:
        return Answer(400, envelope(command, USAGE, str(error), {}))
    except MdataError as error:
        return Answer(503, envelope(command, error.exit_code, str(error), {}))
    return Answer(503 if found.exit else 200, envelope(command, found.exit, found.reason, found.data))


@dataclass(frozen=True, slots=True)
class _Found:
    data: dict[str, Any]
    exit: int = 0
    reason: str | None = None


def _health(parameters: Parameters, settings: Settings, clock: Clock) -> _Found:
    limit = _one(parameters, "max_lag", parse_duration)
    most_gaps = _one(parameters, "max_gaps", values.whole(0, 10**9)) or 0
    settings = _narrowed(parameters, settings)
    state = shapes.find_status(settings, clock, narrowed=_is_narrowed(parameters))
    most_lag = settings.status_max_lag_minutes * 60 if limit is None else limit
    limits = Limits(most_lag, most_gaps, complete="complete" in parameters, delay=settings.rate_limit_delay)
    found = complaints(state, limits)
    data = shapes.status(state, shapes.budget(settings, clock), limits)
    return _Found(data, 3, "; ".join(found)) if found else _Found(data)


def _status(parameters: Parameters, settings: Settings, clock: Clock) -> _Found:
    settings = _narrowed(parameters, settings)
    state = with_next_runs(shapes.find_status(settings, clock, narrowed=_is_narrowed(parameters)))
    return _Found(shapes.status(state, shapes.budget(settings, clock)))


def _gaps(parameters: Parameters, settings: Settings, clock: Clock) -> _Found:
    status = _one(parameters, "status", _one_of(STATUSES))
    symbols = [one for found in _every(parameters, "symbol", values.symbols) for one in found]
    timeframes = [one.name for found in _every(parameters, "timeframe", values.timeframes) for one in found]
    limit = _one(parameters, "limit", values.whole(1, 10**9))
    found = shapes.find_gaps(settings, status, symbols, timeframes, _since(parameters, clock), limit)
    return _Found({"gaps": found or []})


def _jobs(parameters: Parameters, settings: Settings, clock: Clock) -> _Found:
    command = _one(parameters, "command", _one_of(JOBS))
    outcome = _one(parameters, "outcome", _one_of(RUN_OUTCOMES))
    limit = _one(parameters, "limit", values.whole(1, 10**9)) or 50
    found = shapes.find_jobs(settings, command, _since(parameters, clock), limit, outcome)
    return _Found({"jobs": found or []})


_SERIES = ("symbol", "timeframe")
PATHS: dict[str, tuple[tuple[str, ...], Callable[[Parameters, Settings, Clock], _Found]]] = {
    "/health": ((*_SERIES, "max_lag", "max_gaps"), _health),
    "/status": (_SERIES, _status),
    "/gaps": ((*_SERIES, "status", "since", "limit"), _gaps),
    "/jobs": (("command", "outcome", "since", "limit"), _jobs),
}


def _refuse_others(parameters: Parameters, allowed: tuple[str, ...]) -> None:
    for name in parameters:
        if name not in allowed:
            known = f"there are {', '.join(allowed)}{did_you_mean(name, allowed)}"
            raise ValueError(f"{quote(name)} is no parameter of this address; {known}")


def _every(parameters: Parameters, name: str, parse: Callable[[str], Any]) -> Iterator[Any]:
    for text in parameters.get(name, ()):
        try:
            yield parse(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _one(parameters: Parameters, name: str, parse: Callable[[str], Any]) -> Any:
    found = list(_every(parameters, name, parse))
    if len(found) > 1:
        raise ValueError(f"{name} may be given once only")
    return found[0] if found else None


def _since(parameters: Parameters, clock: Clock) -> int | None:
    instant: int | None = _one(parameters, "since", lambda text: parse_instant(text, clock.now()))
    return instant


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{quote(text)} is none of {', '.join(words)}{did_you_mean(text, words)}")
        return text

    return parse


def _is_narrowed(parameters: Parameters) -> bool:
    return any(parameters.get(name) for name in _SERIES)


def _narrowed(parameters: Parameters, settings: Settings) -> Settings:
    """Return the settings with the series that were asked for in the place of the configured ones."""
    symbols = tuple(one for found in _every(parameters, "symbol", values.symbols) for one in found)
    grids = tuple(one for found in _every(parameters, "timeframe", values.timeframes) for one in found)
    return settings._replace(symbols=symbols or settings.symbols, timeframes=grids or settings.timeframes)
