"""Processes that hold what others wait for, and how long those others take: shared by the tests of waiting."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from conftest import Folder

from mdata.store.sqlite import sqlite3

# Takes the lock on the file that it is given, as mdata does, and then stands still until somebody ends it.
HOLD = """
import sys
from pathlib import Path
from mdata.flock.lock import FileLock
with FileLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

WRITERS = {
    "backfill": ["backfill"],
    "update": ["update"],
    "detect-gaps": ["detect-gaps"],
    "repair": ["repair"],
    "cleanup": ["cleanup", "--yes"],
    "verify": ["verify"],
}


def with_something_to_do(folder: Folder) -> Folder:
    """Fill a store so that every writer has something to do."""
    folder.settings.update(BACKFILL_DAYS="2", TIMEFRAMES="1h")
    assert folder.run("backfill").exit == 0
    folder.rows(
        "DELETE FROM candles WHERE open_time IN (SELECT open_time FROM candles ORDER BY open_time LIMIT 3, 2)"
    )
    assert folder.run("detect-gaps").exit == 0
    folder.settings.update(BACKFILL_DAYS="4", RETENTION_DAYS="3")
    return folder


@contextmanager
def held(path: Path, *, stopped: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the lock on `path`, and stand still as after Ctrl-Z."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    if stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the database as another tool would that has begun to write and was left open."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.close()


class Said(NamedTuple):
    """A line of a command, and when (s after its start) it came."""

    at: float
    line: str


class Watched:
    """A command that runs, and when it said what."""

    def __init__(self, folder: Folder, *arguments: str, lock: str = "mdata.db.write.lock", **settings: str) -> None:
        self._lock = str(folder.path / lock)
        self.began = time.monotonic()
        self.process = folder.start(*arguments, **settings)
        self.said: list[Said] = []
        self.seconds = self.waits_since = 0.0  # what it took, and took until it came to the lock
        self._waits = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while self._reader.is_alive() and self._lock not in open_files(self.process.pid):
            time.sleep(0.01)
        self.waits_since = self.now

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(Said(self.now, line))
            if "waiting for" in line:
                self._waits.set()
        self.process.wait()
        self.seconds = self.now

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    def waits(self) -> None:
        """Let it run until it says that it waits."""
        assert self._waits.wait(20), self.text

    def end(self) -> int:
        """Let it run to its end, and return its exit code."""
        self._reader.join(120)
        assert not self._reader.is_alive(), self.text
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.wait(10)

    @property
    def silence(self) -> float:
        """Return for how long it waited before it said so."""
        return next(one.at for one in self.said if "waiting for" in one.line) - self.waits_since

    @property
    def text(self) -> str:
        return "".join(one.line for one in self.said)


def open_files(pid: int) -> set[str]:
    """Return the paths of the files that a process has open."""
    found = set()
    with suppress(OSError):
        for one in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(one.readlink()))
    return found


def holds(pid: int, path: Path) -> bool:
    """Whether this process holds the lock on `path`, as the kernel says."""
    lock = rf"(?m)^\d+: FLOCK +ADVISORY +WRITE {pid} \w+:\w+:{path.stat().st_ino} "
    return re.search(lock, Path("/proc/locks").read_text()) is not None


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped; one that has ended is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return False
