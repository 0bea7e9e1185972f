"""Reading a store whose folder is not writable: a snapshot, a colleague's store, a read-only file system.

SQLite's readers also need to write: beside a write-ahead log there is its index, which the first program that opens
the database must create. If it cannot, two ways are left. While the log is empty, everything is in the database's
file, which is read in place without locks; afterwards mdata checks that it has not changed. While the log is not
empty, both files are copied to a private folder, and the copy is read.
"""

import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mdata.domain.next_attempt import AT_ONCE, when
from mdata.domain.retries import READ_TRIES
from mdata.errors import MdataError, NotNowError, NotPermittedError, StorageError
from mdata.store.sqlite_errors import missing_group

_PART = 4 * 1024 * 1024
# How many bytes a copy leaves free, for others and for the index of its log.
_SPARE = 16 * 1024 * 1024

# Device, inode, size and time of change of the database, and of its log (None for a file that is missing or empty).
Stamp = tuple[tuple[int, ...] | None, tuple[int, ...] | None]


@dataclass(frozen=True, slots=True)
class Detour:
    """An alternative way to read the store at `path`: the file to open, and the state of `path` at that time."""

    path: Path
    file: Path
    stamp: Stamp

    @property
    def is_copy(self) -> bool:
        """Whether a private copy is read, and not the file itself without locks."""
        return self.file != self.path

    @property
    def is_current(self) -> bool:
        """Whether nothing was written to the store since."""
        return stamp(self.path) == self.stamp

    @property
    def sentence(self) -> str:
        """Return the message about this way of reading."""
        group = missing_group(self.path)
        why = f"{self.path.parent} is not writable{f' ({group})' if group else ''}"
        if self.is_copy:
            return (
                f"{why}, and the log of {self.path.name} is not empty: reading a private copy of the file and its log"
            )
        return f"{why}: reading {self.path.name} in place without locks, because its log is empty"

    def confirm(self) -> None:
        """Raise NotNowError if the file was written to while it was read without locks."""
        if not self.is_copy and not self.is_current:
            raise NotNowError(
                f"{self.path} was changed while it was read without locks (its folder is not writable); "
                "the result is not reliable",
                next_attempt=AT_ONCE,
            )

    def leave(self) -> None:
        """Remove the copy, unless it is kept for others; SQLite continues to read the files that it has open."""
        if self.is_copy and _kept.get(self.path) != self:
            shutil.rmtree(self.file.parent, ignore_errors=True)


# While copies are kept: the newest copy of each store, and the `kept` blocks for which they are kept.
_kept: dict[Path, Detour] = {}
_keepers: set[object] = set()
_one_at_a_time = threading.Lock()

# Closing any descriptor of a database drops every lock that SQLite holds on it in this process. Descriptors opened
# here for copying therefore stay open, one for each file.
_sources: dict[tuple[int, int], int] = {}


@contextmanager
def kept() -> Iterator[None]:
    """While the block lasts, keep a copy until its store changes, instead of making one for each look."""
    keeper = object()
    _keepers.add(keeper)
    try:
        yield
    finally:
        _keepers.remove(keeper)
        for path in () if _keepers else list(_kept):
            _forget(path)


def kept_copy(path: Path) -> Detour | None:
    """Return the kept copy of the store at `path` if it is still current."""
    copy = _kept.get(path)
    return copy if copy is not None and copy.is_current else None


def detour(path: Path, cause: MdataError, *, may_copy: bool = True) -> Detour:
    """Return how to read the store at `path`, which cannot be opened as usual because of `cause`.

    Raise NotPermittedError if there is no room for a copy, or the files may not be read.
    """
    now = stamp(path)
    if now[0] is not None and now[1] is None:
        return Detour(path, path, now)
    if not may_copy:
        raise cause
    with _one_at_a_time:
        copy = kept_copy(path)
        if copy is None:
            _forget(path)
            copy = _copied(path, cause)
            if _keepers:
                _kept[path] = copy
    return copy


def stamp(path: Path) -> Stamp:
    """Return a stamp that shows whether the database or its log was written to."""
    return _stamp(path), _stamp(_log(path))


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if found.st_size else None


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _forget(path: Path) -> None:
    copy = _kept.pop(path, None)
    if copy is not None:
        copy.leave()


def _copied(path: Path, cause: MdataError) -> Detour:
    """Copy the database and its log to a private folder; start again if they are written to in the meantime."""
    folder = Path(tempfile.mkdtemp(prefix="mdata-"))
    try:
        for _ in range(READ_TRIES):
            before = stamp(path)
            _want_room(path, folder)
            for source in (path, _log(path)):
                _copy(source, folder / source.name)
            if stamp(path) == before:
                return Detour(path, folder / path.name, before)
    except PermissionError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise NotPermittedError(
            f"cannot read {error.filename}: {error.strerror}; {path.parent} is not writable either, so {path.name} "
            "can only be read from a copy: check the owner and mode of the files"
        ) from cause
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(f"{path} could not be copied to {folder.parent} for reading: {error.strerror}") from cause
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    raise NotNowError(
        f"{path} was written to while it was copied for reading (its folder is not writable)",
        next_attempt=when("the job there has ended"),
    ) from cause


def _want_room(path: Path, folder: Path) -> None:
    wanted = sum(found[2] for found in stamp(path) if found) + _SPARE
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise NotPermittedError(
            f"cannot read {path} in place, because its folder is not writable and its log is not empty; a copy "
            f"needs {wanted / 1e6:,.0f} MB, but {folder.parent} has {free / 1e6:,.0f} MB free: set "
            "TMPDIR to a folder with more space, or ask for write access"
        )


def _copy(source: Path, target: Path) -> None:
    """Copy one file; if it has vanished, nothing is copied, and the next comparison of stamps shows it."""
    with suppress(FileNotFoundError):
        descriptor = _source(source)
        with target.open("wb") as stream:
            at = 0
            while part := os.pread(descriptor, _PART, at):
                stream.write(part)
                at += len(part)


def _source(path: Path) -> int:
    found = path.stat()
    known = _sources.get((found.st_dev, found.st_ino))
    if known is not None:
        return known
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    opened = os.fstat(descriptor)
    if not stat.S_ISREG(opened.st_mode):
        raise PermissionError(1, "not a regular file", str(path))
    _sources[opened.st_dev, opened.st_ino] = descriptor
    return descriptor
