"""`doctor`: what is well, what somebody should know, and what is wrong, with the store and all around it."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mdata.clock import Clock
from mdata.config import Loaded, Settings
from mdata.domain.budget import Priority
from mdata.domain.moment import human_duration, iso
from mdata.domain.timeframe import DAY
from mdata.errors import MdataError, RateLimitedError, UnreachableError
from mdata.jobs import JOBS
from mdata.jobs.context import Budget, Exchange
from mdata.processes import Process, holders
from mdata.store import audit, identity, mending
from mdata.store import series as table
from mdata.store.engine import Store, open_for_reading, open_store
from mdata.store.sqlite import SQLITE_VERSION, has_wal_reset_bug
from mdata.store.users import users
from mdata.store.watch import file_status
from mdata.units import marker

OK, NOTE, PROBLEM = "ok", "note", "problem"

# A log of this size is not emptied any more, for somebody reads without a pause.
_LARGE_LOG = 64 * 1024 * 1024
_LITTLE_ROOM = 256 * 1024 * 1024
# How long (s) to wait for a turn to ask the exchange for its time.
_PATIENCE = 15.0


class Finding(NamedTuple):
    """One thing that was looked at: `id` stays the same from release to release, `advice` says what to do."""

    id: str
    state: str
    text: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at, and how the exchange is asked: `exchange` makes one whose warnings go to the given place."""

    loaded: Loaded
    clock: Clock
    budget: Budget
    exchange: Callable[[Callable[[str], None]], Exchange]

    @property
    def settings(self) -> Settings:
        """Return the effective settings."""
        return self.loaded.settings

    @property
    def database(self) -> Path:
        """Return where the store is."""
        return self.settings.database_path


def examine(patient: Patient, *, deep: bool) -> list[Finding]:
    """Look at everything; `deep`: read all that is stored, too. Nothing is changed, one request at most is sent."""
    return [
        _engine(),
        # Before the store is opened here: whose locks are on it shows from outside only.
        *_holders(patient.database),
        *_files(patient.database),
        *_store(patient, deep=deep),
        _room(patient.database),
        _budget(patient),
        _exchange(patient),
        _units(patient),
        *_settings(patient),
    ]


def fix(path: Path) -> list[str]:
    """Put right what can be put right safely; return what was done, a sentence each."""
    done: list[str] = []
    if file_status(path) is None:
        return done
    with open_store(path, done.append) as store:
        if changed := mending.changed_triggers(store.connection):
            mending.restore_triggers(store)
            done.append(f"the triggers {' and '.join(changed)} had been changed, and are as they should be")
    return done


def _engine() -> Finding:
    if has_wal_reset_bug():
        return Finding(
            "engine",
            NOTE,
            f"SQLite {SQLITE_VERSION} can lose pages when two programs write at once; mdata's own jobs take turns",
            "let no other program write to the store, or run `pip install pysqlite3`",
        )
    return Finding("engine", OK, f"SQLite {SQLITE_VERSION}, without a known defect that concerns mdata")


def _holders(database: Path) -> Iterator[Finding]:
    held = 0
    for name in (*JOBS, "write"):
        for process in holders(database.with_name(f"{database.name}.{name}.lock")):
            held += 1
            yield _holder(f"locks.{name}", f"the lock of {name} is held by {process}", process)
    if not held:
        yield Finding("locks", OK, "nobody holds a lock")
    for process in users(database):
        yield _holder("users", f"{database.name} is open in {process}", process)


def _holder(name: str, text: str, process: Process) -> Finding:
    if process.is_stopped:
        return Finding(
            name, PROBLEM, text, f"`kill -CONT {process.pid}` lets it go on, `kill -9 {process.pid}` ends it"
        )
    return Finding(name, NOTE, text)


def _files(database: Path) -> Iterator[Finding]:
    there = file_status(database)
    if there is None:
        return
    if there.st_nlink > 1:
        yield Finding(
            "store.names",
            PROBLEM,
            f"{database} has {there.st_nlink} names in the file system: by another one it is not locked",
            "keep one of them (`find / -samefile`), and make the others symbolic links",
        )
    files = [path for ending in ("", "-wal", "-shm") if (path := database.with_name(database.name + ending)).exists()]
    closed = [path.name for path in files if not os.access(path, os.R_OK | os.W_OK)]
    if not os.access(database.parent, os.W_OK):
        closed.append(str(database.parent))
    opened = [path.name for path in files if path.stat().st_mode & stat.S_IWOTH]
    if closed:
        who = f"user {os.geteuid()}"
        yield Finding("store.permissions", PROBLEM, f"{', '.join(closed)} may not be written by {who}", _OWNERS)
    elif opened:
        yield Finding("store.permissions", PROBLEM, f"everybody may write to {', '.join(opened)}", "run `chmod o-w`")
    else:
        yield Finding("store.permissions", OK, f"mode {there.st_mode & 0o777:04o}, and its folder may be written")


_OWNERS = "give them to the user of the jobs, or run this as that one"


def _store(patient: Patient, *, deep: bool) -> Iterator[Finding]:
    path = patient.database
    try:
        identity.check(path)
        store = open_for_reading(path)
        if store is None:
            yield Finding("store", NOTE, f"nothing is stored in {path} yet", "run `mdata backfill`")
            return
        with store:
            yield from _opened(store, patient)
            if deep:
                yield _integrity(store)
    except MdataError as error:
        yield Finding("store", PROBLEM, str(error), "what to do stands in the sentence")


def _opened(store: Store, patient: Patient) -> Iterator[Finding]:
    with store.read() as connection:
        mark = identity.read(connection)
        missing, changed = mending.missing_triggers(connection), mending.changed_triggers(connection)
        mode = mending.journal_mode(connection)
        (newest,) = connection.execute("SELECT max(end_time) FROM coverage").fetchone()
    if mark is None:
        yield Finding("store.identity", PROBLEM, "the row of the table `store` is gone", "run `mdata doctor --fix`")
    else:
        yield Finding("store.identity", OK, f"store {mark.id[:8]}, generation {mark.generation}")
    yield _log(store.path)
    if missing or changed:
        text = f"{' and '.join(missing or changed)} {'missing' if missing else 'changed'}: deletions go unnoticed"
        yield Finding("store.triggers", PROBLEM, text, "run `mdata doctor --fix`, then `mdata verify`")
    else:
        yield Finding("store.triggers", OK, "in place")
    if mode == "wal":
        yield Finding("store.journal_mode", OK, "WAL")
    else:
        text = f"{mode}, as some tool has set it: readers and writers keep each other waiting"
        yield Finding("store.journal_mode", PROBLEM, text, "run `mdata doctor --fix`; the next job does it, too")
    now = patient.clock.now()
    if newest and newest > now + DAY:
        text = f"it is {iso(now)} here, and the store has answers up to {iso(newest)}"
        yield Finding("clock.store", PROBLEM, text, "set the clock right, and have it kept right")


def _log(path: Path) -> Finding:
    log = file_status(path.with_name(f"{path.name}-wal"))
    if log is None or not log.st_size:
        return Finding("store.log", OK, "empty")
    text = f"{log.st_size / 1e6:,.1f} MB, and of this file"
    if log.st_size > _LARGE_LOG:
        return Finding(
            "store.log", NOTE, text, "whoever reads without a pause keeps it from being emptied: see users"
        )
    return Finding("store.log", OK, text)


def _integrity(store: Store) -> Finding:
    audit.check_file(store)
    with store.read() as connection:
        audits = [audit.audit(connection, series) for series in table.every(connection)]
    doubts, unsound = sum(len(one.doubts) for one in audits), sum(len(one.unsound) for one in audits)
    if doubts or unsound:
        text = f"{doubts} covered ranges do not hold what was recorded, {unsound} rows can be no candles"
        return Finding(
            "store.integrity", PROBLEM, text, "run `mdata verify`, then `mdata backfill` and `mdata repair`"
        )
    return Finding("store.integrity", OK, f"{sum(one.candles for one in audits):,} candles read, all as recorded")


def _room(database: Path) -> Finding:
    folder = next(one for one in (database.parent, *database.parents) if one.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e6:,.0f} MB free in {folder}"
    if free < _LITTLE_ROOM:
        return Finding("disk.space", PROBLEM, text, "make room, or move the store to another disk")
    return Finding("disk.space", OK, text)


def _budget(patient: Patient) -> Finding:
    path = patient.settings.rate_limit_state_path
    there = path.exists()
    if there and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        text = f"{path} is no file that may be read and written: no job can ask anything"
        return Finding(
            "rate.state", PROBLEM, text, "set RATE_LIMIT_STATE_PATH to another file, or its owner and mode"
        )
    seen = patient.budget.peek()
    waiting = f", {len(seen.waiting)} wait" if seen.waiting else ""
    if seen.blocked_until is not None:
        text = f"blocked until {iso(seen.blocked_until)} after {seen.refusals} refusals in a row{waiting}"
        return Finding("rate.state", NOTE, text, "wait: the exchange blocks for longer when it is asked meanwhile")
    return Finding("rate.state", OK, f"a request in {seen.delay_seconds:g} s{waiting}")


def _exchange(patient: Patient) -> Finding:
    """Ask the exchange for anything, in turn, and compare the date of its answer with the clock here."""
    clock, budget, told = patient.clock, patient.budget, list[str]()
    if budget.peek().blocked_until is not None:
        return Finding(
            "clock.exchange", NOTE, "not compared with the exchange's: the rate limit blocks every request"
        )
    try:
        exchange = patient.exchange(told.append)
        budget.acquire(Priority.UPDATE, lambda: True, clock.boottime() + _PATIENCE)
        exchange.pairs(budget.sent)
        budget.answered()
    except RateLimitedError as error:
        budget.refused(error.retry_after)
        return Finding("clock.exchange", NOTE, f"not compared with the exchange's: {error}")
    except UnreachableError as error:
        return Finding("clock.exchange", PROBLEM, str(error), "check the network, and BITFINEX_REST_URL")
    except (MdataError, TimeoutError) as error:
        return Finding("clock.exchange", NOTE, f"not compared with the exchange's: {error}")
    ahead = [text for text in told if "local clock" in text]
    if ahead:
        return Finding("clock.exchange", PROBLEM, ahead[0], "what was stored is right: the exchange's time is used")
    return Finding("clock.exchange", OK, "the exchange answers, and its clock agrees with the one here")


def _units(patient: Patient) -> Finding:
    note = marker.read(patient.database)
    if note is None:
        return Finding("units", OK, "no timers of systemd work on this store")
    text = f"timers of the {note.manager} manager, written by mdata {note.version}"
    if note.is_outdated():
        return Finding("units", PROBLEM, f"{text}, which is older than this one", "run `mdata timers install` again")
    return Finding("units", OK, text)


def _settings(patient: Patient) -> Iterator[Finding]:
    loaded, settings = patient.loaded, patient.settings
    if loaded.env_file is None:
        yield Finding("settings.env_file", OK, "none: options, the environment and the defaults are in force")
    elif loaded.env_file.name == ".env":
        text = f"{loaded.env_file} is in force because it lies in the current folder"
        yield Finding("settings.env_file", NOTE, text, "name another one with --env-file or MDATA_ENV_FILE")
    else:
        yield Finding("settings.env_file", OK, f"{loaded.env_file} is in force")
    for warning in loaded.warnings:
        yield Finding("settings.warning", NOTE, warning)
    for name, text in _risks(settings):
        yield Finding(f"settings.{name.lower()}", NOTE, f"{name}={text}")


def _risks(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.rate_limit_delay < 2:
        yield (
            "RATE_LIMIT_DELAY",
            f"{settings.rate_limit_delay:g}: Bitfinex has blocked whoever asks 30 times a minute",
        )
    if settings.settle_seconds < 60:
        yield "SETTLE_SECONDS", f"{settings.settle_seconds}: candles change for longer than that after they close"
    if settings.retention_days:
        age = human_duration(settings.retention_days * 86_400)
        yield "RETENTION_DAYS", f"{settings.retention_days}: `mdata cleanup` deletes candles older than {age}"
    for name, days in settings.retention_days_by_timeframe.items():
        yield "RETENTION_DAYS_BY_TIMEFRAME", f"{name}={days}: `mdata cleanup` deletes those that are older"
