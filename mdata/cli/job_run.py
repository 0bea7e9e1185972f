"""Running a job from the terminal: store, lock, budget, exchange, progress, and output."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from mdata import __version__, config, waiting
from mdata.cli.closing import ending
from mdata.cli.entry import Answer, Kit, Options, closing_line, conduct, duration, job_answer
from mdata.domain.venue import Venue
from mdata.exchange import registry
from mdata.locks import command_lock
from mdata.mounts import refuse_remote
from mdata.running.context import Context, Limits, Progress
from mdata.running.result import JobResult
from mdata.store.jobs import Origin
from mdata.store.opening import open_store

if TYPE_CHECKING:
    from mdata.exchange.protocols import Exchange
    from mdata.ratelimit import RateLimit

# A write-ahead log of this size is emptied after a run, so that readers and backups find all data in the file.
_LARGE_LOG = 4 * 1024 * 1024


def limits_of(max_runtime: str | None, max_requests: int | None) -> Limits:
    """Return the limits that the options set for a run."""
    return Limits(None if max_runtime is None else duration(max_runtime, "--max-runtime"), max_requests)


class More(NamedTuple):
    """What a job reports besides its counters: words for its last line, fields for JSON, something to display."""

    words: str = ""
    data: Mapping[str, Any] = MappingProxyType({})
    show: Callable[[], None] = lambda: None


def run_job(
    command: str, options: Options, limits: Limits, wait_lock: str, work: Callable[[Context], JobResult]
) -> NoReturn:
    """Run one job under its command's lock, and exit with its code."""
    run_job_with_more(command, options, limits, wait_lock, lambda context: (work(context), More()))


def run_job_with_more(
    command: str,
    options: Options,
    limits: Limits,
    wait_lock: str,
    work: Callable[[Context], tuple[JobResult, More]],
    look: Callable[[Kit], None] = lambda _: None,
) -> NoReturn:
    """Run a job that reports more than its counters; `look` may stop it before anything is opened."""
    patience = duration(wait_lock, "--wait-lock")

    def act(kit: Kit) -> Answer:
        look(kit)
        database = kit.loaded.settings.database_path
        lasting = limits._replace(since=kit.clock.boottime())
        if limits.max_runtime is not None:
            waiting.bound(kit.clock.real(limits.max_runtime))
        lock = command_lock(database, command, patience, kit.clock)
        with lock, context(kit, lasting) as given:
            result, more = work(given)
            line = ending(kit, given.store, result, more.words)
        closing_line(kit.log, result.exit, line)
        return job_answer(result, more.data, more.show)

    conduct(command, options, act, is_job=True)


@contextmanager
def context(kit: Kit, limits: Limits, *, shows_progress: bool = True) -> Iterator[Context]:
    """Open everything that a job uses, and close it again."""
    settings = kit.loaded.settings
    refuse_remote(settings.database_path, "DATABASE_PATH")
    refuse_remote(settings.rate_limit_state_path, "RATE_LIMIT_STATE_PATH")

    @cache
    def exchange(venue: Venue) -> "Exchange":
        return registry.adapter(venue).open_rest(settings.rest_url(venue), kit.clock, kit.log.warning)

    @cache
    def budget(venue: Venue) -> "RateLimit":
        return rate_limit(kit, venue)

    # Commands typed in a terminal that systemd started inherit its invocation id, so the id only counts if stderr is
    # the journal.
    run_id = config.invocation_id() if config.is_journal(sys.stderr) else None
    origin = Origin(os.getpid(), os.uname().nodename, kit.clock.boot_id(), run_id, __version__)
    with open_store(settings.database_path, kit.log.warning) as store, progress(wanted=shows_progress) as report:
        yield Context(settings, kit.clock, store, budget, exchange, kit.log, origin, limits, report)
        store.checkpoint(over=_LARGE_LOG)


def rate_limit(kit: Kit, venue: Venue) -> "RateLimit":
    """Return the shared rate budget of an exchange that the settings name."""
    from mdata.chance import uniform
    from mdata.ratelimit import RateLimit

    settings = kit.loaded.settings
    return RateLimit(
        settings.rate_state(venue),
        settings.rate_limit_delay,
        settings.rate_limit_min_backoff_seconds,
        kit.clock,
        uniform,
        settings.rate_limit_burst,
        venue,
    )


@contextmanager
def progress(*, wanted: bool = True) -> Iterator[Callable[[Progress], None]]:
    """Show a progress bar on a terminal, and nothing elsewhere."""
    if not (wanted and sys.stderr.isatty() and config.wants_colour()):
        yield lambda _: None
        return
    from mdata.live_display import progress_bar

    with progress_bar() as report:
        yield report
