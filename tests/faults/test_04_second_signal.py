"""A second signal ends a command within milliseconds, whatever it is doing, and the store is consistent."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import MDATA, Folder
from holding import Watched, held, holds
from killing import assert_sound

Record = Callable[[str, object], None]
Wait = Callable[..., None]

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
# Each is to be over by then (s).
AT_ONCE = 0.2


def end_at_once(process: subprocess.Popen[str], number: signal.Signals) -> float:
    """Send the signal, and return how long it took the process to end."""
    sent = time.monotonic()
    process.send_signal(number)
    process.wait(10)
    return time.monotonic() - sent


def pending(pid: int) -> bool:
    """Whether a signal has been sent to a process and has not arrived."""
    with suppress(FileNotFoundError):
        return re.search(r"(?m)^...Pnd:\s0*[1-9a-f]", Path(f"/proc/{pid}/status").read_text()) is not None
    return False


@pytest.mark.parametrize("number", SIGNALS)
def test_while_the_first_is_answered(folder: Folder, number: signal.Signals, record_property: Record) -> None:
    """Another process holds the write lock, so that the run's row cannot be written in time."""
    folder.settings["BACKFILL_DAYS"] = "2"
    assert folder.run("backfill").exit == 0
    with held(folder.path / "mdata.db.write.lock"):
        watched = Watched(folder, "backfill", BACKFILL_DAYS="4")
        watched.waits()
        watched.process.send_signal(number)
        time.sleep(0.3)  # not a condition to be waited for: its last second has begun, and is not over
        seconds = end_at_once(watched.process, number)
    assert watched.end() == 128 + number, watched.text
    record_property("longest second signal (s)", round(seconds, 3))
    assert seconds <= AT_ONCE
    assert_sound(folder)


def test_inside_of_one_statement_of_sqlite(folder: Folder, wait: Wait, record_property: Record) -> None:
    """The main thread is where no handler of Python's can run: in a user's trigger that counts for minutes."""
    folder.settings["BACKFILL_DAYS"] = "2"
    assert folder.run("backfill").exit == 0
    folder.rows(
        "CREATE VIEW slow AS WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 1000000000) "
        "SELECT max(n) AS n FROM up"
    )
    folder.rows("CREATE TRIGGER mine AFTER INSERT ON candles BEGIN SELECT n FROM slow; END")
    requests = len(folder.sandbox.requests)
    process = folder.start("backfill", BACKFILL_DAYS="4")
    wait(lambda: len(folder.sandbox.requests) > requests and holds(process.pid, folder.path / "mdata.db.write.lock"))
    time.sleep(0.3)  # it is in the statement by then
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)  # it cannot answer
    assert process.poll() is None
    seconds = end_at_once(process, signal.SIGTERM)
    process.communicate()
    record_property("longest second signal (s)", round(seconds, 3))
    assert process.returncode == 143
    assert seconds <= AT_ONCE
    folder.rows("DROP TRIGGER mine")
    assert folder.run("backfill").exit == 0
    assert_sound(folder)


@pytest.mark.parametrize("number", SIGNALS)
def test_twice_in_a_row_while_it_asks(
    folder: Folder, number: signal.Signals, wait: Wait, record_property: Record
) -> None:
    folder.settings["BACKFILL_DAYS"] = "20"
    process = folder.start("backfill", RATE_LIMIT_DELAY="0.3")
    wait(lambda: len(folder.sandbox.requests) >= 2)
    process.send_signal(number)
    # A second one that comes before the first has arrived is the same one to the kernel.
    wait(lambda: process.poll() is not None or not pending(process.pid))
    seconds = end_at_once(process, number)
    _, err = process.communicate()
    record_property("longest second signal (s)", round(seconds, 3))
    assert process.returncode == 128 + number
    assert seconds <= AT_ONCE
    assert "Traceback" not in err
    assert_sound(folder)


def test_ctrl_c_before_anything_has_begun(folder: Folder) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", MDATA, "status"], env=folder.environ(), cwd=folder.path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while not process.stderr.readline().rstrip().endswith(" mdata.cli"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
