"""Which file system a path is on: a store and lock files belong on a local disk."""

import os
from pathlib import Path

from mdata.errors import ConfigurationError

_TABLE = Path("/proc/self/mountinfo")
# On these file systems, machines do not share the shared memory of SQLite's log, and a lock may hold on one machine
# only.
_REMOTE = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
    "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs",
})  # fmt: skip


def refuse_remote(path: Path, setting: str) -> None:
    """Raise ConfigurationError if `path`, the value of `setting`, is or would be on a network file system."""
    kind = _kind(path)
    if kind in _REMOTE:
        raise ConfigurationError(
            f"{path} is on a network file system ({kind}), where locks and SQLite's log are not reliable: "
            f"set {setting} to a path on a local disk, and copy backups elsewhere"
        )


def _kind(path: Path) -> str | None:
    """Return the type of the file system of `path`, None if it is unknown."""
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
