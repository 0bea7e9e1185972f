"""The file of the shared budget is never trusted: whatever lies in its place, nothing hangs and nothing is hidden."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import UNPRIVILEGED, Folder, SetClock
from rate_workers import workers

from mdata.clock import SystemClock
from mdata.domain.priority import Priority
from mdata.errors import ConfigurationError, StorageError
from mdata.ratelimit import RateLimit

SECOND = 1.0


def limit_at(path: Path, clock: SystemClock | SetClock | None = None) -> RateLimit:
    return RateLimit(path, 6.0, 60.0, clock or SystemClock(), random.Random(1).uniform, 15)


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def sparse(path: Path) -> Path:
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    return path


# An address of a process that is mapped nowhere: a read of it is an input/output error, as on a broken disk.
BROKEN_DISK = Path("/proc/self/mem")


@pytest.mark.parametrize("make", [pipe, lambda _: Path("/dev/null")])
def test_what_is_no_file_is_named_at_once(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "state.json")
    with pytest.raises(ConfigurationError, match=r"is not a regular file.*RATE_LIMIT_STATE_PATH"):
        limit_at(path).acquire(Priority.UPDATE, lambda: 1)
    assert limit_at(path).peek().free_now == 0, "status neither hangs nor hopes"
    assert "is not a regular file" in str(limit_at(path).peek().problem)


@pytest.mark.parametrize("command", [["status", "--json"], ["backfill", "--json"]])
def test_no_command_hangs_on_a_pipe(folder: Folder, command: list[str]) -> None:
    folder.settings["RATE_LIMIT_STATE_PATH"] = str(pipe(folder.path / "pipe"))
    began = time.monotonic()
    ended = folder.run(*command)
    assert time.monotonic() - began < 10
    assert ended.exit == (0 if command == ["status", "--json"] else 78)
    told = ended.json["warnings"][-1] if command[0] == "status" else ended.json["reason"]
    assert "pipe is not a regular file" in told
    assert "Traceback" not in ended.err
    assert folder.sandbox.requests == []


def test_a_disk_that_cannot_be_read_is_said_in_a_sentence() -> None:
    with pytest.raises(StorageError, match=r"cannot use /proc/self/mem: .*RATE_LIMIT_STATE_PATH"):
        limit_at(BROKEN_DISK).answered()
    assert limit_at(BROKEN_DISK).peek().free_now == 0


def test_a_folder_that_may_not_be_searched_is_said_in_a_sentence(folder: Folder) -> None:
    closed = folder.path / "closed"
    closed.mkdir()
    folder.settings["RATE_LIMIT_STATE_PATH"] = str(closed / "state.json")
    closed.chmod(0)
    folder.before = [*UNPRIVILEGED]
    ended = folder.run("backfill", "--json")
    closed.chmod(0o700)
    assert (ended.exit, "Traceback" in ended.err) == (77, False)
    assert "closed" in ended.json["reason"]


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    path = sparse(tmp_path / "state.json")
    code = """
import random, re, sys
from pathlib import Path
from mdata.clock import SystemClock
from mdata.ratelimit import RateLimit
limit = RateLimit(Path(sys.argv[1]), 6.0, 60.0, SystemClock(), random.Random(1).uniform, 15)
limit.peek(), limit.answered(), limit.peek()
print(re.search("VmHWM:.*?([0-9]+) kB", Path("/proc/self/status").read_text())[1])  # of this program alone
"""
    told = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=20)
    assert int(told.stdout) < 100 * 1024, "KiB"
    with path.open("rb") as stream:
        assert json.loads(stream.read(65_536))["refusals"] == 0


@pytest.mark.parametrize("is_buried", [True, False])
def test_dead_waiters_cost_nothing(tmp_path: Path, is_buried: bool) -> None:
    path = tmp_path / "state.json"
    (ended,) = workers(path, 0.05, [0], 0.5)
    if is_buried:
        ended.communicate()
    else:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    found = json.loads(path.read_text())
    space = Path("/proc/self/ns/pid").stat().st_ino
    ghosts = [{"id": f"{ended.pid}-{space}-{number:x}", "priority": 0, "since": 1.0} for number in range(200)]
    path.write_text(json.dumps({**found, "waiters": ghosts, "sender": ghosts[0]["id"]}))
    assert limit_at(path).peek().waiting == ()
    began = time.monotonic()
    limit = RateLimit(path, 0.05, 60.0, SystemClock(), random.Random(1).uniform)
    limit.acquire(Priority.BACKFILL, lambda: 1)
    assert time.monotonic() - began < SECOND, "two hundred ghosts cost less than one second"
    assert json.loads(path.read_text())["waiters"] == []
    if not is_buried:
        ended.communicate()


def test_a_waiter_of_another_container_is_given_its_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.json", SetClock()
    limit_at(path, clock).answered()
    found = json.loads(path.read_text())
    stranger = {"id": "1073741823-1-ab", "priority": 0, "since": 1.0}
    path.write_text(json.dumps({**found, "waiters": [stranger]}))
    began = clock.boot
    limit_at(path, clock).acquire(Priority.UPDATE, lambda: 1)
    assert 1.0 <= clock.boot - began <= 1.1


def test_a_block_is_waited_out_with_one_line(folder: Folder) -> None:
    folder.settings.update(BACKFILL_DAYS="1", RATE_LIMIT_MIN_BACKOFF_SECONDS="3")
    RateLimit(folder.path / "rate-limit.json", 0.0, 3.0, SystemClock(), random.Random(1).uniform).refused(3.0)
    ended = folder.run("backfill")
    assert ended.exit == 0
    lines = [line for line in ended.err.splitlines() if "blocks all requests until 20" in line]
    assert len(lines) == 1, ended.err


def test_a_group_that_shares_a_folder_shares_all_of_the_budget_whatever_the_umask(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    before = os.umask(0o077)
    try:
        limit_at(tmp_path / "state.json").acquire(Priority.UPDATE, lambda: 1)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"state.json": 0o660, "state.json.used": 0o660}
