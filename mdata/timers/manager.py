"""The only place that calls systemd: systemctl and journalctl."""

import json
import os
import pwd
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from mdata.config.systemd import manager_environment
from mdata.errors import ConfigurationError, NotPermittedError
from mdata.timers.owner import Marker

# systemctl answers within milliseconds; a systemd that hangs must not block mdata.
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Elapse:
    """When the timer of a job elapses next, and when it last did, ms UTC; None: never."""

    job: str
    next_at: int | None
    last_at: int | None


def elapses(marker: Marker, seconds: float = 5.0) -> list[Elapse] | None:
    """Return the next and the last elapse of every mdata timer, or None if its manager does not answer.

    The manager of another user never answers, because only that user may query it.
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
    # systemd writes "never" as the largest number or zero.
    return microseconds // 1000 if microseconds and microseconds < 2**62 else None


def journal(manager: str | None, *jobs: str) -> list[str]:
    """Return the command that shows the log of `jobs`, or of all of mdata, from the manager that runs them."""
    units = [f"mdata-{job}.service" for job in jobs] or ["mdata-*"]
    return ["journalctl", *_of(manager or "system"), *(f"--unit={unit}" for unit in units)]


def journal_of_run(manager: str | None, invocation_id: str) -> list[str]:
    """Return the command that shows the log of one run, and what its manager logged about it.

    If `manager` is None, the units are not mdata's, and the manager of this user is assumed.
    """
    manager = manager or ("system" if os.getuid() == 0 else "user")
    said_by_manager = "USER_INVOCATION_ID" if manager == "user" else "INVOCATION_ID"
    run = f"_SYSTEMD_INVOCATION_ID={invocation_id}"
    return ["journalctl", *_of(manager), run, "+", f"{said_by_manager}={invocation_id}"]


def open_journal(call: list[str]) -> NoReturn:
    """Become journalctl, with its pager at a terminal; raise an MdataError if it cannot show anything."""
    # The exit codes of journalctl are not mdata's: check first whether it would fail.
    lines_of([*call, "--lines=1"])
    try:
        os.execvp(call[0], call)  # noqa: S606 - no shell is meant
    except OSError as error:
        raise _no_journal(call, error) from error


def lines_of(call: list[str]) -> list[str]:
    """Return what journalctl shows.

    Raise NotPermittedError if this user may not read the journal, ConfigurationError if journalctl fails.
    """
    try:
        finished = _run(*call, "--no-pager", "--output=short-iso", "--quiet", seconds=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _no_journal(call, error) from error
    if finished.returncode and "permission" in finished.stderr:
        raise NotPermittedError(
            "this user may not read the journal: ask for `usermod -aG systemd-journal USER`, then log in again"
        )
    if finished.returncode and finished.stderr:
        raise ConfigurationError(f"`{' '.join(call)}` failed: {' '.join(finished.stderr.split())}")
    return finished.stdout.splitlines()


def _no_journal(call: list[str], error: Exception) -> ConfigurationError:
    return ConfigurationError(f"cannot open the journal here ({error}); elsewhere, run `{' '.join(call)}`")


def systemd_version(manager: str) -> int | None:
    """Return the version of a manager, or None if it does not answer."""
    try:
        finished = _run("systemctl", *_of(manager), "show", "--property=Version", "--value", seconds=5.0)
    except (OSError, subprocess.TimeoutExpired):
        return None
    number = re.match(r"[0-9]+", finished.stdout)
    return int(number[0]) if finished.returncode == 0 and number else None


def searches(manager: str, folder: Path) -> bool:
    """Whether a manager reads units from this folder."""
    return str(folder) in systemctl(manager, "show", "--property=UnitPath", "--value").split()


def no_answer(manager: str) -> str:
    """Return the message for a manager that does not answer."""
    whose = "your systemd (systemctl --user)" if manager == "user" else "the system's systemd"
    return f"{whose} does not answer here; `mdata timers show --cron` prints a crontab with the same schedule"


def list_timers(manager: str) -> str:
    """Return systemd's own table of mdata's timers."""
    return systemctl(manager, "list-timers", "--all", "--no-pager", "mdata-*")


def is_lingering() -> bool:
    """Whether this user's manager keeps running after logout."""
    return Path("/var/lib/systemd/linger", current_user()).exists()


def systemctl(manager: str, *arguments: str) -> str:
    """Run systemctl for the "user" or "system" manager, return its output; raise ConfigurationError if it fails."""
    return _said("systemctl", *_of(manager), *arguments)


def quiet_systemctl(manager: str, *arguments: str) -> bool:
    """Run systemctl and return whether it succeeded; a failure does not matter."""
    try:
        systemctl(manager, *arguments)
    except ConfigurationError:
        return False
    return True


def timer_states(manager: str, units: Sequence[str]) -> dict[str, str]:
    """Return "enabled active", "disabled inactive" and the like for those of the timers that the manager knows."""
    try:
        said = systemctl(manager, "show", "--property=Id,LoadState,UnitFileState,ActiveState", *units)
    except ConfigurationError:
        return {}
    found = {}
    for block in said.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("LoadState") == "loaded":
            found[values["Id"]] = f"{values['UnitFileState']} {values['ActiveState']}"
    return found


def verify(manager: str, texts: Mapping[str, str]) -> None:
    """Let systemd check units before they are installed; raise ConfigurationError with its complaints."""
    with tempfile.TemporaryDirectory(prefix="mdata-units-") as folder:
        for name, text in texts.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        # A template is checked as one of its instances.
        units = [f"{folder}/{name.replace('@.', '@mdata-backfill.')}" for name in texts if "/" not in name]
        finished = _started("systemd-analyze", "verify", *_of(manager), *units)
    # systemd also reads units of other programs, which may have faults of their own.
    complaints = [line.replace(f"{folder}/", "") for line in finished.stderr.splitlines() if "mdata-" in line]
    if complaints:
        raise ConfigurationError(f"systemd rejects the units; nothing was installed: {'; '.join(complaints)}")


def _said(*command: str) -> str:
    finished = _started(*command)
    if finished.returncode:
        reason = " ".join(finished.stderr.split()) or f"exit {finished.returncode}"
        raise ConfigurationError(f"`{' '.join(command)}` failed: {reason}")
    return finished.stdout


def _started(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return _run(*command, seconds=_SECONDS)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"there is no {command[0]} on this machine; `mdata timers show --cron` prints a crontab instead"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"`{' '.join(command)}` did not answer within {_SECONDS:.0f} s") from error


def current_user() -> str:
    """Return the name of the user that runs this, or the number if there is no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _of(manager: str) -> tuple[str, ...]:
    return ("--user",) if manager == "user" else ()


def _run(*command: str, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=manager_environment(), encoding="utf-8", errors="replace", capture_output=True, timeout=seconds,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
