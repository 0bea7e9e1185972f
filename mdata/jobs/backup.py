"""`backup`: a copy of the store as it is at one instant, flushed to disk and compared with its ledger."""

from dataclasses import dataclass
from pathlib import Path

from mdata.errors import ConfigurationError, StorageError
from mdata.files import shared_mode
from mdata.store import audit, copying, identity
from mdata.store import series as table
from mdata.store.engine import Store
from mdata.store.opening import open_store
from mdata.store.watch import file_status


@dataclass(frozen=True, slots=True)
class Copied:
    """A backup: where it is, its store, its content, and in how many ranges its ledger is wrong."""

    path: Path
    bytes: int
    id: str
    generation: int
    series: int
    candles: int
    doubts: int


def backup(store: Store, target: Path, report: copying.Report, *, force: bool) -> Copied:
    """Copy the store into the file `target`, even while jobs write; `force` replaces another backup.

    Raise ConfigurationError if the file exists, StorageError if the copy is not as expected; then no copy is left.
    """
    _refuse(store.path, target, force=force)
    copying.want_room(target.parent, store.path.stat().st_size)
    with copying.temporary(target) as path:
        with store.read() as connection:
            mark = identity.read(connection)
            copying.copy(connection, path, report)
        with open_store(path) as copied:
            if mark is None or identity.read(copied.connection) != mark:
                raise StorageError(f"the copy of {store.path} does not show the expected state; run this again")
            found = examined(copied, target)
            with copied.write():
                pass  # gives the copy a mark of its own, so that the store's log does not seem to belong to it
        path.chmod(shared_mode(target.parent))
        copying.sync(path)
        copying.place(path, target, over=force)
    return found


def examined(store: Store, path: Path) -> Copied:
    """Read all of a copy that will be at `path`; raise StorageError if it is damaged."""
    audit.check_file(store)
    with store.read() as connection:
        mark = identity.read(connection)
        every = table.every(connection)
        audits = [audit.audit(connection, series) for series in every]
    if mark is None:
        raise StorageError(f"{store.path} no longer contains its identity: run `mdata doctor --fix`")
    return Copied(
        path,
        store.path.stat().st_size,
        mark.id,
        mark.generation,
        len(every),
        sum(one.candles for one in audits),
        sum(len(one.mismatches) for one in audits),
    )


def _refuse(database: Path, target: Path, *, force: bool) -> None:
    there = file_status(target)
    if there is None:
        return
    if target.samefile(database):
        raise ConfigurationError(f"{target} is the store itself: choose another file")
    if not target.is_file():
        raise ConfigurationError(f"{target} is not a file that a backup can replace: choose another one")
    if not force:
        raise copying.exists(target)
    log = file_status(target.with_name(f"{target.name}-wal"))
    if log is not None and log.st_size:
        raise ConfigurationError(f"{target} has a write-ahead log, so it is a store in use: choose another file")
