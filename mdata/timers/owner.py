"""The note beside a store that says which systemd manager schedules it: `mdata.db.timers.json`."""

import json
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mdata import __version__
from mdata.files import replace_whole


class Marker(NamedTuple):
    """Who schedules a store: `manager` is "user" or "system", `version` is that of the mdata that wrote the units."""

    manager: str
    user: str
    unit_folder: Path
    env_file: Path | None
    version: str

    def is_outdated(self, version: str = __version__) -> bool:
        """Whether the units were written by an older mdata than `version`."""
        return _numbers(self.version) < _numbers(version)


def marker_path(database: Path) -> Path:
    """Return where the note of the store at `database` is."""
    return database.with_name(f"{database.name}.timers.json")


def read(database: Path) -> Marker | None:
    """Return who schedules the store at `database`; None if nobody does, or if the note cannot be read."""
    try:
        found = json.loads(marker_path(database).read_bytes())
        env_file = found["env_file"]
        marker = Marker(
            str(found["manager"]),
            str(found["user"]),
            Path(found["unit_folder"]),
            None if env_file is None else Path(env_file),
            str(found["version"]),
        )
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return marker if marker.manager in {"user", "system"} and marker.unit_folder.is_absolute() else None


def write(database: Path, marker: Marker) -> None:
    """Record who schedules the store at `database`."""
    replace_whole(marker_path(database), json.dumps(marker._asdict(), default=str) + "\n")


def remove(database: Path) -> None:
    """Remove the note about who schedules the store at `database`."""
    with suppress(FileNotFoundError):
        marker_path(database).unlink()


def _numbers(version: str) -> list[int]:
    return [int(part) if part.isdecimal() else 0 for part in version.split(".")]
