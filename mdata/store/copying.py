"""Whole copies of a database: made from one consistent read, synced, and moved into place atomically."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mdata.errors import ConfigurationError, NotPermittedError, StorageError
from mdata.store.connection import Connection, connect
from mdata.store.sqlite_errors import storage_errors

# Pages between two reports, and between two chances for a signal: about 50 ms.
_PAGES = 2_000
# How many bytes a copy leaves free for others.
_SPARE = 16 * 1024 * 1024

Report = Callable[[int, int], None]


@contextmanager
def temporary(target: Path) -> Iterator[Path]:
    """Yield the path of a new private file beside `target`; it is removed afterwards unless it was moved."""
    path = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with _explained(target):
            _remove(path)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        yield path
    finally:
        with suppress(OSError):
            _remove(path)


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal", ".write.lock"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def want_room(folder: Path, size: int) -> None:
    """Raise StorageError unless a file of `size` bytes fits into a folder."""
    with _explained(folder):
        free = shutil.disk_usage(folder).free
    if free < size + _SPARE:
        raise StorageError(
            f"{folder} has {free / 1e6:,.0f} MB free, but the copy needs {(size + _SPARE) / 1e6:,.0f} "
            "MB: free some space, or choose another disk"
        )


def copy(source: Connection, path: Path, report: Report) -> None:
    """Copy the database that `source` sees into the empty file at `path`, page by page.

    Inside a transaction of `source` that has read something, the copy is one consistent state, even while others
    write.
    """
    with storage_errors(path):
        target = connect(path, "rw")
        try:
            source.backup(target, pages=_PAGES, progress=lambda _, left, total: report(total - left, total))
        finally:
            target.close()


def sync(path: Path) -> None:
    """Sync the file or folder at `path` to disk; must not be used on a database that is open."""
    with _explained(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def place(path: Path, target: Path, *, over: bool) -> None:
    """Move a file to its name; raise ConfigurationError if that exists, unless it is to be replaced (`over`)."""
    with _explained(target):
        if over:
            path.replace(target)
        else:
            _link(path, target)
            path.unlink(missing_ok=True)
    sync(target.parent)


def keep(path: Path, under: Path) -> None:
    """Give the file at `path`, if there is one, a second name."""
    if path.exists():
        with _explained(under):
            _link(path, under)


def _link(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except FileExistsError as error:
        raise exists(target) from error
    except OSError:
        # On a file system without links, another program may create the file between this check and the move.
        if target.exists():
            raise exists(target) from None
        path.rename(target)


def exists(path: Path) -> ConfigurationError:
    """Return the error that reports a file in the way."""
    return ConfigurationError(f"{path} exists already and was not changed: choose another name, or add --force")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        message = f"cannot write {path}: {error.strerror}; check the owner and mode of its folder"
        raise NotPermittedError(message) from error
    except FileNotFoundError as error:
        raise ConfigurationError(f"cannot write {path}: its folder does not exist; create it first") from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; nothing was replaced") from error
