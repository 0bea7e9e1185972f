"""Removing the files that no recent version of a lake needs, and with them the older versions."""

from typing import NamedTuple
from urllib.parse import unquote

from mdata.lake.lake import Lake
from mdata.lake.place import names
from mdata.lake.tables import TABLES
from mdata.lake.trouble import told

_MS_PER_HOUR = 3_600_000


class Vacuumed(NamedTuple):
    """What is removed of a table: files, and every version before `version`, which was committed at `at` (ms UTC).

    `version` is None if only files that were never committed are removed. `parts` are the partitions of the files.
    """

    table: str
    files: int
    version: int | None
    at: int | None
    parts: tuple[str, ...]


def vacuum(lake: Lake, hours: int, now: int, *, dry_run: bool) -> list[Vacuumed]:
    """Remove the files that no version of the last `hours` hours needs; with `dry_run`, only report them."""
    found = []
    for name in TABLES:
        with told(lake.url):
            table = lake.tables[name]
            table.update_incremental()
            # Read the history and the list of files before removing anything, because the removal adds its own
            # entries to the log.
            history, there = table.history(), names(lake.url, name)
            # The log still names files that an earlier removal has deleted.
            listed = table.vacuum(retention_hours=hours, dry_run=dry_run, enforce_retention_duration=False, full=True)
        files = [path for path in listed if path in there]
        ended = [
            entry
            for entry in history
            if entry["timestamp"] <= now - hours * _MS_PER_HOUR
            and (entry.get("operationMetrics") or {}).get("num_removed_files", 0)
        ]
        newest = max(ended, key=lambda entry: entry["version"], default=None) if files else None
        parts = tuple(sorted({_part(path) for path in files}))
        version, at = (newest["version"], newest["timestamp"]) if newest else (None, None)
        found.append(Vacuumed(name, len(files), version, at, parts))
    return found


def _part(path: str) -> str:
    """Return the partition of a file: `tBTCUSD 1m 2024-03`."""
    said = dict(part.split("=", 1) for part in path.split("/")[:-1] if "=" in part)
    names = (said.get(name) for name in ("symbol", "timeframe", "period", "store"))
    return " ".join(unquote(name) for name in names if name is not None)
