"""The only place that talks to systemd: systemctl, and the journal's command line."""

import json
import os
import pwd
import subprocess
from dataclasses import dataclass
from typing import Any, NoReturn

from mdata.config.systemd import manager_environment
from mdata.errors import ConfigurationError
from mdata.units.marker import Marker

# systemctl answers within milliseconds; a manager that hangs must not take us with it.
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Elapse:
    """When the timer of a job elapses next and did last, ms UTC; None: never."""

    job: str
    next_at: int | None
    last_at: int | None


def elapses(marker: Marker, seconds: float = 5.0) -> list[Elapse] | None:
    """Return the next and the last elapse of every mdata timer, or None where its manager does not answer.

    That is also the answer about the manager of another user: nobody else may ask it.
    """
    if marker.manager == "user" and marker.user != current_user():
        return None
    options = ("--all", "--output=json", "--no-pager", "mdata-*.timer")
    try:
        finished = _run("systemctl", *_of(marker.manager), "list-timers", *options, seconds=seconds)
        rows = json.loads(finished.stdout) if finished.returncode == 0 else None
        return None if rows is None else [_elapse(row) for row in rows]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, subprocess.TimeoutExpired):
        return None


def _elapse(row: dict[str, Any]) -> Elapse:
    job = row["unit"].removeprefix("mdata-").removesuffix(".timer")
    return Elapse(job, _instant(row["next"]), _instant(row["last"]))


def _instant(microseconds: int | None) -> int | None:
    # "Never" is the largest number there is, or zero.
    return microseconds // 1000 if microseconds and microseconds < 2**62 else None


def journal(marker: Marker | None, *jobs: str) -> list[str]:
    """Return the command that shows the log of `jobs`, or of all of mdata, from the manager that runs them."""
    units = [f"mdata-{job}.service" for job in jobs] or ["mdata-*"]
    return ["journalctl", *_of(marker.manager if marker else "system"), *(f"--unit={unit}" for unit in units)]


def journal_of_run(marker: Marker | None, invocation_id: str) -> list[str]:
    """Return the command that shows the log of one run, and what the manager said about it.

    Without a marker the units are not ours; then it is the manager that runs things for this user.
    """
    manager = marker.manager if marker else ("system" if os.getuid() == 0 else "user")
    said_by_manager = "USER_INVOCATION_ID" if manager == "user" else "INVOCATION_ID"
    run = f"_SYSTEMD_INVOCATION_ID={invocation_id}"
    return ["journalctl", *_of(manager), run, "+", f"{said_by_manager}={invocation_id}"]


def open_journal(call: list[str]) -> NoReturn:
    """Become journalctl, with its pager at a terminal; raise ConfigurationError where there is none."""
    try:
        os.execvp(call[0], call)  # noqa: S606 - no shell is meant
    except OSError as error:
        raise _no_journal(call, error) from error


def lines_of(call: list[str]) -> list[str]:
    """Return what journalctl shows; raise ConfigurationError where it cannot."""
    try:
        finished = _run(*call, "--no-pager", "--output=short-iso", "--quiet", seconds=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _no_journal(call, error) from error
    if finished.returncode and finished.stderr:
        raise ConfigurationError(f"`{' '.join(call)}` failed: {' '.join(finished.stderr.split())}")
    return finished.stdout.splitlines()


def _no_journal(call: list[str], error: Exception) -> ConfigurationError:
    return ConfigurationError(f"the journal cannot be opened here ({error}); elsewhere: `{' '.join(call)}`")


def systemctl(manager: str, *arguments: str) -> str:
    """Run systemctl for the "user" or "system" manager, return what it says; raise ConfigurationError if it fails."""
    try:
        finished = _run("systemctl", *_of(manager), *arguments, seconds=_SECONDS)
    except FileNotFoundError as error:
        raise ConfigurationError(
            "there is no systemctl on this machine; `mdata timers show --cron` prints a crontab instead"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"systemctl {' '.join(arguments)} did not answer within {_SECONDS:.0f} s") from error
    if finished.returncode:
        reason = " ".join(finished.stderr.split()) or f"exit {finished.returncode}"
        raise ConfigurationError(f"systemctl {' '.join(arguments)} failed: {reason}")
    return finished.stdout


def current_user() -> str:
    """Return the name of the user that runs this, or the number where there is no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _of(manager: str) -> tuple[str, ...]:
    return ("--user",) if manager == "user" else ()


def _run(*command: str, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=manager_environment(), text=True, capture_output=True, timeout=seconds, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
