"""What the end of a run means to its unit; imported by every run under systemd, and therefore small."""

from pathlib import Path

from mdata.config.systemd import state_folder

# What a unit may end with and be green; anything else is an alarm. For `status`, 3 is what it is there to tell.
GREEN = frozenset({0, 3, 69, 75, 129, 130, 143})
GREEN_STATUS = GREEN - {3}


def this_unit() -> str | None:
    """Return the unit, without `.service`, that this process belongs to; None where it is none of ours."""
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


def is_green(unit: str, exit_code: int) -> bool:
    """Whether a unit that ended so is well."""
    return exit_code in (GREEN_STATUS if unit == "mdata-status" else GREEN)


def remember(exit_code: int, reason: str | None, invocation_id: str) -> None:
    """Note for the alarm why this run failed, or that its unit has recovered. Never fails."""
    unit = this_unit()
    if unit is None:
        return
    try:
        folder = state_folder()
    except ValueError:
        return
    if is_green(unit, exit_code) and not note_path(folder, unit).exists():
        return
    from mdata.units import alarm

    alarm.note_ending(folder, unit, exit_code, reason, invocation_id)
