"""`mdata serve`."""

import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdata.clock import Clock
    from mdata.config import Settings
    from mdata.jobs.context import Log
    from mdata.web.server import Site


def serve(
    env_file: common.EnvFile = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Listen on this address.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Listen on this port; 0 picks a free one.")
    ] = 8001,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Answer to this host name too; repeatable.", show_default=False),
    ] = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Serve the store over HTTP, read only.

    To programs: /health, /status, /gaps and /jobs. To browsers: tables and queries, to look at and to download.
    """
    given = Options(env_file, quiet=quiet, verbose=verbose)
    conduct("serve", given, lambda frame: _serve(frame, host, port, allow_host or []))


def _serve(frame: Frame, host: str, port: int, names: list[str]) -> Answer:
    from mdata.config.systemd import notify_socket
    from mdata.config.values import is_loopback
    from mdata.errors import Stopped
    from mdata.notify import Notifier

    site_of, run = _server()
    _look(frame)
    database, notify = frame.loaded.settings.database_path, Notifier(notify_socket())
    with _listen(host, port) as listening:
        address = _address(listening, host)

        def ready() -> None:
            sys.stdout.write(f"{address}\n")
            sys.stdout.flush()
            frame.log.info(f"serving {database}, read only, until Ctrl-C")
            notify("READY=1", f"STATUS=serving {address}")

        if not is_loopback(host):
            frame.log.warning(
                f"whoever reaches {host} can read everything in the store, and ask what they like of it; "
                "put a reverse proxy with a password in front, or leave --host out"
            )
        known = frozenset(name.lower() for name in names) if is_loopback(host) else None
        try:
            # What libraries write to stderr goes into the log as well: it must not go round in circles.
            run(site_of(listening, known, ready), frame.loaded.settings, frame.clock, frame.log.to(sys.stderr))
        except Stopped:
            notify("STOPPING=1")
            frame.log.info("the server has ended")
            raise
    return Answer()


def _server() -> "tuple[type[Site], Callable[[Site, Settings, Clock, Log], None]]":
    """Import the server; raise ConfigurationError where its extra is not installed."""
    from mdata.errors import ConfigurationError

    try:
        from mdata.web.server import Site, serve
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("mdata"):
            raise
        raise ConfigurationError(
            f"`mdata serve` needs Datasette, which is not installed here ({error.name} is missing): run "
            "`pip install 'mdata[web]'`, or in a checkout `make install`"
        ) from error
    return Site, serve


def _look(frame: Frame) -> None:
    """Refuse a store that cannot be read; one that is not there yet is waited for."""
    from mdata.store.engine import open_for_reading

    path = frame.loaded.settings.database_path
    store = open_for_reading(path)
    if store is None:
        frame.log.warning(f"nothing is stored in {path} yet; it is served once `mdata backfill` has run")
    else:
        store.close()


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound and listens; raise an error in one sentence where that cannot be."""
    import errno

    from mdata.errors import NotNowError, NotPermittedError

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise NotNowError(
                f"port {port} on {host} is in use, perhaps by another `mdata serve`: end that, or choose a --port"
            ) from error
        if error.errno == errno.EACCES:
            raise NotPermittedError(f"port {port} is for root only: choose a --port from 1024 on") from error
        raise typer.BadParameter(
            f"cannot listen on {host}: {error.strerror}; 127.0.0.1 is this machine, 0.0.0.0 every interface of it",
            param_hint="--host",
        ) from error


def _address(listening: socket.socket, host: str) -> str:
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
