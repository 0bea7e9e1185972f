"""Locks on files, held, waited for and lost by real processes."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Folder

from mdata.clock import SystemClock
from mdata.errors import NotNowError, NotPermittedError, Stopped
from mdata.flock.lock import FileLock
from mdata.flock.looking import is_locked
from mdata.locks import Holder, command_lock, holder

CLOCK = SystemClock()

HOLD = """
import sys, time
from pathlib import Path
from mdata.clock import SystemClock
from mdata.locks import command_lock
with command_lock(Path(sys.argv[1]), "backfill", 0, SystemClock()):
    print("held", flush=True)
    sys.stdin.read()
"""

COUNT = """
import sys
from pathlib import Path
from mdata.flock.lock import FileLock
lock, counter = FileLock(Path(sys.argv[1])), Path(sys.argv[2])
for _ in range(int(sys.argv[3])):
    with lock:
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def hold(database: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_the_second_run_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    database = tmp_path / "mdata.db"
    other = hold(database)
    began = CLOCK.boottime()
    with pytest.raises(NotNowError) as told, command_lock(database, "backfill", 0.3, CLOCK):
        pass
    assert 0.3 <= CLOCK.boottime() - began < 3
    for part in (f"process {other.pid}, since 20", str(database), "`mdata backfill`", f"kill {other.pid}"):
        assert part in str(told.value)
    with command_lock(database, "update", 0, CLOCK):
        pass
    end(other)


def test_a_lock_ends_with_its_owner(tmp_path: Path) -> None:
    database = tmp_path / "mdata.db"
    assert holder(database, "backfill") is None
    assert not [*tmp_path.iterdir()], "looking creates nothing"
    other = hold(database)
    found = holder(database, "backfill")
    assert found is not None
    assert found.pid == other.pid
    other.send_signal(signal.SIGSTOP)
    assert holder(database, "backfill") == found, "a stopped owner is an owner"
    end(other)
    assert holder(database, "backfill") is None
    with command_lock(database, "backfill", 0, CLOCK):
        now = holder(database, "backfill")
        assert now is not None
        assert now.pid == os.getpid()
    assert holder(database, "backfill") is None


def test_a_waiting_run_begins_when_the_first_ends(tmp_path: Path) -> None:
    database = tmp_path / "mdata.db"
    other = hold(database)
    timer = threading.Timer(0.2, other.communicate)
    timer.start()
    with command_lock(database, "backfill", 30, CLOCK):
        assert other.wait(5) == 0
    timer.join()


@pytest.mark.parametrize("note", ["", "{", '{"pid":"x"}', "[1]", '{"pid":1}', "[" * 5000])
def test_a_note_that_cannot_be_read_hides_no_holder(tmp_path: Path, note: str) -> None:
    database, lock = tmp_path / "mdata.db", FileLock(tmp_path / "mdata.db.backfill.lock")
    with lock:
        lock.path.write_text(note)
        assert holder(database, "backfill") == Holder(None, None)
        with pytest.raises(NotNowError, match="another `mdata backfill` is running"), \
                command_lock(database, "backfill", 0, CLOCK):  # fmt: skip
            pass
    lock.close()
    with command_lock(database, "backfill", 0, CLOCK):
        found = holder(database, "backfill")
        assert found is not None
        assert found.pid == os.getpid()


def test_those_who_look_are_no_holders(tmp_path: Path) -> None:
    database = tmp_path / "mdata.db"
    with command_lock(database, "backfill", 0, CLOCK):
        pass
    stop = threading.Event()
    seen: list[Holder] = []

    def look() -> None:
        while not stop.is_set():
            seen.extend(filter(None, [holder(database, "backfill")]))

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    for _ in range(30):
        with command_lock(database, "backfill", 0, CLOCK):
            pass
    stop.set()
    for looker in lookers:
        looker.join()
    assert {one.pid for one in seen} <= {os.getpid()}


def test_one_at_a_time_among_processes(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    arguments = [sys.executable, "-c", COUNT, str(tmp_path / "a.lock"), str(counter), "300"]
    processes = [subprocess.Popen(arguments) for _ in range(4)]
    assert [process.wait(30) for process in processes] == [0] * 4
    assert counter.read_text() == "1200"


def test_a_file_that_was_removed_is_made_again_and_protects(tmp_path: Path) -> None:
    first, second, third = (FileLock(tmp_path / "a.lock") for _ in range(3))
    with first:
        first.path.unlink()
        # The removal took the name away from the holder: nobody can know of it any more, but those who come
        # from now on exclude each other, whenever they opened the file.
        assert second.acquire(0)
        assert not third.acquire(0)
    assert not first.acquire(0), "the old file protects nothing"
    second.release()
    assert first.acquire(0)
    for lock in (first, second, third):
        lock.close()


def test_the_owner_may_take_it_again_and_children_do_not_inherit(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "a.lock")
    with lock:
        assert lock.acquire(0)
        child = subprocess.Popen(["sleep", "60"])
    lock.close()
    assert not is_locked(lock.path)
    with lock:
        assert is_locked(lock.path)
        lock.close()
        assert not is_locked(lock.path)
    child.kill()
    child.wait()


def test_an_exception_from_a_signal_ends_the_wait(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise Stopped(signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, interrupt)
    holding, waiting = FileLock(tmp_path / "a.lock"), FileLock(tmp_path / "a.lock")
    try:
        with holding:
            for take in (waiting.acquire, lambda: waiting.acquire(30), waiting.__enter__):
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                with pytest.raises(Stopped):
                    take()
        assert waiting.acquire(5), "those that gave up stand in line for an instant still"
    finally:
        signal.signal(signal.SIGALRM, before)
        holding.close()
        waiting.close()


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link(path: Path) -> None:
    path.symlink_to("/dev/null")


@pytest.mark.parametrize("make", [a_folder, a_link])
def test_a_path_that_cannot_be_locked(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.lock")
    with pytest.raises(NotPermittedError, match=r"a\.lock"):
        FileLock(tmp_path / "a.lock").acquire(0)
    assert not is_locked(tmp_path / "a.lock")


def test_what_is_written_into_the_file(tmp_path: Path) -> None:
    with command_lock(tmp_path / "mdata.db", "repair", 0, CLOCK):
        note = json.loads((tmp_path / "mdata.db.repair.lock").read_text())
    assert note["pid"] == os.getpid()
    assert note["command"] == "repair"
    assert note["since"].endswith("Z")


def test_twenty_starts_at_once(folder: Folder) -> None:
    """What a scheduler that starts too often does: one works, the others leave at once and write no row."""
    folder.settings["RATE_LIMIT_DELAY"] = "0.2"
    processes = [folder.start("backfill", "--wait-lock", "0s") for _ in range(20)]
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    codes = [code for _, code in ended]
    assert set(codes) <= {0, 75}
    assert 0 in codes
    assert 75 in codes
    assert all("another `mdata backfill` is running" in err for err, code in ended if code == 75)
    assert folder.rows("SELECT count(*), max(outcome) FROM ingestion_jobs") == [(codes.count(0), "ok")]
