"""The log is deleted between two runs, or the database alone is put back: it is refilled, or refused."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Folder, stored, truth
from killing import assert_sound

Wait = Callable[..., None]
Record = Callable[[str, object], None]
DAYS = 45
TRIES = pytest.mark.parametrize("tries", [3, pytest.param(10, marks=pytest.mark.slow)])


def killed(folder: Folder, rng: random.Random, wait: Wait) -> None:
    """Leave what a backfill leaves that was killed at a random instant after its first commits."""
    before = len(folder.sandbox.requests)
    process = folder.start("backfill", RATE_LIMIT_DELAY="0.15")
    wait(lambda: len(folder.sandbox.requests) >= before + 2)
    time.sleep(rng.uniform(0.0, 0.6))
    process.kill()
    process.communicate()


def judge(folder: Folder, seen: Counter[str]) -> None:
    """Whatever lies there: it is refused, or it is a store that the next runs make whole."""
    check = folder.run("status", "--check")
    first = folder.run("verify")
    assert "Traceback" not in check.err + first.err
    assert "bug" not in check.err + first.err
    if first.exit == 74:
        seen["refused"] += 1
        assert check.exit != 0
        assert folder.run("backfill").exit == 74
        return
    seen["stores that the next runs made complete again"] += 1
    assert first.exit in {0, 3}, first.err
    for command in ("backfill", "detect-gaps", "repair"):
        ended = folder.run(command)
        assert ended.exit == 0, ended.err
    assert_sound(folder)
    held = stored(folder.database, "tBTCUSD", "1m")
    expected = truth(folder.sandbox, "tBTCUSD", "1m", held[0][0], folder.sandbox.clock.now())
    assert held == expected[: len(held)]
    assert len(held) >= DAYS * 1440
    assert len(expected) - len(held) <= 4


def begin_anew(folder: Folder) -> None:
    for path in folder.path.glob("mdata.db*"):
        path.unlink()


@TRIES
def test_the_log_of_a_killed_run_is_deleted(folder: Folder, wait: Wait, tries: int, record_property: Record) -> None:
    folder.settings["BACKFILL_DAYS"] = str(DAYS)
    rng, seen = random.Random(21), Counter[str]()
    for attempt in range(tries):
        killed(folder, rng, wait)
        for suffix in (("-wal", "-shm"), ("-wal",), ("-shm",))[attempt % 3]:
            Path(f"{folder.database}{suffix}").unlink(missing_ok=True)
        judge(folder, seen)
        begin_anew(folder)
    assert seen["stores that the next runs made complete again"]
    for what, count in seen.items():
        record_property(what, count)


@TRIES
def test_the_database_alone_is_copied_while_a_run_writes_and_put_back(
    folder: Folder, wait: Wait, tries: int, record_property: Record
) -> None:
    """No backup, as the docs say; nothing that is not there is taken for stored all the same."""
    folder.settings["BACKFILL_DAYS"] = str(DAYS)
    rng, seen = random.Random(22), Counter[str]()
    copy = folder.path / "copy.db"
    for _ in range(tries):
        process = folder.start("backfill", RATE_LIMIT_DELAY="0.1")
        wait(lambda: folder.database.exists() and folder.database.stat().st_size > 0)
        time.sleep(rng.uniform(0.2, 1.0))
        shutil.copyfile(folder.database, copy)
        process.communicate(timeout=60)
        begin_anew(folder)
        copy.rename(folder.database)
        judge(folder, seen)
        begin_anew(folder)
    assert seen["stores that the next runs made complete again"]
    for what, count in seen.items():
        record_property(what, count)
