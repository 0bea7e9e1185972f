"""`doctor`: what is fine, what you should know, and what is wrong, with the store and its environment."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mdata import checkup
from mdata.checkup import NOTE, OK, PROBLEM, Finding
from mdata.clock import Clock
from mdata.config import Loaded, Settings, rest_setting
from mdata.domain.priority import Priority
from mdata.domain.times import DAY_SECONDS, human_duration, iso
from mdata.errors import ConfigurationError, MdataError, RateLimitedError, UnreachableError
from mdata.exchange.protocols import Exchange
from mdata.exchange.registry import HOME
from mdata.mounts import refuse_remote
from mdata.running.context import Budget
from mdata.store import mending
from mdata.store.opening import open_store
from mdata.store.sqlite import SQLITE_VERSION, wal_reset_warning
from mdata.store.watch import file_status
from mdata.timers import owner

_LITTLE_ROOM = 256 * 1024 * 1024
# How long (s) to wait for a turn to ask the exchange for its time.
_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Patient:
    """What to examine; `exchange` creates a client of the exchange whose warnings go to the given function."""

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
    """Look at everything; `deep`: also read all that is stored. Nothing is changed; at most one request is sent."""
    return [
        _engine(),
        # This must run before the store is opened here: only a process that does not have the store open can see who
        # holds locks on it.
        *checkup.holders_of(patient.database),
        *checkup.files(patient.database),
        *checkup.store(patient.database, patient.clock.now(), deep=deep),
        _room(patient.database),
        *_remote(patient.settings),
        _budget(patient),
        _exchange(patient),
        _units(patient),
        *_settings(patient),
    ]


def fix(path: Path) -> list[str]:
    """Repair what can be repaired safely; return what was done, one sentence each."""
    done: list[str] = []
    if file_status(path) is None:
        return done
    with open_store(path, done.append) as store:
        if changed := mending.changed_triggers(store.connection):
            told = mending.put_triggers_back(store)
            done.append(f"the triggers {' and '.join(changed)} had been changed and are restored. {told}")
    return done


def _engine() -> Finding:
    warning = wal_reset_warning()
    if warning is not None:
        return Finding("engine", NOTE, *warning)
    return Finding("engine", OK, f"SQLite {SQLITE_VERSION}, no known defect that affects mdata")


def _room(database: Path) -> Finding:
    folder = next(one for one in (database.parent, *database.parents) if one.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e6:,.0f} MB free in {folder}"
    if free < _LITTLE_ROOM:
        return Finding("disk.space", PROBLEM, text, "free some space, or move the store to another disk")
    return Finding("disk.space", OK, text)


def _remote(settings: Settings) -> Iterator[Finding]:
    """Check whether the locked files are on a disk of this machine."""
    places = {"DATABASE_PATH": settings.database_path, "RATE_LIMIT_STATE_PATH": settings.rate_limit_state_path}
    for name, path in places.items():
        try:
            refuse_remote(path, name)
        except ConfigurationError as error:
            yield Finding("disk.remote", PROBLEM, str(error), "see the message")


def _budget(patient: Patient) -> Finding:
    path = patient.settings.rate_limit_state_path
    if not _is_usable(path):
        text = f"{path} is not a file that can be read and written: no job can send requests"
        return Finding(
            "rate.state",
            PROBLEM,
            text,
            "set RATE_LIMIT_STATE_PATH to another file, or change the owner and mode of this one",
        )
    seen = patient.budget.peek()
    waiting = f", {len(seen.waiting)} wait" if seen.waiting else ""
    if seen.blocked_until is not None:
        text = f"blocked until {iso(seen.blocked_until)} after {seen.refusals} refusals in a row{waiting}"
        return Finding("rate.state", NOTE, text, "wait: requests during the block make the exchange extend it")
    return Finding(
        "rate.state", OK, f"one request per {seen.pace.delay:g} s, {seen.free_now} can be sent now{waiting}"
    )


def _is_usable(path: Path) -> bool:
    """Whether this file can hold the rate budget; reading a pipe there would never end."""
    return not path.exists() or (path.is_file() and os.access(path, os.R_OK | os.W_OK))


def _exchange(patient: Patient) -> Finding:
    """Wait for a slot of the shared budget, send any request, and compare the answer's date with the local clock."""
    clock, budget, told = patient.clock, patient.budget, list[str]()
    if not _is_usable(patient.settings.rate_limit_state_path):
        return Finding(
            "clock.exchange",
            NOTE,
            "not compared with the exchange's clock: mdata sends nothing without a rate budget",
        )
    if budget.peek().blocked_until is not None:
        return Finding(
            "clock.exchange", NOTE, "not compared with the exchange's clock: the rate limit blocks all requests"
        )
    try:
        exchange = patient.exchange(told.append)
        budget.acquire(Priority.UPDATE, lambda: True, clock.boottime() + _PATIENCE)
        exchange.pairs(budget.sent)
        budget.answered()
    except RateLimitedError as error:
        budget.refused(error.retry_after)
        return Finding("clock.exchange", NOTE, f"not compared with the exchange's clock: {error}")
    except UnreachableError as error:
        return Finding("clock.exchange", PROBLEM, str(error), f"check the network, and {rest_setting(HOME)}")
    except (MdataError, TimeoutError) as error:
        return Finding("clock.exchange", NOTE, f"not compared with the exchange's clock: {error}")
    ahead = [text for text in told if "local clock" in text]
    if ahead:
        return Finding(
            "clock.exchange", PROBLEM, ahead[0], "stored candles are correct, because the exchange's time is used"
        )
    return Finding("clock.exchange", OK, "the exchange answers, and its clock agrees with the local one")


def _units(patient: Patient) -> Finding:
    note = owner.read(patient.database)
    if note is None:
        return Finding("units", OK, "no systemd timers use this store")
    text = f"timers of the {note.manager} manager, written by mdata {note.version}"
    if note.is_outdated():
        return Finding("units", PROBLEM, f"{text}, which is older than this one", "run `mdata timers install` again")
    return Finding("units", OK, text)


def _settings(patient: Patient) -> Iterator[Finding]:
    loaded, settings = patient.loaded, patient.settings
    if loaded.env_file is None:
        yield Finding("settings.env_file", OK, "none: options, the environment and the defaults are used")
    elif loaded.env_file.name == ".env":
        text = f"{loaded.env_file} is used because it is in the current folder"
        yield Finding("settings.env_file", NOTE, text, "choose another one with --env-file or MDATA_ENV_FILE")
    else:
        yield Finding("settings.env_file", OK, f"{loaded.env_file} is used")
    for warning in loaded.warnings:
        yield Finding("settings.warning", NOTE, warning)
    for name, text in _risks(settings):
        yield Finding(f"settings.{name.lower()}", NOTE, f"{name}={text}")


def _risks(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.settle_seconds < 60:
        yield "SETTLE_SECONDS", f"{settings.settle_seconds}: candles change for longer than this after they close"
    if settings.retention_days:
        age = human_duration(settings.retention_days * DAY_SECONDS)
        yield "RETENTION_DAYS", f"{settings.retention_days}: `mdata cleanup` deletes candles older than {age}"
    for name, days in settings.retention_days_by_timeframe.items():
        yield "RETENTION_DAYS_BY_TIMEFRAME", f"{name}={days}: `mdata cleanup` deletes older ones"
