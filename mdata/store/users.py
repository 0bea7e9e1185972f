"""Which processes have a database open: found by descriptors in /proc, if readable, and by the locks on it."""

import os
from collections.abc import Iterator
from pathlib import Path

from mdata.flock.looking import lock_owner
from mdata.processes import Process, process

# A process that has read a database in WAL mode keeps a lock on these bytes until it closes it.
_LOCK_BYTES = range(0x40000000, 0x40000000 + 512)

_PROCESSES = Path("/proc")


def users(path: Path) -> list[Process]:
    """Return the other processes that are seen to have the database at `path`, its log or its index open.

    Call this only in a process that has not opened the database itself: otherwise the process would lose its locks on
    the database.
    """
    files = set()
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        try:
            status = path.with_name(name).stat()
        except OSError:
            continue
        files.add((status.st_dev, status.st_ino))
    found = {pid for pid in _pids() if pid != os.getpid() and not files.isdisjoint(_opened(pid))}
    owner = lock_owner(path, _LOCK_BYTES)
    return [process(pid) for pid in sorted(found | ({owner} if owner else set()))]


def _pids() -> Iterator[int]:
    for entry in os.scandir(_PROCESSES):
        if entry.name.isdecimal():
            yield int(entry.name)


def _opened(pid: int) -> Iterator[tuple[int, int]]:
    """Yield device and inode of each file that a process has open; nothing if that may not be read."""
    try:
        with os.scandir(_PROCESSES / str(pid) / "fd") as entries:
            names = [entry.path for entry in entries]
    except OSError:
        return
    for name in names:
        try:
            status = os.stat(name)  # noqa: PTH116 - links of the kernel, hundreds of them
        except OSError:
            continue
        yield status.st_dev, status.st_ino
