"""A process killed at any instant leaves a sound store, and the next run finishes it."""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from conftest import MDATA, Folder, stored, truth

KILLS = 50


def assert_sound(folder: Folder) -> None:
    assert folder.rows("PRAGMA integrity_check") == [("ok",)]
    disagreeing = folder.rows(
        """SELECT * FROM coverage WHERE candles <> (SELECT count(*) FROM candles WHERE series_id = coverage.series_id
           AND open_time >= start_time AND open_time < end_time)"""
    )
    assert disagreeing == []
    (uncovered,) = folder.rows(
        """SELECT count(*) FROM candles WHERE NOT EXISTS (SELECT 1 FROM coverage
           WHERE series_id = candles.series_id AND start_time <= open_time AND open_time < end_time)"""
    )
    assert uncovered == (0,)


def has_tables(folder: Folder) -> bool:
    """Whether the process came so far as to make the tables."""
    if not folder.database.exists() or not folder.database.stat().st_size:
        return False
    return folder.rows("SELECT count(*) FROM sqlite_master") != [(0,)]


def test_killed_at_random_instants(folder: Folder) -> None:
    rng = random.Random(7)
    folder.settings["BACKFILL_DAYS"] = "90"
    kills = 0
    while kills < KILLS:
        process = folder.start("backfill", "--max-requests", "1")
        time.sleep(rng.uniform(0.05, 0.45))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        if has_tables(folder):
            assert_sound(folder)
    while (ended := folder.run("backfill", "--json")).exit == 3:
        pass
    assert ended.exit == 0, ended.err
    assert_sound(folder)
    held = stored(folder.database, "tBTCUSD", "1m")
    now = folder.sandbox.clock.now()
    expected = truth(folder.sandbox, "tBTCUSD", "1m", held[0][0], now)
    assert held == expected[: len(held)]
    assert len(expected) - len(held) <= 2
    pages = -(-len(held) // 10_000)
    assert len(folder.sandbox.requests) <= pages + kills + 6
    dead = folder.rows("SELECT count(*) FROM ingestion_jobs WHERE outcome = 'running'")
    assert dead == [(0,)]


def strace_fault() -> str | None:
    """Return why strace cannot kill a process here, or None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "strace may not trace here"


@pytest.mark.skipif(strace_fault() is not None, reason=str(strace_fault()))
def test_killed_at_every_write(folder: Folder) -> None:
    """Every pwrite64 of a small backfill in turn is the last thing the process does."""
    folder.settings["BACKFILL_DAYS"] = "1"
    survived, number = False, 0
    while not survived:
        number += 1
        for path in folder.path.glob("mdata.db*"):
            path.unlink()
        inject = f"inject=pwrite64:signal=SIGKILL:when={number}"
        traced = subprocess.run(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", inject, MDATA, "backfill"],
            env=folder.environ(), cwd=folder.path, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        survived = traced.returncode == 0
        if has_tables(folder):
            assert_sound(folder)
        ended = folder.run("backfill")
        assert ended.exit == 0, (number, ended.err)
        assert_sound(folder)
        assert len(stored(folder.database, "tBTCUSD", "1m")) >= 1440
        number += number // 12  # every one at first, then ever larger steps
    assert number > 20


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_run_with_a_sentence(
    folder: Folder, number: int, code: int, wait: Callable[..., None]
) -> None:
    folder.settings.update(BACKFILL_DAYS="90", RATE_LIMIT_DELAY="0.3")
    process = folder.start("backfill", "--json")
    wait(lambda: len(folder.sandbox.requests) >= 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert "run `mdata backfill` again" in err
    assert f'"exit": {code}' in out
    assert "Traceback" not in err
    assert_sound(folder)
    assert folder.rows("SELECT outcome, exit FROM ingestion_jobs") == [("interrupted", code)]


def test_two_runs_of_one_command_do_not_overlap(folder: Folder, wait: Callable[..., None]) -> None:
    folder.settings.update(BACKFILL_DAYS="60", RATE_LIMIT_DELAY="0.2")
    first = folder.start("backfill")
    wait(lambda: len(folder.sandbox.requests) >= 1)
    second = folder.run("backfill", "--json", "--wait-lock", "0s")
    assert (second.exit, second.json["outcome"], second.json["retryable"]) == (75, "skipped", True)
    assert str(first.pid) in second.json["reason"]
    third = folder.run("backfill", "--json", "--wait-lock", "30s")
    assert third.exit == 0
    assert third.json["requests"] <= 1
    first.communicate()
    assert first.returncode == 0
    assert len(folder.rows("SELECT id FROM ingestion_jobs")) == 2
