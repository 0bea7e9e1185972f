"""Backups are put back, by `mdata restore` and by `cp`, at rest, after a kill, under jobs and under `serve`.

Whatever comes of it: a store that is not sound is never called healthy, and no job ends well on it.
"""

import random
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Folder
from killing import assert_sound

from mdata.store.sqlite import sqlite3

Wait = Callable[..., None]
JOBS = ("backfill", "update", "detect-gaps", "repair", "verify", "cleanup --yes")


class Place:
    """A store, its backups made by every means, and somebody who looks at it from outside."""

    def __init__(self, folder: Folder, seed: int, wait: Wait) -> None:
        self.folder, self.rng, self.wait = folder, random.Random(seed), wait
        self.days, self.backups, self.seen = 2, list[Path](), Counter[str]()
        self.aside = Folder(folder.path / "aside", folder.sandbox)
        self.aside.path.mkdir()

    @property
    def database(self) -> Path:
        return self.folder.database

    def is_sound(self) -> bool:
        """Whether what lies there now, file and log, is a store that agrees with itself."""
        for ending in ("", "-wal", "-shm"):
            target = self.aside.database.with_name(f"mdata.db{ending}")
            target.unlink(missing_ok=True)
            source = self.database.with_name(f"mdata.db{ending}")
            if source.exists() and ending != "-shm":
                shutil.copyfile(source, target)
        try:
            assert_sound(self.aside)
        except (AssertionError, sqlite3.DatabaseError):
            return False
        return True

    def back_up(self) -> None:
        path = self.folder.path / f"backup-{len(self.backups)}.db"
        match self.rng.choice(["mdata", ".backup", "VACUUM", "cp"]):
            case "mdata":
                assert self.folder.run("backup", path.name).exit == 0
            case "cp":
                # Of a store at rest: a log would be missing from it.
                connection = sqlite3.connect(self.database)
                busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                connection.close()
                if not busy:
                    shutil.copyfile(self.database, path)
            case how:
                source = sqlite3.connect(self.database)
                if how == "VACUUM":
                    source.execute("VACUUM INTO ?", (str(path),))
                else:
                    target = sqlite3.connect(path)
                    source.backup(target)
                    target.close()
                source.close()
        if path.exists():
            self.backups.append(path)

    def backfill(self) -> subprocess.Popen[str]:
        """Start a backfill that has far to go, and return it once it has written."""
        self.days += 12
        before = len(self.folder.sandbox.requests)
        process = self.folder.start("backfill", BACKFILL_DAYS=str(self.days), RATE_LIMIT_DELAY="0.15")
        self.wait(lambda: len(self.folder.sandbox.requests) >= before + 2 or process.poll() is not None)
        return process

    def judge(self, *codes: int) -> bool:
        """Hold what mdata says of the store against what it is; return whether it is sound."""
        command = self.rng.choice(JOBS).split()
        was_sound = self.is_sound()
        job = self.folder.run(*command, BACKFILL_DAYS=str(self.days))
        health = self.folder.run("status", "--check")
        assert "Traceback" not in job.err + health.err, job.err + health.err
        is_sound = self.is_sound()
        told = (command, job.exit, job.err, health.exit, health.err, codes)
        if not was_sound:
            self.seen["not sound, and noticed"] += 1
            assert job.exit in {74, 3}, told
            assert 0 not in codes, told
        if not is_sound:
            assert health.exit != 0, told
        if job.exit == 0:
            assert is_sound, told
        return is_sound and job.exit != 74

    def mend(self) -> None:
        ended = self.folder.run("restore", self.backups[0].name, "--yes", "--force")
        assert ended.exit == 0, ended.err
        assert self.is_sound()


@contextmanager
def served(place: Place) -> Iterator[None]:
    process = place.folder.start("serve", "--port", "0")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    subprocess.run(["curl", "-s", "-o", "/dev/null", f"{url}mdata/candles.json?_size=5"], check=False)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def restored(place: Place, backup: Path, *, by_copying: bool) -> int:
    """Put a backup in the place of the store; return the exit code, 0 for `cp`."""
    if by_copying:
        shutil.copyfile(backup, place.database)
        return 0
    before = place.database.read_bytes()
    ended = place.folder.run("restore", backup.name, "--yes", "--wait-lock", "0")
    assert ended.exit in {0, 75}, ended.err
    if ended.exit == 75:
        assert place.database.read_bytes()[:100] == before[:100]
    else:
        assert candles(place.database) == candles(backup)
    place.seen[f"mdata restore: {ended.exit}"] += 1
    return ended.exit


def candles(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        return connection.execute("SELECT count(*), max(open_time), sum(close) FROM candles").fetchall()
    finally:
        connection.close()


def one_round(place: Place, situation: str, *, by_copying: bool) -> bool:
    backup = place.rng.choice(place.backups[-4:])
    match situation:
        case "at rest":
            restored(place, backup, by_copying=by_copying)
            return place.judge()
        case "after a kill":
            process = place.backfill()
            process.kill()
            process.communicate()
            restored(place, backup, by_copying=by_copying)
            return place.judge()
        case "under a job":
            process = place.backfill()
            restored(place, backup, by_copying=by_copying)
            is_late = process.poll() is not None
            process.communicate(timeout=60)
            return place.judge(*(() if is_late else (process.returncode,)))
        case _:
            with served(place):
                place.folder.run("update")
                if place.rng.random() < 0.5:
                    process = place.backfill()
                    process.kill()
                    process.communicate()
                restored(place, backup, by_copying=by_copying)
                is_well = place.judge()
            return place.judge() and is_well


def many_rounds(folder: Folder, wait: Wait, rounds: int, seed: int) -> Counter[str]:
    place = Place(folder, seed, wait)
    folder.settings["BACKFILL_DAYS"] = "2"
    assert folder.run("backfill").exit == 0
    assert folder.run("backup", "backup-0.db").exit == 0
    place.backups.append(folder.path / "backup-0.db")
    for _ in range(rounds):
        situation = place.rng.choice(["at rest", "after a kill", "under a job", "served"])
        by_copying = place.rng.random() < 0.6
        if place.days > 120:
            place.days = 2
        if one_round(place, situation, by_copying=by_copying):
            place.back_up()
        else:
            place.mend()
        place.seen[f"{situation}, by {'cp' if by_copying else 'mdata restore'}"] += 1
        for old in folder.path.glob("*.before-*"):
            old.unlink()
    return place.seen


def test_no_store_is_damaged_unnoticed(folder: Folder, wait: Wait) -> None:
    many_rounds(folder, wait, 10, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 14))
def test_no_store_is_damaged_unnoticed_in_many_restores(
    folder: Folder, wait: Wait, seed: int, record_property: Callable[[str, object], None]
) -> None:
    for what, count in sorted(many_rounds(folder, wait, 50, seed).items()):
        record_property(what, count)
