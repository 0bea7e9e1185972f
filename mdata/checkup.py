"""The checks of `doctor` on the store itself: which processes use it, its files, and their content."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mdata.domain.timeframe import DAY
from mdata.domain.times import iso
from mdata.errors import MdataError
from mdata.processes import Process, holders
from mdata.running.commands import JOBS
from mdata.store import audit, identity, mending
from mdata.store import series as table
from mdata.store.engine import Store
from mdata.store.opening import open_for_reading
from mdata.store.users import users
from mdata.store.watch import file_status

OK, NOTE, PROBLEM = "ok", "note", "problem"

# A write-ahead log larger than this shows that a program reads without a pause, which keeps it from being emptied.
_LARGE_LOG = 64 * 1024 * 1024


class Finding(NamedTuple):
    """The result of one check: `id` stays the same from release to release, `advice` says what to do."""

    id: str
    state: str
    text: str
    advice: str | None = None


def holders_of(database: Path) -> Iterator[Finding]:
    """Check which processes hold locks or have the store open; call this before this process opens the store."""
    held = 0
    for name in (*JOBS, "write"):
        for process in holders(database.with_name(f"{database.name}.{name}.lock")):
            held += 1
            yield _holder(f"locks.{name}", f"the lock of {name} is held by {process}", process)
    if not held:
        yield Finding("locks", OK, "no lock is held")
    for process in users(database):
        yield _holder("users", f"{database.name} is open in {process}", process)


def _holder(name: str, text: str, process: Process) -> Finding:
    if process.is_stopped:
        return Finding(name, PROBLEM, text, f"`kill -CONT {process.pid}` resumes it, `kill -9 {process.pid}` ends it")
    return Finding(name, NOTE, text)


def files(database: Path) -> Iterator[Finding]:
    """Check the store's files: their hard links, and who can write to them."""
    there = file_status(database)
    if there is None:
        return
    if there.st_nlink > 1:
        yield Finding(
            "store.names",
            PROBLEM,
            f"{database} has {there.st_nlink} hard links: a program that opens it by another name does not see the "
            "locks",
            "keep one (`find / -samefile`), and replace the others by symbolic links",
        )
    parts = [path for ending in ("", "-wal", "-shm") if (path := database.with_name(database.name + ending)).exists()]
    closed = [path.name for path in parts if not os.access(path, os.R_OK | os.W_OK)]
    if not os.access(database.parent, os.W_OK):
        closed.append(str(database.parent))
    opened = [path.name for path in parts if path.stat().st_mode & stat.S_IWOTH]
    if closed:
        who = f"user {os.geteuid()}"
        yield Finding("store.permissions", PROBLEM, f"{who} cannot write {', '.join(closed)}", _OWNERS)
    elif opened:
        yield Finding("store.permissions", PROBLEM, f"everybody can write to {', '.join(opened)}", "run `chmod o-w`")
    else:
        yield Finding("store.permissions", OK, f"mode {there.st_mode & 0o777:04o}; the folder is writable")


_OWNERS = "change their owner to the user of the jobs, or run this as that user"


def store(path: Path, now: int, *, deep: bool) -> Iterator[Finding]:
    """Check the content of the store; with `deep`, read every row."""
    try:
        opened = open_for_reading(path)
        if opened is None:
            yield Finding("store", NOTE, f"there is no store at {path} yet", "run `mdata backfill`")
            return
        with opened:
            yield from _opened(opened, now)
            if deep:
                yield _integrity(opened)
    except MdataError as error:
        yield Finding("store", PROBLEM, str(error), "see the message")


def _opened(store: Store, now: int) -> Iterator[Finding]:
    with store.read() as connection:
        mark = identity.read(connection)
        missing, changed = mending.missing_triggers(connection), mending.changed_triggers(connection)
        mode = mending.journal_mode(connection)
        (newest,) = connection.execute("SELECT max(end_time) FROM coverage").fetchone()
    if mark is None:
        yield Finding(
            "store.identity", PROBLEM, "the row of the table `store` is missing", "run `mdata doctor --fix`"
        )
    else:
        yield Finding("store.identity", OK, f"store {mark.id[:8]}, generation {mark.generation}")
    yield _log(store.path)
    if missing or changed:
        text = (
            f"{' and '.join(missing or changed)} {'missing' if missing else 'changed'}: deletions by other programs "
            "are not noticed"
        )
        yield Finding("store.triggers", PROBLEM, text, "run `mdata doctor --fix`, then `mdata verify`")
    else:
        yield Finding("store.triggers", OK, "in place")
    if mode == "wal":
        yield Finding("store.journal_mode", OK, "WAL")
    else:
        text = f"{mode}, set by another program: readers and writers block each other"
        yield Finding("store.journal_mode", PROBLEM, text, "run `mdata doctor --fix`, or wait for the next job")
    if newest and newest > now + DAY:
        text = f"the clock says {iso(now)}, but the store has answers up to {iso(newest)}"
        yield Finding("clock.store", PROBLEM, text, "set the clock, and keep it synchronised")


def _log(path: Path) -> Finding:
    log = file_status(path.with_name(f"{path.name}-wal"))
    if log is None or not log.st_size:
        return Finding("store.log", OK, "empty")
    text = f"{log.st_size / 1e6:,.1f} MB; it belongs to {path.name}"
    if log.st_size > _LARGE_LOG:
        advice = "a program that reads without a pause keeps it from being emptied; see the findings named users"
        return Finding("store.log", NOTE, text, advice)
    return Finding("store.log", OK, text)


def _integrity(store: Store) -> Finding:
    audit.check_file(store)
    with store.read() as connection:
        audits = [audit.audit(connection, series) for series in table.every(connection)]
    mismatches, refused = sum(len(one.mismatches) for one in audits), sum(len(one.refused) for one in audits)
    if mismatches or refused:
        text = f"{mismatches} covered ranges differ from what was recorded, {refused} rows cannot be candles"
        return Finding(
            "store.integrity", PROBLEM, text, "run `mdata verify`, then `mdata backfill` and `mdata repair`"
        )
    return Finding("store.integrity", OK, f"{sum(one.candles for one in audits):,} candles read, all as recorded")
