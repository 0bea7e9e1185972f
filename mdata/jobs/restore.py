"""`restore`: replace the store with a backup; the store is kept under another name."""

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

from mdata.clock import Clock
from mdata.config import Settings
from mdata.domain.lineage import Mark
from mdata.domain.next_attempt import when
from mdata.errors import ConfigurationError, NotNowError, StorageError
from mdata.files import make_folder, shared_mode
from mdata.flock.lock import FileLock
from mdata.jobs.backup import Copied, examined
from mdata.jobs.status import Status, collect
from mdata.locks import command_lock
from mdata.mounts import refuse_remote
from mdata.running.commands import JOBS
from mdata.store import copying, identity, pairing
from mdata.store.opening import open_for_reading, open_lone, open_store
from mdata.store.users import users
from mdata.store.watch import file_status


class Offer(NamedTuple):
    """A backup, and the store that it would replace.

    A mark is None if there is none, or if it cannot be read.
    """

    file: Path
    mark: Mark | None
    replaces: bool
    replaced: Mark | None

    @property
    def is_another_store(self) -> bool:
        """Whether the backup is of another store than the one it would replace."""
        return self.replaced is not None and (self.mark is None or self.mark.id != self.replaced.id)


@dataclass(frozen=True, slots=True)
class Restored:
    """The store that is now in place, and where the previous one is (None: there was none)."""

    found: Copied
    kept: Path | None


def offer(settings: Settings, file: Path) -> Offer:
    """Look at a backup and at what it would replace; raise an MdataError for a file that cannot be a backup."""
    database = settings.database_path
    if file_status(file) is None:
        raise ConfigurationError(f"there is no file {file}: give the backup to restore")
    if file_status(database) and file.samefile(database):
        raise ConfigurationError(f"{file} is the store itself: give the backup to restore")
    with closing(open_lone(file)) as connection:
        mark = identity.read(connection)
    there = file_status(database)
    replaced = pairing.read_file(database) if there and there.st_size else None
    return Offer(file, mark, there is not None, replaced.mark if replaced else None)


def restore(
    settings: Settings, file: Path, wait: float, clock: Clock, warn: Callable[[str], None], report: copying.Report
) -> Restored:
    """Replace the store with a copy of `file`, and keep the store as `NAME.before-TIME`.

    Raise NotNowError while a job or another program uses the store, StorageError if the backup is damaged or does not
    fit. Then nothing has been changed.
    """
    database = settings.database_path
    refuse_remote(database, "DATABASE_PATH")
    make_folder(database.parent)
    with ExitStack() as held:
        for command in JOBS:
            held.enter_context(command_lock(database, command, wait, clock))
        lock = FileLock(database.with_name(f"{database.name}.write.lock"))
        held.callback(lock.close)
        if not lock.acquire(clock.real(wait)):
            raise NotNowError(f"another program is writing to {database}", next_attempt=when("it has finished"))
        _refuse_users(database)
        copying.want_room(database.parent, file.stat().st_size)
        with copying.temporary(database) as path:
            with closing(open_lone(file)) as connection:
                connection.execute("BEGIN")
                copying.copy(connection, path, report)
            found = _prepared(path, database, warn)
            _refuse_users(database)
            kept = _set_aside(database, clock)
            copying.place(path, database, over=True)
            _remove_log(database)
        copying.sync(database.parent)
    return Restored(found, kept)


def _prepared(path: Path, database: Path, warn: Callable[[str], None]) -> Copied:
    """Upgrade a copy to this mdata's schema, examine it, and give it a generation newer than any before."""
    replaced = pairing.read_file(database) if file_status(database) else None
    with open_store(path, warn) as store:
        found = examined(store, database)
        with store.write() as connection:
            identity.raise_above(connection, replaced.mark.generation if replaced and replaced.mark else 0)
    _give_owner_and_mode(path, database, warn)
    copying.sync(path)
    return found


def _give_owner_and_mode(path: Path, database: Path, warn: Callable[[str], None]) -> None:
    there = file_status(database)
    path.chmod(there.st_mode & 0o777 if there else shared_mode(database.parent))
    if there and (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):
            shutil.chown(path, group=there.st_gid)
        try:
            shutil.chown(path, user=there.st_uid)
        except PermissionError:
            warn(f"{database} belonged to user {there.st_uid} and now belongs to you: only root can change that back")


def _set_aside(database: Path, clock: Clock) -> Path | None:
    """Give the store and its log additional names; the original names stay until the backup takes them."""
    if file_status(database) is None and file_status(_log(database)) is None:
        return None
    kept = _free_name(database.with_name(f"{database.name}.before-{_stamp(clock)}"))
    copying.keep(database, kept)
    copying.keep(_log(database), _log(kept))
    copying.sync(database.parent)
    return kept


def _free_name(path: Path) -> Path:
    """Return an unused name for file and log; a run killed in the same second may have left one of them."""
    names = (path if number == 1 else path.with_name(f"{path.name}-{number}") for number in count(1))
    return next(name for name in names if file_status(name) is None and file_status(_log(name)) is None)


def _stamp(clock: Clock) -> str:
    from mdata.domain.times import iso

    return "".join(sign for sign in iso(clock.now()) if sign not in "-:")


def _remove_log(database: Path) -> None:
    """Remove the log of the old store, which does not belong to the backup."""
    for name in ("-wal", "-shm"):
        path = database.with_name(database.name + name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{database} is the backup now, but {path} of the old store cannot be removed: {error.strerror}; "
                "remove that file; nothing is lost, because the old store has another name too"
            ) from error


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _refuse_users(database: Path) -> None:
    found = users(database)
    if found:
        raise NotNowError(
            f"{database} is open in other programs: {', '.join(map(str, found))}",
            next_attempt=when(f"{'it has' if len(found) == 1 else 'they have'} ended"),
        )


def standing(settings: Settings, now: int) -> Status:
    """Return what is stored, and what is unknown, after the restore."""
    store = open_for_reading(settings.database_path)
    if store is None:
        return collect(settings, None, now)
    with store:
        return collect(settings, store, now)
