"""One call on the store's files fails, or is the last of its process: it is told, and the next run makes up for it.

Every call that a job makes on these files (open, write, sync, truncate, rename, unlink, lock) is counted by strace
first; then one of them at a time is made to fail, with EIO, ENOSPC and EACCES, or the process is killed at it.
"""

import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import DAY, Folder, stored, truth
from killing import assert_sound, bring_back, has_tables, kept_of, needs_strace, prepared

from mdata.running.commands import JOBS

pytestmark = needs_strace

CALLS = (
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "link",
    "unlink",
    "flock",
    "fcntl",
    "fchmod",
)
FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "EACCES": "error=EACCES", "kill": "signal=SIGKILL"}
# Storage, not now, permission, configuration (a file system without locks); or it went well all the same.
CODES = {0, 74, 75, 77, 78}
CHUNKS = 3  # so that several processors share the work; odd, for each to meet every one of the four faults
Record = Callable[[str, object], None]


class Trial(NamedTuple):
    """The nth call of this name on the store's files is met by this fault."""

    call: str
    number: int
    fault: str


@dataclass(frozen=True)
class Sweep:
    """A command, how its store is brought back to the beginning, and what holds when it has ended well."""

    folder: Folder
    arguments: tuple[str, ...]
    begin: Callable[[], None]
    assert_done: Callable[[], None]

    def files(self) -> list[Path]:
        names = ["mdata.db", "mdata.db-wal", "mdata.db-shm", "mdata.db-journal", "mdata.db.write.lock"]
        locks = [f"mdata.db.{command}.lock" for command in JOBS]
        return [self.folder.path, *(self.folder.path / name for name in (*names, *locks))]

    def traced(self, log: Path | str, *options: str) -> list[str | Path]:
        paths = [option for path in self.files() for option in ("-P", str(path))]
        return ["strace", "-f", "-qq", "-o", log, *paths, *options]

    def counted(self) -> Counter[str]:
        """Return how often each call is made on the store's files in a run that nothing happens to."""
        self.begin()
        log = self.folder.path / "calls"
        self.folder.before = self.traced(log, "-e", f"trace={','.join(CALLS)}")
        ended = self.folder.run(*self.arguments)
        self.folder.before = []
        assert ended.exit == 0, ended.err
        self.assert_done()
        return Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))

    def trials(self) -> list[Trial]:
        counted = self.counted()
        return [
            Trial(call, number, fault) for call in CALLS for number in range(1, counted[call] + 1) for fault in FAULTS
        ]

    def endure(self, trial: Trial) -> int:
        """Let the fault happen; check what came of it, and that a run without it ends well. Return the exit code."""
        self.begin()
        inject = f"inject={trial.call}:{FAULTS[trial.fault]}:when={trial.number}"
        self.folder.before = self.traced("/dev/null", "-e", f"trace={trial.call}", "-e", inject)
        ended = self.folder.run(*self.arguments)
        self.folder.before = []
        assert "Traceback" not in ended.err, (trial, ended.err)
        assert "bug" not in ended.err, (trial, ended.err)
        killed = {-signal.SIGKILL, 128 + signal.SIGKILL} if trial.fault == "kill" else set()
        assert ended.exit in CODES | killed, (trial, ended.exit, ended.err)
        if ended.exit == 0:
            # Exit 0 means: it is on the disk.
            self.assert_done()
            return 0
        assert ended.err or trial.fault == "kill", trial
        if has_tables(self.folder):
            assert self.folder.rows("PRAGMA integrity_check") == [("ok",)], trial
        again = self.folder.run(*self.arguments)
        assert again.exit == 0, (trial, again.err)
        self.assert_done()
        return ended.exit


def backfill(folder: Folder) -> Sweep:
    folder.settings.update(BACKFILL_DAYS="3", TIMEFRAMES="1D")

    def begin() -> None:
        for path in folder.path.glob("mdata.db*"):
            path.unlink()

    def assert_done() -> None:
        assert_sound(folder)
        today = (now := folder.sandbox.clock.now()) - now % DAY
        assert stored(folder.database, "tBTCUSD", "1D") == truth(
            folder.sandbox, "tBTCUSD", "1D", today - 3 * DAY, today
        )

    return Sweep(folder, ("backfill",), begin, assert_done)


def repair(folder: Folder) -> Sweep:
    held = prepared(folder)

    def assert_done() -> None:
        assert_sound(folder)
        assert stored(folder.database, "tBTCUSD", "1D") == held
        assert folder.rows("SELECT DISTINCT status FROM data_gaps") == [("repaired",)]

    return Sweep(folder, ("repair",), lambda: bring_back(folder), assert_done)


def cleanup(folder: Folder) -> Sweep:
    held = prepared(folder)
    folder.settings["RETENTION_DAYS"] = "20"
    now = folder.sandbox.clock.now()
    cut = now - now % DAY - 20 * DAY

    def assert_done() -> None:
        assert_sound(folder)
        assert stored(folder.database, "tBTCUSD", "1D") == kept_of(held, cut)

    return Sweep(folder, ("cleanup", "--yes"), lambda: bring_back(folder), assert_done)


def restore(folder: Folder) -> Sweep:
    held = prepared(folder)
    assert folder.run("repair").exit == 0
    assert folder.run("backup", "copy.db").exit == 0

    def begin() -> None:
        for path in folder.path.glob(".mdata.db.*"):
            path.unlink()
        bring_back(folder)

    def assert_done() -> None:
        assert_sound(folder)
        assert stored(folder.database, "tBTCUSD", "1D") == held
        kept = [path for path in folder.path.glob("mdata.db.before-*") if not path.name.endswith(("-wal", "-shm"))]
        assert any(len(stored(path, "tBTCUSD", "1D")) == len(held) - 3 for path in kept), "what was there is gone"

    return Sweep(folder, ("restore", "copy.db", "--yes"), begin, assert_done)


def spread(trials: list[Trial], most: int) -> Iterator[Trial]:
    """Yield about so many of the trials, from all over; an odd step meets every fault in turn."""
    step = max(1, len(trials) // most) | 1
    return iter(trials[::step])


def sweep(made: Sweep, most: int, chunk: int, record_property: Record) -> None:
    every = made.trials()
    chosen = list(spread(every, most))
    mine = chosen[chunk::CHUNKS]
    codes = Counter(made.endure(trial) for trial in mine)
    calls = Counter(trial.call for trial in every)
    record_property("calls of each kind", {call: count // len(FAULTS) for call, count in calls.items()})
    record_property("calls that failed, of all that could", f"{len(mine)} of {len(every)}")
    record_property("exit codes", dict(sorted(codes.items())))
    assert len(every) > 100, "a job makes more calls than that"


jobs = pytest.mark.parametrize("job", [backfill, repair, cleanup, restore], ids=lambda job: job.__name__)


@jobs
def test_some_calls_fail(folder: Folder, job: Callable[[Folder], Sweep], record_property: Record) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    sweep(job(folder), 6 * CHUNKS, 0, record_property)


@pytest.mark.slow
@jobs
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_call_fails(
    folder: Folder, job: Callable[[Folder], Sweep], chunk: int, record_property: Record
) -> None:
    sweep(job(folder), 150, chunk, record_property)
