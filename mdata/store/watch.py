"""Checks during a run that the store's file is still the one that was opened, and contains the last write."""

import errno
import os
from pathlib import Path

from mdata.domain.lineage import Mark, follows
from mdata.errors import ConfigurationError, NotPermittedError, StorageError
from mdata.store import identity, pairing
from mdata.store.connection import Connection
from mdata.store.sqlite_errors import missing_group


class Watch:
    """What a writer of the database at `path` knows of it; used while holding the write lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        found = file_status(path)
        self._file = (found.st_dev, found.st_ino) if found else None
        self._looked_at: tuple[int, ...] = ()
        self._logged: Mark | None = None
        self._mark: Mark | None = None

    def look(self) -> None:
        """Compare the file with its log if any program has changed the file since the last look.

        Raise StorageError if the file was replaced, or its log belongs to another file.
        """
        found = self._in_place()
        now = found.st_size, found.st_mtime_ns
        self._logged = None
        if now != self._looked_at:
            self._logged = pairing.check(self._path)
            self._looked_at = now

    def forget(self) -> None:
        """Compare everything at the next look, because other processes may have written."""
        self._looked_at = ()

    def count(self, connection: Connection) -> Mark:
        """Count the transaction that was begun; raise StorageError if the last write is no longer there.

        The newest transaction that SQLite shows must be the last one in the log or the one before it, because the
        last one in the log may not have been committed.
        """
        mark, logged = identity.raise_generation(connection), self._logged
        if mark is None:
            raise StorageError(f"the row of the table `store` is missing from {self._path}: run `mdata doctor --fix`")
        if not follows(mark, self._mark) or (logged and mark.previous not in {logged.mark, logged.previous}):
            raise pairing.strangers(self._path)
        return mark

    def committed(self, mark: Mark) -> None:
        """Remember the transaction that left `mark`; raise StorageError if the path now names another file."""
        self._mark = mark
        self._in_place()

    def _in_place(self) -> os.stat_result:
        found = file_status(self._path)
        if found is None or (found.st_dev, found.st_ino) != self._file:
            raise StorageError(
                f"{self._path} was {'removed' if found is None else 'replaced by another file'} during this run: "
                "what this run has written is in the old file; put that file back, or run this again"
            )
        return found


def file_status(path: Path) -> os.stat_result | None:
    """Return the status of the file at `path`, or None if there is none; raise an MdataError on other errors."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        advice = missing_group(path) or "check the owner and mode of the file and its folder"
        raise NotPermittedError(f"cannot read {path}; {advice}") from error
    except OSError as error:
        if error.errno == errno.EIO:
            message = f"reading {path} failed ({error.strerror}); check the disk, then run this again"
            raise StorageError(message) from error
        raise ConfigurationError(f"{path} cannot be used as a file: {error.strerror}") from error
