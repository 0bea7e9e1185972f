"""SIGINT, SIGTERM, SIGHUP, and a reader that leaves, at any instant of any command: no traceback, the right code."""

import random
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from conftest import MDATA, Folder
from killing import assert_sound, has_tables

Record = Callable[[str, object], None]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
TRIES = pytest.mark.parametrize("tries", [5, pytest.param(20, marks=pytest.mark.slow)])


@TRIES
@pytest.mark.parametrize("number", SIGNALS)
def test_one_signal_or_two_at_random_instants(
    folder: Folder, number: signal.Signals, tries: int, record_property: Record
) -> None:
    """The first may meet the interpreter before it has read a line of mdata: that ends at once, and says nothing."""
    folder.settings.update(BACKFILL_DAYS="60", RATE_LIMIT_DELAY="0.1")
    rng, longest = random.Random(number), 0.0
    for attempt in range(tries):
        process = folder.start("backfill", "--json")
        time.sleep(rng.uniform(0.3, 1.6))
        process.send_signal(number)
        sent = time.monotonic()
        if attempt % 2:
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(number)
        _, err = process.communicate(timeout=30)
        longest = max(longest, time.monotonic() - sent)
        assert process.returncode in {128 + number, -number, 0}, (attempt, process.returncode, err)
        assert "Traceback" not in err, err
        assert process.returncode != -number or not err
        if has_tables(folder):
            assert_sound(folder)
    record_property("signals", tries)
    record_property("longest answer to a signal (s)", round(longest, 2))
    assert longest <= 3
    ended = folder.run("backfill", "--wait-lock", "0", RATE_LIMIT_DELAY="0")
    assert ended.exit == 0, ended.err
    assert_sound(folder)
    assert folder.rows("SELECT count(*) FROM ingestion_jobs WHERE outcome = 'running'") == [(0,)]


READ = [
    ["export"], ["status"], ["status", "--json"], ["gaps", "--json"], ["jobs"], ["config"], ["doctor"],
    ["verify", "--json"], ["detect-gaps", "--json"], ["backfill", "--json"], ["update", "--json"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", READ, ids=" ".join)
def test_a_reader_that_leaves_is_told_as_a_pipe_tells_it(folder: Folder, arguments: list[str]) -> None:
    folder.settings["BACKFILL_DAYS"] = "3"
    assert folder.run("backfill").exit == 0
    process = subprocess.Popen(
        [MDATA, *arguments], env=folder.environ(), cwd=folder.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 141, err
    assert "Traceback" not in err
    assert "bug" not in err
    assert_sound(folder)
    # What was done stays done, and is written down as done.
    assert folder.rows("SELECT DISTINCT outcome FROM ingestion_jobs") == [("ok",)]


@TRIES
def test_a_reader_that_leaves_in_the_middle_of_an_export(folder: Folder, tries: int) -> None:
    folder.settings["BACKFILL_DAYS"] = "30"
    assert folder.run("backfill").exit == 0
    for lines in range(1, tries * 400, 400):
        shown = subprocess.run(
            ["bash", "-c", f'set -o pipefail; "{MDATA}" export | head -n {lines}'], env=folder.environ(),
            cwd=folder.path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (shown.returncode, len(shown.stdout.splitlines())) == (141, lines), shown.stderr
        assert "Traceback" not in shown.stderr
