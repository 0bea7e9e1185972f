"""Which file system a path is on: a store, and what is locked, belong on a disk of this machine's own."""

import os
from pathlib import Path

from mdata.errors import ConfigurationError

_TABLE = Path("/proc/self/mountinfo")
# On these the shared memory of SQLite's log is not shared, and a lock may hold on one machine only.
_REMOTE = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
    "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs",
})  # fmt: skip


def refuse_remote(path: Path, setting: str) -> None:
    """Raise ConfigurationError where `path`, which `setting` names, is or would be on another machine's disk."""
    kind = _kind(path)
    if kind in _REMOTE:
        raise ConfigurationError(
            f"{path} is on a network file system ({kind}), where neither locks nor SQLite's log can be relied on: "
            f"set {setting} to a path on a disk of this machine, and take copies elsewhere"
        )


def _kind(path: Path) -> str | None:
    """Return the kind of the file system that holds `path`; None where the system does not tell."""
    try:
        device = next(place for place in path.parents if place.exists()).stat().st_dev
        lines = _TABLE.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        fields = line.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return None
