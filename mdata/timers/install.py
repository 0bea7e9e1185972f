"""Installing and removing units: only files that differ are written, and only mdata's own are removed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mdata import __version__
from mdata.config.systemd import stamp_folder
from mdata.errors import ConfigurationError, NotPermittedError
from mdata.files import replace_whole
from mdata.timers import owner
from mdata.timers.manager import (
    current_user,
    quiet_systemctl,
    systemctl,
    timer_states,
    verify,
)
from mdata.timers.owner import Marker
from mdata.timers.timetable import SCHEDULED, Scheduled
from mdata.timers.unit_files import SIGNATURE, Installation, store_of, texts

TIMERS = tuple(f"mdata-{job}.timer" for job in SCHEDULED)
# Installed like the jobs, but only a person enables it.
SERVE = "mdata-serve.service"


@dataclass(slots=True)
class Changes:
    """What an installation changes, or would change."""

    written: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    enabled: list[str] = field(default_factory=list)
    disabled: list[str] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def install(place: Installation, table: list[Scheduled], folder: Path, *, dry_run: bool = False) -> Changes:
    """Make the units in `folder` follow the settings; problems raise an MdataError before anything is changed."""
    wanted = {folder / name: text for name, text in texts(place, table).items()}
    _refuse_second_manager(place, folder)
    found = _ours(folder)
    _refuse_strangers(wanted, found)
    verify(place.manager, {str(path.relative_to(folder)): text for path, text in wanted.items()})
    changes = Changes(
        written=[path for path, text in wanted.items() if found.get(path) != text],
        removed=[path for path in found if path not in wanted],
    )
    _compare_states(changes, place, table)
    if not dry_run:
        _apply(changes, wanted, place, table, folder)
    return changes


def _compare_states(changes: Changes, place: Installation, table: list[Scheduled]) -> None:
    states = timer_states(place.manager, TIMERS)
    for one in table:
        unit = f"mdata-{one.job}.timer"
        state = states.get(unit, "")
        if one.is_enabled and state != "enabled active":
            changes.enabled.append(unit)
        elif not one.is_enabled and state and state != "disabled inactive":
            changes.disabled.append(unit)


def _apply(
    changes: Changes, wanted: dict[Path, str], place: Installation, table: list[Scheduled], folder: Path
) -> None:
    _move_marker(place, folder)
    try:
        for path in changes.written:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            replace_whole(path, wanted[path], 0o644)
        _remove(changes.removed)
    except PermissionError as error:
        raise NotPermittedError(f"cannot write units in {folder}: {error.strerror}; run this as root") from error
    manager = place.manager
    if changes.written or changes.removed:
        systemctl(manager, "daemon-reload")
    if changes.disabled:
        systemctl(manager, "disable", "--now", *changes.disabled)
        if "mdata-stream.timer" in changes.disabled:
            # Only the stream has to be stopped; the other jobs soon end by themselves.
            systemctl(manager, "stop", "mdata-stream.service")
    touched = {path.name.removesuffix(".d") for path in (one.parent for one in changes.written)}
    touched |= {path.name for path in changes.written}
    moved = [unit for unit in TIMERS if unit in touched and unit not in (*changes.enabled, *changes.disabled)]
    running = [f"mdata-{one.job}.timer" for one in table if one.is_enabled]
    if again := [unit for unit in moved if unit in running]:
        systemctl(manager, "restart", *again)
    if touched & {SERVE, "mdata-.service"}:
        systemctl(manager, "try-restart", SERVE)
    if changes.enabled:
        systemctl(manager, "enable", "--now", *changes.enabled)
    if "mdata-backfill.timer" in changes.enabled and any(one.at_startup for one in table):
        systemctl(manager, "start", "--no-block", "mdata-backfill.service")


def uninstall(manager: str, folder: Path) -> Changes:
    """Stop and remove units, drop-ins, links and stamps; data, env file and files of others stay."""
    found = _ours(folder)
    store = store_of(folder)
    changes = Changes(removed=list(found))
    if found:
        present = [unit for unit in TIMERS if folder / unit in found]
        changes.disabled = present
        quiet_systemctl(manager, "disable", "--now", *present, SERVE)
        quiet_systemctl(manager, "stop", "mdata-*.service")
        # `systemctl clean` is not used, because it needs a message bus that small machines lack.
        _remove(stamp_folder(manager).glob("stamp-mdata-*.timer"))
        _remove(changes.removed)
        for wants in (folder / "timers.target.wants", folder / "default.target.wants"):
            for link in wants.glob("mdata-*"):
                if link.is_symlink() and not link.exists():
                    link.unlink()
            _remove_empty(wants)
        quiet_systemctl(manager, "daemon-reload")
        quiet_systemctl(manager, "reset-failed", "mdata-*")
    changes.kept = sorted(path for path in folder.glob("mdata-*.d/*") if path.is_file())
    if store is not None and _is_of(owner.read(store), manager, folder):
        owner.remove(store)
    return changes


def _move_marker(place: Installation, folder: Path) -> None:
    """Write the note beside the store that these units now schedule, and remove it from the previous one."""
    before = store_of(folder)
    if before is not None and before != place.database and _is_of(owner.read(before), place.manager, folder):
        owner.remove(before)
    wanted = Marker(place.manager, current_user(), folder, place.env_file, __version__)
    if owner.read(place.database) != wanted:
        owner.write(place.database, wanted)


def _is_of(found: Marker | None, manager: str, folder: Path) -> bool:
    return found is not None and (found.manager, found.unit_folder) == (manager, folder)


def _refuse_second_manager(place: Installation, folder: Path) -> None:
    """Raise ConfigurationError if another manager schedules the store: two schedules would share one budget."""
    found = owner.read(place.database)
    if found is None or _is_of(found, place.manager, folder):
        return
    try:
        if not (found.unit_folder / TIMERS[0]).exists():
            # The units of the other manager were removed without `mdata timers uninstall`.
            return
    except PermissionError:
        pass
    whose = "the system's systemd" if found.manager == "system" else f"the systemd of user {found.user}"
    raise ConfigurationError(
        f"{place.database} is already scheduled by {whose} (units in {found.unit_folder}); run `mdata timers "
        f"uninstall --{found.manager}` there first"
    )


def _ours(folder: Path) -> dict[Path, str]:
    """Return the files in a unit folder that mdata wrote, with their texts."""
    found = {}
    for path in sorted((*folder.glob("mdata-*"), *folder.glob("mdata-*.d/*"))):
        try:
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
        except (OSError, ValueError):
            continue
        if text.startswith(SIGNATURE):
            found[path] = text
    return found


def _refuse_strangers(wanted: Iterable[Path], found: dict[Path, str]) -> None:
    strangers = [path for path in wanted if path not in found and (path.exists() or path.is_symlink())]
    if strangers:
        raise ConfigurationError(
            f"{strangers[0]} was not written by `mdata timers install` and was not changed: move it away (your own "
            "additions belong in override.conf beside the unit), then run this again"
        )


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
        if path.parent.name.endswith(".d"):
            _remove_empty(path.parent)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
