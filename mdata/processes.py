"""Information about other processes: which one holds a lock on a file, since when it runs, whether it is stopped.

It is only for messages. If /proc shows less (a container, `hidepid`), messages contain less.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mdata.clock import SystemClock
from mdata.domain.times import iso

_CLOCK = SystemClock()
_LONGEST = 60  # characters of a command line that are shown


class Process(NamedTuple):
    """A process, as far as it is visible; `since` (ms UTC) is when it was started."""

    pid: int
    command: str | None = None
    since: int | None = None
    is_stopped: bool = False

    def __str__(self) -> str:
        """Return the process for a message: its name, its pid, and what to do if it is stopped."""
        name = f"`{self.command}`" if self.command else "another process"
        since = "" if self.since is None else f", running since {iso(self.since)}"
        stopped = f", stopped: `kill -CONT {self.pid}` resumes it" if self.is_stopped else ""
        return f"{name} (process {self.pid}{since}{stopped})"


def process(pid: int) -> Process:
    """Return what can be seen of the process `pid`."""
    try:
        state, *others = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        seconds_ago = _CLOCK.boottime() - int(others[18]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return Process(pid)
    return Process(pid, _command(pid), (_CLOCK.now() - int(seconds_ago * 1000)) // 1000 * 1000, state == "T")


def holders(*paths: Path) -> list[Process]:
    """Return the other processes that hold an exclusive lock of any kind on one of these files."""
    files = []
    for path in paths:
        with suppress(OSError):
            files.append(path.lstat())
    pids = dict.fromkeys(pid for pid in _locking(files) if pid != os.getpid())
    return [process(pid) for pid in pids]


def _locking(files: list[os.stat_result]) -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            # 1: FLOCK ADVISORY WRITE 4711 fe:00:2146316 0 EOF; a waiting process has an arrow in the second field.
            _, _, _, access, pid, place, *_ = line.split()
            if access != "WRITE" or int(pid) <= 0:
                continue
            major, minor, inode = place.split(":")
            for file in files:
                if int(inode) == file.st_ino and (
                    (int(major, 16), int(minor, 16)) == (os.major(file.st_dev), os.minor(file.st_dev))
                    # Some file systems (btrfs) report another device number here.
                    or _has_open(int(pid), file)
                ):
                    yield int(pid)


def _has_open(pid: int, file: os.stat_result) -> bool:
    with suppress(OSError):
        return any(os.path.samestat(entry.stat(), file) for entry in os.scandir(f"/proc/{pid}/fd"))
    return False


def _command(pid: int) -> str | None:
    """Return how the process was called: `mdata cleanup`, or the beginning of any other command line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return None
    names = [os.path.basename(word) for word in words]  # noqa: PTH119 - a word, and perhaps no path
    if "mdata" in names:
        return " ".join(names[names.index("mdata") :][:2])
    text = " ".join(words)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
