"""What the exit code of a run means for its unit; small, because every run under systemd imports it."""

from pathlib import Path

from mdata import exit_codes
from mdata.config.systemd import state_folder

_SERVICE = "mdata-serve"  # the only unit that does not end by itself
_CHECK = "mdata-status"  # its exit 3 says that the store is not healthy, so it raises the alarm


def this_unit() -> str | None:
    """Return the unit, without `.service`, that this process belongs to; None if it is not one of mdata's."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        name = line.rpartition("/")[2]
        if name.startswith("mdata-") and name.endswith(".service") and "@" not in name:
            return name.removesuffix(".service")
    return None


def note_path(folder: Path, unit: str) -> Path:
    """Return where in the state folder the alarm keeps its note about a unit."""
    return folder / "alarms" / f"{unit}.json"


def green(unit: str) -> tuple[int, ...]:
    """Return the codes besides 0 that are a success of a unit; any other one raises an alarm."""
    found = exit_codes.green()
    if unit == _SERVICE:
        return tuple(code for code in found if code > 128)
    return tuple(code for code in found if code != exit_codes.WORK_REMAINS) if unit == _CHECK else found


def is_green(unit: str, exit_code: int) -> bool:
    """Whether this end of a unit counts as success."""
    return exit_code == exit_codes.OK or exit_code in green(unit)


def noteworthy(exit_code: int) -> tuple[Path, str] | None:
    """Return the state folder and the unit if the alarm has to record this end of the process, else None."""
    unit = this_unit()
    if unit is None:
        return None
    try:
        folder = state_folder()
    except ValueError:
        return None
    return None if is_green(unit, exit_code) and not note_path(folder, unit).exists() else (folder, unit)
