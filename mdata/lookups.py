"""Lookups in the store for the read-only commands, in the terminal and over HTTP.

`told` is called with a message if the store had to be read in another way (see `mdata.store.reading`).
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from mdata import json_views
from mdata.chance import uniform
from mdata.clock import Clock
from mdata.config import Settings
from mdata.exchange import registry
from mdata.jobs.status import Status, collect
from mdata.ratelimit import BudgetView, RateLimit
from mdata.running.commands import JOBS
from mdata.store.engine import Store
from mdata.store.opening import Hear, open_for_reading, unheard


def find_status(
    settings: Settings, clock: Clock, told: Hear = unheard, *, narrowed: bool = False, silent: bool = False
) -> Status:
    """Return the status of the store, also if there is none; `narrowed` and `silent` are those of `collect`."""
    with _opened(settings.database_path, told) as store:
        state = collect(settings, store, clock.now(), narrowed=narrowed, silent=silent)
    rate = budget(settings, clock)
    warnings = (*state.warnings, *filter(None, [rate.problem]))
    return state._replace(blocked_until=rate.blocked_until, warnings=warnings)


def find_gaps(
    settings: Settings,
    status: str | None,
    symbols: list[str],
    timeframes: list[str],
    since: int | None,
    limit: int | None,
    told: Hear = unheard,
) -> list[dict[str, Any]] | None:
    """Return the newest rows of `gaps` that pass the filters (`since` in ms UTC); None if there is no store.

    `symbols` are pairs as the settings write them.
    """
    from mdata.store.gaps import listed

    with _opened(settings.database_path, told) as store:
        if store is None:
            return None
        with store.read() as connection:
            pairs = [(venue.name, symbol) for venue, symbol in map(registry.resolve, symbols)]
            return json_views.gaps(listed(connection, status, pairs, timeframes, since, limit))


def find_jobs(
    settings: Settings,
    command: str | None,
    since: int | None,
    limit: int,
    outcome: str | None = None,
    told: Hear = unheard,
) -> list[dict[str, Any]] | None:
    """Return the newest rows of `jobs` that pass the filters (`since` in ms UTC); None if there is no store."""
    from mdata.locks import holder
    from mdata.store.jobs import listed

    with _opened(settings.database_path, told) as store:
        if store is None:
            return None
        # Checked before the rows are read: if a run that is at work now ends in between, its row already has its
        # result.
        at_work = [name for name in JOBS if holder(store.path, name) is not None]
        with store.read() as connection:
            return json_views.jobs(listed(connection, command, since, limit, outcome, at_work))


@contextmanager
def _opened(path: Path, told: Hear) -> Iterator[Store | None]:
    with open_for_reading(path, told) or nullcontext() as store:
        yield store


def budget(settings: Settings, clock: Clock) -> BudgetView:
    """Return the current shared rate budget without locking or changing anything.

    Each exchange has its own budget: this is the budget of the exchange of the first symbol in the settings.
    """
    venue, _ = registry.resolve(settings.symbols[0])
    return RateLimit(
        settings.rate_state(venue),
        settings.rate_limit_delay,
        settings.rate_limit_min_backoff_seconds,
        clock,
        uniform,
        settings.rate_limit_burst,
        venue,
    ).peek()
