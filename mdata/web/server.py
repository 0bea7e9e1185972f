"""Datasette and uvicorn with our plugin, run until a signal."""

import contextlib
import io
import logging
import resource
import signal
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from datasette.app import Datasette
from datasette.plugins import pm

from mdata.clock import Clock
from mdata.config import Settings
from mdata.errors import Stopped
from mdata.running.context import JobLog
from mdata.web.connections import MOST, VisitorConnection
from mdata.web.database import StoreDatabase
from mdata.web.guard import Access
from mdata.web.metadata import DATABASE, metadata
from mdata.web.plugin import Plugin
from mdata.web.workers import Workers

# Open files besides the connections: the store in each thread, the pipes to the workers, the log.
_OTHER_FILES = 200
_FOLDER = Path(__file__).parent

# The most that a single request may cost; a facet that takes longer is left out of its page.
_LIMITS = {
    "sql_time_limit_ms": 1000,
    "max_returned_rows": 1000,
    "facet_time_limit_ms": 200,
    "suggest_facets": False,
    "allow_download": False,
    "max_csv_mb": 1000,
}


@dataclass(frozen=True, slots=True)
class Site:
    """The listening socket, which requests are answered, and what to call once the server is ready."""

    listening: socket.socket
    access: Access
    ready: Callable[[], None]

    @property
    def trusted(self) -> str:
        """Return which proxies may tell the visitor's address: those on this machine."""
        return "*" if self.listening.family == socket.AF_UNIX else "127.0.0.1,::1"


def serve(site: Site, settings: Settings, clock: Clock, log: JobLog) -> None:
    """Serve the store until a signal; requests under way are finished first."""
    VisitorConnection.most = _descriptors(MOST + _OTHER_FILES) - _OTHER_FILES
    # Datasette's own answer to an error prints tracebacks with the values of variables.
    pm.unregister(name="datasette.handle_exception")
    pm.register(Plugin(settings, clock, log, site.access), name="mdata")
    datasette = Datasette(
        metadata=metadata(),
        settings=_LIMITS,
        template_dir=str(_FOLDER / "templates"),
        static_mounts=[("-/mdata", str(_FOLDER / "static"))],
    )
    datasette.remove_database("_memory")
    workers = Workers(settings.database_path, log)
    datasette.add_database(StoreDatabase(datasette, settings.database_path, workers), name=DATABASE)
    server = SiteServer(
        uvicorn.Config(
            datasette.app(), http=VisitorConnection, ws="none", loop="asyncio", log_config=None, access_log=False,
            server_header=False, timeout_graceful_shutdown=5, forwarded_allow_ips=site.trusted,
        ),
        workers,
    )  # fmt: skip
    # Visitors get their errors as answers; the log is for errors of this server.
    warnings.simplefilter("ignore")
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # The socket already listens: a request that comes now waits, and is answered.
    site.ready()
    with contextlib.redirect_stderr(_Lines(log)):
        _run(server, site.listening)


def _descriptors(wanted: int) -> int:
    """Return how many files this process may open, at most `wanted`: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except OSError:  # a unit of systemd may forbid it
            return soft
    return most


class SiteServer(uvicorn.Server):
    """A server that starts and stops together with its workers."""

    def __init__(self, config: uvicorn.Config, workers: Workers) -> None:
        super().__init__(config)
        self._workers = workers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the workers, and start to answer."""
        await self._workers.start()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests under way, and stop the workers."""
        await super().shutdown(sockets)
        await self._workers.end()


def _run(server: uvicorn.Server, listening: socket.socket) -> None:
    """Run until a signal, and raise Stopped for it when the server has stopped.

    uvicorn itself would send the signal again, and a second signal ends the process at once.
    """
    caught = []

    def end(number: int, _: FrameType | None) -> None:
        caught.append(number)
        server.should_exit = True

    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    before = {number: signal.signal(number, end) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise Stopped(caught[0])


class _Lines(io.TextIOBase):
    """A stream whose lines go to the log, which makes the text of visitors harmless."""

    def __init__(self, log: JobLog) -> None:
        self._log, self._begun = log, ""

    def write(self, text: str) -> int:
        """Take a piece of text; complete lines are logged."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._log.warning(line)
        return len(text)
