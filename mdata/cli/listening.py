"""Where `mdata serve` listens: an address and a port, or a socket file."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from mdata.errors import NotNowError, NotPermittedError

_BACKLOG = 1024  # visitors that come at one instant


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound and listens; raise an error in one sentence where that cannot be."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
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


def address(listening: socket.socket, host: str) -> str:
    """Return what to type into a browser."""
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


@contextmanager
def socket_file(path: Path) -> Iterator[socket.socket]:
    """Give a socket that listens on a file, which only its user (or the group of a shared folder) may open.

    What a server left behind that was killed is replaced; anything else is not touched.
    """
    _make_way(path)
    listening = socket.socket(socket.AF_UNIX)
    with listening:
        try:
            _bind(listening, path)
        except OSError as error:
            why = error.strerror or str(error)
            if isinstance(error, PermissionError):
                raise NotPermittedError(
                    f"cannot make {path}: {why}; check the owner and mode of its folder"
                ) from error
            raise typer.BadParameter(f"cannot listen on {path}: {why}", param_hint="--socket") from error
        identity = _identity(path)
        try:
            yield listening
        finally:
            with suppress(OSError):
                if _identity(path) == identity:
                    path.unlink()


def _bind(listening: socket.socket, path: Path) -> None:
    from mdata.files import shared_mode

    # Nobody else may open it at any instant; others may be let in afterwards.
    mask = os.umask(0o177)
    try:
        listening.bind(str(path))
    finally:
        os.umask(mask)
    path.chmod(shared_mode(path.parent))
    listening.listen(_BACKLOG)


def _make_way(path: Path) -> None:
    """Remove a socket file on which nobody listens any more."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise typer.BadParameter(f"{path} is there already, and is no socket", param_hint="--socket")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(str(path))
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    except TimeoutError:
        _refuse_a_second(path)
    except OSError as error:
        raise NotPermittedError(f"cannot use {path}: {error.strerror or error}") from error
    else:
        _refuse_a_second(path)


def _refuse_a_second(path: Path) -> None:
    raise NotNowError(
        f"somebody listens on {path}, perhaps another `mdata serve`: end that, or choose another --socket"
    )


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
