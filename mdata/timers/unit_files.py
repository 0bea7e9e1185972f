"""The texts of units and drop-ins: shipped files plus what depends on the settings. Pure except for reading files."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mdata import __version__
from mdata.domain.cadence import on_calendar
from mdata.domain.escape import quote
from mdata.errors import ConfigurationError
from mdata.timers.endings import green
from mdata.timers.timetable import Scheduled

SIGNATURE = "# Written by mdata "
_STORE = "# Store: "
_ENVIRONMENT = "mdata-.service.d/20-environment.conf"

# Beyond its own limit a run may wait for a lock (30 s) and for a last answer (70 s).
_SLACK = 120

_START = "ExecStart=@BINDIR@/mdata "
_OFFLINE = {"detect-gaps", "cleanup"}


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the units will work: manager, program, settings, store, and other writable folders."""

    manager: str
    program: Path
    env_file: Path | None
    database: Path
    writable: tuple[Path, ...] = ()
    status_is_offline: bool = True
    knows_deferring: bool = False


def texts(place: Installation, table: Iterable[Scheduled]) -> dict[str, str]:
    """Return every file of an installation by its path below the unit folder."""
    found = {name: _filled(name, text, place) for name, text in shipped().items()}
    found[_ENVIRONMENT] = _environment(place)
    if place.manager == "system":
        found |= _hardening(place)
    for one in table:
        found[f"mdata-{one.job}.timer.d/50-mdata.conf"] = _timer(one, place)
        if "--max-runtime" in arguments(one):
            found[f"mdata-{one.job}.service.d/50-mdata.conf"] = _limit(one, place)
    return {name: f"{_header()}\n{text}" for name, text in found.items()}


def shipped() -> dict[str, str]:
    """Return the units of the repository by their names, as templates.

    `@BINDIR@` stands for the program's folder, `@GREEN@` for the exit codes that are not failures.
    """
    files = [path for kind in ("services", "timers") for path in sorted((_source() / kind).iterdir())]
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def arguments(one: Scheduled) -> str:
    """Return the arguments of a job: those of its unit, with its own time limit."""
    lines = shipped()[f"mdata-{one.job}.service"].splitlines()
    line = next(line for line in lines if line.startswith(_START))
    return re.sub(r"--max-runtime \d+s", f"--max-runtime {one.run_seconds}s", line.removeprefix(_START))


def store_of(unit_folder: Path) -> Path | None:
    """Return the store that the units in this folder were written for, or None."""
    try:
        lines = (unit_folder / _ENVIRONMENT).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return next((Path(line.removeprefix(_STORE)) for line in lines if line.startswith(_STORE)), None)


def _filled(name: str, text: str, place: Installation) -> str:
    codes = " ".join(map(str, green(name.removesuffix(".service"))))
    return text.replace("@BINDIR@/mdata", _quoted(place.program)).replace("@GREEN@", codes)


def _source() -> Path:
    packaged = Path(__file__).with_name("data")
    # An editable installation reads the repository's own files.
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "systemd"


def _header() -> str:
    return (
        f"{SIGNATURE}{__version__}; `mdata timers install` overwrites this file. Put your own additions into "
        "override.conf."
    )


def _environment(place: Installation) -> str:
    lines = [
        "# The settings file and the store that all these services use.",
        f"{_STORE}{place.database}",
        "[Service]",
    ]
    if place.env_file is not None:
        lines.append(f"Environment={_quoted(place.env_file, 'MDATA_ENV_FILE=')}")
    if place.writable:
        lines.append("# Folders from the settings; everything else except /var/lib/mdata is read-only.")
        lines.append("ReadWritePaths=" + " ".join(_quoted(folder) for folder in place.writable))
    return "\n".join(lines) + "\n"


def _hardening(place: Installation) -> dict[str, str]:
    def read(name: str) -> str:
        return (_source() / "hardening" / name).read_text(encoding="utf-8")

    offline = _OFFLINE | ({"status"} if place.status_is_offline else set())
    return {
        "mdata-.service.d/10-system.conf": read("system.conf"),
        # A file of the same name in the folder of a single unit replaces the general one.
        "mdata-notify@.service.d/10-system.conf": read("notify.conf"),
        "mdata-serve.service.d/15-loopback.conf": read("loopback.conf"),
        "mdata-publish.service.d/15-publish.conf": read("publish.conf"),
        **{f"mdata-{job}.service.d/15-offline.conf": read("offline.conf") for job in sorted(offline)},
    }


def _timer(one: Scheduled, place: Installation) -> str:
    # An empty assignment clears all times of the unit, including the one after boot.
    lines = ["[Timer]", "OnCalendar=", *(f"OnCalendar={on_calendar(times)}" for times in one.times)]
    if one.at_startup:
        lines.append("OnStartupSec=2min")
    lines.append(f"RandomizedDelaySec={one.random_delay}")
    if place.knows_deferring and one.job != "stream":
        lines.append("# If a run is still active at its next time, that time is left out.")
        lines.append("DeferReactivation=yes")
    return "\n".join(lines) + "\n"


def _limit(one: Scheduled, place: Installation) -> str:
    start = f"ExecStart={_quoted(place.program)} {arguments(one)}"
    return f"[Service]\nExecStart=\n{start}\nTimeoutStartSec={(one.run_seconds or 0) + _SLACK}\n"


def _quoted(path: Path, prefix: str = "") -> str:
    """Return a path as written in a unit file; raise ConfigurationError if that is impossible."""
    text = str(path)
    if not text.isprintable() or any(character in text for character in "\"'\\$"):
        raise ConfigurationError(
            f"the path {quote(text)} cannot be written into a unit file; use one without quotes, \\ and $"
        )
    text = prefix + text.replace("%", "%%")
    return f'"{text}"' if " " in text else text
