"""The alarm of a failed unit: reported when the state changes, at most once in six hours.

A note per unit in mdata's state folder records how the last run failed and when that was reported. Runs under systemd
write their reason into it, and mark the failure as recovered when they succeed. This needs no settings, because an
alarm matters most when settings are invalid.
"""

import json
import os
import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mdata import exit_codes
from mdata.domain.timeframe import HOUR
from mdata.errors import MdataError
from mdata.files import replace_whole
from mdata.logs import harmless
from mdata.timers.endings import is_green, note_path
from mdata.timers.manager import journal, journal_of_run

TELL_AGAIN_AFTER = 6 * HOUR
_COMMAND_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run failed, in systemd's words: `result` exit-code, signal, timeout, watchdog; `status` 78 or KILL."""

    result: str
    status: str
    invocation_id: str

    @property
    def told(self) -> str:
        """Return this as text for people."""
        if self.result != "exit-code":
            return f"{self.result} ({self.status})" if self.status else self.result
        known = self.status.isdecimal() and exit_codes.is_known(int(self.status))
        return f"exit {self.status}" + (f" ({exit_codes.find(int(self.status)).meaning})" if known else "")


@dataclass(frozen=True, slots=True)
class Note:
    """What is recorded about a unit; instants are ms UTC, `reason` is that of the run `invocation_id`."""

    result: str = ""
    status: str = ""
    is_told: bool = False
    told_at: int = 0
    has_recovered: bool = False
    reason: str = ""
    invocation_id: str = ""

    def after(self, failure: Failure, now: int) -> "Note":
        """Return the note after a failure; `told_at` is `now` if it has to be reported."""
        is_same = (self.result, self.status) == (failure.result, failure.status) and not self.has_recovered
        is_told = self.is_told and is_same
        # Setting the clock back must not suppress the alarm.
        is_due = not is_told and not 0 <= now - self.told_at < TELL_AGAIN_AFTER
        return replace(
            self, result=failure.result, status=failure.status, has_recovered=False, is_told=is_told or is_due,
            told_at=now if is_due else self.told_at,
        )  # fmt: skip


def note_ending(folder: Path, unit: str, exit_code: int, reason: str | None, invocation_id: str) -> None:
    """Record how a run of `unit` ended: the reason of a failure, or that it has recovered. Never fails."""
    note = read(folder, unit)
    try:
        if not is_green(unit, exit_code):
            _write(folder, unit, replace(note, reason=reason or "", invocation_id=invocation_id))
        elif note.result and not note.has_recovered:
            _write(folder, unit, replace(note, has_recovered=True))
    except MdataError:
        pass


def tell(folder: Path, unit: str, failure: Failure, manager: str, now: int) -> str | None:
    """Return the message about a failure at `now` (ms UTC), or None if it has already been reported."""
    before = read(folder, unit)
    note = before.after(failure, now)
    _write(folder, unit, note)
    if note.told_at == before.told_at:
        return None
    reason = note.reason if note.invocation_id == failure.invocation_id else ""
    run = failure.invocation_id
    log = journal_of_run(manager, run) if run else journal(manager, unit.removeprefix("mdata-"))
    return f"{unit} failed: {failure.told}{': ' if reason else ''}{reason}; read `{' '.join(log)}`"


def untold(folder: Path, unit: str) -> None:
    """Note that the message was not delivered: the next failure at least six hours later is reported."""
    _write(folder, unit, replace(read(folder, unit), is_told=False))


def run_command(command: str, unit: str, failure: Failure, sentence: str) -> str | None:
    """Run NOTIFY_COMMAND with the message on its standard input; return what went wrong, or None."""
    variables = {"MDATA_UNIT": unit, "MDATA_RESULT": failure.result, "MDATA_STATUS": failure.status,
                 "MDATA_MESSAGE": sentence}  # fmt: skip
    # One line each, in UTF-8 with any locale, so that they are safe in mail headers and on terminals.
    assignments = [f"{name}={harmless(value)}".encode() for name, value in variables.items()]
    try:
        finished = subprocess.run(  # noqa: S603 - the user's own command
            ["/usr/bin/env", *assignments, "/bin/sh", "-c", os.fsencode(command)],
            input=f"{harmless(sentence)}\n".encode(), timeout=_COMMAND_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"NOTIFY_COMMAND did not end within {_COMMAND_SECONDS} s"
    except OSError as error:
        return f"NOTIFY_COMMAND could not be started: {error.strerror}"
    return f"NOTIFY_COMMAND ended with {finished.returncode}" if finished.returncode else None


def read(folder: Path, unit: str) -> Note:
    """Return what is recorded about a unit; a damaged note counts as none."""
    try:
        found = json.loads(note_path(folder, unit).read_bytes())
        note = Note(**found)
    except (OSError, ValueError, TypeError, RecursionError):
        return Note()
    return note if all(type(value) is type(getattr(Note(), name)) for name, value in asdict(note).items()) else Note()


def _write(folder: Path, unit: str, note: Note) -> None:
    replace_whole(note_path(folder, unit), json.dumps(asdict(note)) + "\n")
