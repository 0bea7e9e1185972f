"""A process that was stopped (Ctrl-Z, SIGSTOP) while it holds a lock: nobody waits for it in silence, or for ever."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Folder
from holding import WRITERS, Watched, held, holds, is_stopped, with_something_to_do
from killing import assert_sound

Record = Callable[[str, object], None]

LOCKS = {"write lock": "mdata.db.write.lock", "budget": "rate-limit.json"}


@pytest.fixture
def filled(folder: Folder) -> Folder:
    return with_something_to_do(folder)


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("command", WRITERS)
def test_max_runtime_bounds_the_wait(filled: Folder, command: str, lock: str, record_property: Record) -> None:
    if lock == "budget" and command not in {"backfill", "repair"}:
        pytest.skip("it has nothing to ask the exchange")
    with held(filled.path / LOCKS[lock]) as holder:
        watched = Watched(filled, *WRITERS[command], "--max-runtime", "4s", lock=LOCKS[lock])
        assert watched.end() == 75, watched.text
    record_property("longest silence of a waiting command (s)", round(watched.silence, 2))
    record_property("longest overrun of --max-runtime (s)", round(watched.seconds - 4, 2))
    assert watched.silence <= 3
    assert watched.seconds <= 6
    assert f"process {holder.pid}, running since 20" in watched.text
    assert f"stopped: `kill -CONT {holder.pid}` resumes it" in watched.text
    assert "Traceback" not in watched.text
    assert filled.run(*WRITERS[command]).exit in {0, 3}
    assert_sound(filled)


@pytest.mark.slow
def test_without_a_limit_a_lock_is_waited_for_a_minute(filled: Folder, record_property: Record) -> None:
    with held(filled.path / LOCKS["write lock"]):
        waiting = [Watched(filled, *arguments) for arguments in WRITERS.values()]
        ended = [one.end() for one in waiting]
    assert ended == [75] * len(waiting), [one.text for one in waiting]
    assert all(60 <= one.seconds <= 64 for one in waiting), [one.seconds for one in waiting]
    record_property("longest silence of a waiting command (s)", round(max(one.silence for one in waiting), 2))
    assert all(one.silence <= 3 for one in waiting)


@pytest.mark.parametrize("lock", LOCKS)
def test_who_waits_goes_on_when_the_holder_does(filled: Folder, lock: str) -> None:
    with held(filled.path / LOCKS[lock]) as holder:
        watched = Watched(filled, "backfill", lock=LOCKS[lock])
        watched.waits()
        holder.send_signal(signal.SIGCONT)
        holder.communicate("")
        assert watched.end() == 0, watched.text
    assert_sound(filled)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("lock", LOCKS)
def test_a_signal_ends_the_wait(filled: Folder, lock: str, number: signal.Signals, record_property: Record) -> None:
    with held(filled.path / LOCKS[lock]):
        watched = Watched(filled, "backfill", lock=LOCKS[lock])
        watched.waits()
        sent = watched.now
        watched.process.send_signal(number)
        assert watched.end() == 128 + number, watched.text
    record_property("longest answer to a signal (s)", round(watched.seconds - sent, 2))
    assert watched.seconds - sent <= 1.5
    assert "Traceback" not in watched.text
    assert_sound(filled)


def test_a_holder_that_cannot_be_seen(filled: Folder) -> None:
    """As from inside a container: the kernel names no process there, and nothing else changes."""
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("processes cannot be set apart here")
    filled.before = apart
    with held(filled.path / LOCKS["write lock"]):
        told = filled.run("backfill", "--max-runtime", "3s")
    assert told.exit == 75
    assert "mdata.db.write.lock, held by a process that is not visible from here; giving up in" in told.err


def stopped_while_it_writes(folder: Folder, gate: Path) -> subprocess.Popen[str]:
    """Return a backfill that SIGSTOP has caught inside of the write lock; a longer one where that is missed."""
    for days in ("120", "240", "480"):
        running = folder.start("backfill", BACKFILL_DAYS=days)
        while running.poll() is None:
            running.send_signal(signal.SIGCONT)
            time.sleep(random.uniform(0, 0.02))
            running.send_signal(signal.SIGSTOP)
            while running.poll() is None and not is_stopped(running.pid):
                time.sleep(0.001)
            if running.poll() is None and holds(running.pid, gate):
                return running
        running.communicate()
    pytest.fail("no backfill could be stopped inside of the write lock")


def test_a_run_that_was_stopped_while_it_wrote_is_named(filled: Folder) -> None:
    """As it happens in life: a real run, stopped by SIGSTOP inside of the write lock, which nothing can keep off."""
    filled.settings.update(TIMEFRAMES="1m,5m", BACKFILL_DAYS="120")
    running = stopped_while_it_writes(filled, filled.path / LOCKS["write lock"])
    try:
        told = filled.run("detect-gaps", "--max-runtime", "3s")
        assert told.exit == 75
        assert f"held by `mdata backfill` (process {running.pid}, running since " in told.err
        assert f"stopped: `kill -CONT {running.pid}` resumes it" in told.err
        same = filled.run("backfill", "--wait-lock", "0s")
        assert same.exit == 75
        assert "stopped" in same.err
        assert f"`kill -CONT {running.pid}` resumes it" in same.err
    finally:
        os.kill(running.pid, signal.SIGCONT)
    running.communicate(timeout=120)
    assert running.returncode == 0
    assert_sound(filled)
