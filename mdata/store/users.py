"""Who has a database open: by its descriptors in /proc where those may be looked at, and by the locks on it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mdata.flock import lock_owner

# Whoever has read a database in WAL mode keeps a lock on these bytes of it until it is closed.
_LOCK_BYTES = range(0x40000000, 0x40000000 + 512)

_PROCESSES = Path("/proc")


class Process(NamedTuple):
    """A process, what it is called, and whether it is stopped (by Ctrl-Z, say)."""

    pid: int
    name: str
    is_stopped: bool

    def __str__(self) -> str:
        """Return the process as a sentence names it."""
        return f"process {self.pid}{f' ({self.name})' if self.name else ''}{', which is stopped' * self.is_stopped}"


def users(path: Path) -> list[Process]:
    """Return the other processes that have the database at `path`, its log or its index open, as far as that shows.

    Only for a process that has not opened the database itself: its locks are gone afterwards.
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


def process(pid: int) -> Process:
    """Return what can be told of the process with this number."""
    try:
        text = (_PROCESSES / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Process(pid, "", is_stopped=False)
    # The name stands in parentheses, and may hold some itself.
    name, _, rest = text[text.index("(") + 1 :].rpartition(")")
    return Process(pid, name, is_stopped=rest.split()[0] in {"T", "t"})


def _pids() -> Iterator[int]:
    for entry in os.scandir(_PROCESSES):
        if entry.name.isdecimal():
            yield int(entry.name)


def _opened(pid: int) -> Iterator[tuple[int, int]]:
    """Give device and inode of each file that a process has open; nothing where that may not be looked at."""
    try:
        with os.scandir(_PROCESSES / str(pid) / "fd") as entries:
            names = [entry.path for entry in entries]
    except OSError:
        return
    for name in names:
        try:
            status = os.stat(name)  # noqa: PTH116 - a link of the kernel's, by the hundreds
        except OSError:
            continue
        yield status.st_dev, status.st_ino
