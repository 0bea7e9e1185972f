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

_BACKLOG = 1024  # connections that arrive at the same moment


def listen(host: str, port: int) -> socket.socket:
    """Return a bound, listening socket; raise an MdataError that says why not."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise NotNowError(
                f"port {port} on {host} is in use, perhaps by another `mdata serve`: stop that, or choose another "
                "--port"
            ) from error
        if error.errno == errno.EACCES:
            raise NotPermittedError(f"only root may use port {port}: choose a --port of 1024 or above") from error
        raise typer.BadParameter(
            f"cannot listen on {host}: {error.strerror}; use 127.0.0.1 for this machine only, 0.0.0.0 for all its "
            "interfaces",
            param_hint="--host",
        ) from error


def address(listening: socket.socket, host: str) -> str:
    """Return the URL to open in a browser."""
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


@contextmanager
def socket_file(path: Path) -> Iterator[socket.socket]:
    """Yield a socket that listens on a file that only its user (or the group of a shared folder) can open.

    A socket file left behind by a killed server is replaced; anything else is not touched.
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
                    f"cannot create {path}: {why}; check the owner and mode of its folder"
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

    # At first only this user may open it; the group may be admitted afterwards.
    mask = os.umask(0o177)
    try:
        listening.bind(str(path))
    finally:
        os.umask(mask)
    path.chmod(shared_mode(path.parent))
    listening.listen(_BACKLOG)


def _make_way(path: Path) -> None:
    """Remove a socket file on which no process listens any more."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise typer.BadParameter(f"{path} exists already and is not a socket", param_hint="--socket")
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
        f"another process listens on {path}, perhaps another `mdata serve`: stop that, or choose another --socket"
    )


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
