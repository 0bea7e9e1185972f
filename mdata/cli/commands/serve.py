"""`mdata serve`."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct

if TYPE_CHECKING:
    import socket

_HOST, _PORT = "127.0.0.1", 8001
_SHORTEST_TOKEN, _LONGEST_TOKEN = 16, 512


class ListenAddress(NamedTuple):
    """Where to listen: on a socket file, or else on an address and a port."""

    host: str
    port: int
    socket: Path | None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        from mdata.config.values import is_loopback

        return self.socket is None and is_loopback(self.host)

    def whom(self, token: str | None) -> str:
        """Say who can read the store at this address."""
        if token is not None:
            return "everyone who has the token"
        if self.socket is not None:
            return f"everyone who may open {self.socket}"
        return "everyone on this machine" if self.is_loopback else f"everyone who can reach {self.host}"


def serve(
    env_file: common.EnvFile = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Listen on this address.")] = _HOST,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Listen on this port; 0 picks a free one.")
    ] = _PORT,
    socket: Annotated[
        Path | None,
        typer.Option(
            "--socket", metavar="FILE", help="Listen on this UNIX socket instead of a port.", show_default=False
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also answer requests for this host name; repeatable.", show_default=False),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Answer only requests that send the token in this file.", show_default=False
        ),
    ] = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Serve the store over HTTP, read-only.

    Programs use /health, /status, /gaps and /jobs. Browsers get charts, tables and queries, to view and to download.
    """
    if socket is not None and (host, port) != (_HOST, _PORT):
        raise typer.BadParameter("it replaces --host and --port: leave them out", param_hint="--socket")
    given, place = Options(env_file, quiet=quiet, verbose=verbose), ListenAddress(host, port, socket)

    def act(kit: Kit) -> Answer:
        from mdata.store.reading import kept

        with kept():
            return _serve(kit, place, allow_host or [], token_file)

    conduct("serve", given, act)


def _serve(kit: Kit, place: ListenAddress, names: list[str], token_file: Path | None) -> Answer:
    from mdata.config.systemd import notify_socket
    from mdata.errors import Stopped
    from mdata.service_manager import Notifier

    _want_server()
    from mdata.web.guard import Access
    from mdata.web.server import Site
    from mdata.web.server import serve as run

    token = _token(token_file)
    _look(kit)
    database, notify = kit.loaded.settings.database_path, Notifier(notify_socket())
    with _listening(place) as (listening, address):

        def ready() -> None:
            sys.stdout.write(f"{address}\n")
            sys.stdout.flush()
            kit.log.info(f"serving {database}, read-only, to {place.whom(token)}, until Ctrl-C")
            notify("READY=1", f"STATUS=serving {address}")

        if token is None and place.socket is None and not place.is_loopback:
            kit.log.warning(
                f"everyone who can reach {place.host} can read the whole store and run queries on it; put a "
                "reverse proxy with a password in front, use --token-file, or leave --host out"
            )
        # Host names are checked if any were given, and always on a loopback address (see `Access`).
        known = frozenset(name.lower() for name in names) if names or place.is_loopback else None
        try:
            # The server replaces `sys.stderr`, and passes on to the log what libraries write there. The log keeps the
            # present one, because it would otherwise write to itself.
            log = kit.log.to(sys.stderr)
            run(Site(listening, Access(known, token), ready), kit.loaded.settings, kit.clock, log)
        except Stopped:
            notify("STOPPING=1")
            kit.log.info("the server has stopped")
            raise
    return Answer()


@contextmanager
def _listening(place: ListenAddress) -> "Iterator[tuple[socket.socket, str]]":
    """Yield a listening socket for a place, and the address to print."""
    from mdata.cli.listening import address, listen, socket_file

    if place.socket is not None:
        with socket_file(place.socket) as listening:
            yield listening, f"unix:{place.socket}"
    else:
        with listen(place.host, place.port) as listening:
            yield listening, address(listening, place.host)


def _want_server() -> None:
    """Raise ConfigurationError if the extra with the server is not installed."""
    from mdata import extras
    from mdata.errors import ConfigurationError

    try:
        import mdata.web.server  # noqa: F401 - whether it is there
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("mdata"):
            raise
        raise ConfigurationError(
            f"`mdata serve` needs Datasette, which is not installed here ({error.name} is missing): run "
            f"`{extras.install(extras.DATASETTE)}`"
        ) from error


def _look(kit: Kit) -> None:
    """Reject a store that cannot be read; a store that does not exist yet is accepted, and served once it exists."""
    from mdata.store.opening import open_for_reading

    path = kit.loaded.settings.database_path
    store = open_for_reading(path, kit.log.info)
    if store is None:
        kit.log.warning(f"there is no store at {path} yet; it is served as soon as `mdata backfill` has created it")
    else:
        store.close()


def _token(file: Path | None) -> str | None:
    """Return the token from a file that only its owner can read; raise an MdataError that says what is wrong."""
    from mdata.errors import ConfigurationError

    if file is None:
        return None
    try:
        if file.stat().st_mode & 0o007:
            raise ConfigurationError(f"everyone on this machine can read --token-file {file}: run `chmod 600 {file}`")
        with file.open("rb") as stream:
            token = stream.read(_LONGEST_TOKEN + 2).decode("ascii", "replace").strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read --token-file {file}: {error.strerror}") from error
    if not _SHORTEST_TOKEN <= len(token) <= _LONGEST_TOKEN or not re.fullmatch(r"[!-~]+", token):
        raise ConfigurationError(
            f"--token-file {file} must contain one word of {_SHORTEST_TOKEN} to {_LONGEST_TOKEN} letters, digits and "
            "punctuation; `openssl rand -hex 32` makes one"
        )
    return token
