"""How the store is opened: for writing, for reading, and as a backup on its own.

Except to create a missing file, only SQLite opens the database's file here: closing any descriptor of it would drop
every POSIX lock that this process holds on it, and a process that serves the store has several connections.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mdata.errors import ConfigurationError, NotPermittedError
from mdata.files import open_shared
from mdata.flock.lock import FileLock
from mdata.store import pairing
from mdata.store.connection import Connection, connect
from mdata.store.engine import Store
from mdata.store.mending import mend
from mdata.store.schema import SCHEMA_VERSION, schema_version
from mdata.store.sqlite_errors import missing_group, storage_errors
from mdata.store.watch import file_status

if TYPE_CHECKING:
    from mdata.store.reading import Detour

# How long (s) a reader waits for another program that locks the database.
_PATIENCE_OF_READERS = 5.0
_WAL_SIZE_LIMIT = 64 * 1024 * 1024


# Receives a message about how the store was opened.
Hear = Callable[[str], None]


def unheard(_: str) -> None:
    """Ignore the message."""


def open_store(path: Path, told: Hear = unheard) -> Store:
    """Open the database for reading and writing; create or migrate it under the write lock if necessary.

    Changes by other programs are repaired, and `told` is called with a message about them. Raise ConfigurationError
    for a foreign file or a newer schema, StorageError for a damaged one, NotPermittedError if the file is not
    writable. A rejected file is left untouched.
    """
    found = _refuse_a_folder(path)
    write_lock = FileLock(path.with_name(f"{path.name}.write.lock"))
    pairing.check(path)
    if found is None:
        os.close(open_shared(path))
    elif not os.access(path, os.W_OK):
        raise NotPermittedError(_may_not(path, "write"))
    connection = _connect(path, "rw")
    try:
        with storage_errors(path):
            if schema_version(path, connection) < SCHEMA_VERSION:
                from mdata.store.migrations import migrate

                with write_lock:
                    migrate(path, connection)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_SIZE_LIMIT}")
    except ConfigurationError:
        _close_untouched(path, connection)
        raise
    except BaseException:
        connection.close()
        raise
    store = Store(path, connection, write_lock)
    try:
        with storage_errors(path):
            mend(store, told)
    except BaseException:
        store.close()
        raise
    return store


def _close_untouched(path: Path, connection: Connection) -> None:
    """Close a connection to a file that is not ours, and leave its log as it is.

    The connection that closes last moves the log into the database, unless it can only read. A reader is therefore
    opened here, and closed last.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        connection.close()
        return
    reader = _connect(path, "ro")
    reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.close()
    reader.close()


def open_for_reading(path: Path, told: Hear = unheard, *, may_copy: bool = True) -> Store | None:
    """Open the database for reading only, or return None if there is none yet.

    Nothing is created. Raise as `open_store` does, and ConfigurationError for an older schema as well. If the folder
    is not writable, the database is read in place, or from a copy if one may be made (`reading`), and `told` is
    called with a message about it.
    """
    found = _refuse_a_folder(path)
    if found is None or found.st_size == 0:
        return None
    if not os.access(path, os.R_OK):
        raise NotPermittedError(_may_not(path, "read"))
    pairing.check(path)
    try:
        store, version = _looked_into(path)
    except NotPermittedError as error:
        from mdata.store.reading import detour

        store, version = _looked_into(path, detour(path, error, may_copy=may_copy))
        if store.detour is not None:
            told(store.detour.sentence)
    if version == SCHEMA_VERSION:
        return store
    store.close()
    if version == 0:
        return None
    raise ConfigurationError(
        f"{path} has schema {version}, but this mdata needs {SCHEMA_VERSION}: run `mdata backfill` once to upgrade it"
    )


def _looked_into(path: Path, detour: "Detour | None" = None) -> tuple[Store, int]:
    """Open the database read-only, and return it with its schema version."""
    if detour is None:
        connection = _connect(path, "ro")
    else:
        connection = _connect(detour.file, "ro" if detour.is_copy else "ro&immutable=1")
    try:
        with storage_errors(path):
            version = schema_version(path, connection)
    except BaseException:
        connection.close()
        if detour is not None:
            detour.confirm()
        raise
    finally:
        if detour is not None:
            detour.leave()
    return Store(path, connection, None, detour), version


def open_lone(path: Path) -> Connection:
    """Open a backup for reading, with its log if it has one; raise like `open_for_reading`, except for an old schema.

    A backup without a log is read in place, even on a read-only disk.
    """
    _refuse_a_folder(path)
    pairing.check(path)
    log = file_status(path.with_name(f"{path.name}-wal"))
    connection = _connect(path, "ro" if log and log.st_size else "ro&immutable=1")
    try:
        with storage_errors(path):
            version = schema_version(path, connection)
    except BaseException:
        connection.close()
        raise
    if version:
        return connection
    connection.close()
    raise ConfigurationError(f"{path} is empty and therefore not a backup: give another file")


def _may_not(path: Path, verb: str) -> str:
    return f"cannot {verb} {path}; {missing_group(path) or 'check the owner and mode of the file and its folder'}"


def _connect(path: Path, mode: str) -> Connection:
    return connect(path, mode, _PATIENCE_OF_READERS if mode.startswith("ro") else None)


def _refuse_a_folder(path: Path) -> os.stat_result | None:
    """Return the status of the file at `path`, or None if there is none; raise ConfigurationError for a folder."""
    found = file_status(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"DATABASE_PATH {path} is a folder; set it to a file in it")
    return found
