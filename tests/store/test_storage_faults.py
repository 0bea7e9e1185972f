"""Full, broken, locked, read-only and foreign storage: a sentence, the right exit code, and nothing lost."""

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import DAY, NOW, UNPRIVILEGED, Folder, SetClock, stored, truth
from killing import assert_sound, strace_fault

from mdata import waiting
from mdata.errors import ConfigurationError, MdataError, NotNowError
from mdata.jobs.backfill import backfill
from mdata.jobs.cleanup import cleanup
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.repair import repair
from mdata.jobs.status import collect
from mdata.jobs.verify import verify
from mdata.running.context import Context
from mdata.sandbox.server import Sandbox
from mdata.store.opening import open_for_reading, open_store
from mdata.store.sqlite import sqlite3

MakeContext = Callable[..., Context]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MiB, mounted in memory."""
    path = tmp_path / "disk"
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", path], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def fill(disk: Path) -> Path:
    """Take every byte that is free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * 4096)
        except OSError:
            return filler


def assert_equal(folder: Folder, days: int) -> None:
    now = folder.sandbox.clock.now()
    start = now - now % DAY - days * DAY
    held = stored(folder.database, "tBTCUSD", "1m")
    expected = truth(folder.sandbox, "tBTCUSD", "1m", start, now)
    assert held == expected[: len(held)]
    assert len(expected) - len(held) <= 3


def test_a_full_disk_keeps_what_was_committed(folder: Folder, small_disk: Path) -> None:
    folder.database = small_disk / "mdata.db"
    folder.settings.update(DATABASE_PATH=str(folder.database), BACKFILL_DAYS="60")
    ended = folder.run("backfill", "--json")
    assert (ended.exit, ended.json["outcome"]) == (74, "failed")
    assert "the disk is full" in ended.err
    assert "Traceback" not in ended.err
    assert_sound(folder)
    kept = stored(folder.database, "tBTCUSD", "1m")
    assert len(kept) >= 9_000
    assert folder.run("status").exit == 0
    for command in ("update", "detect-gaps", "repair"):
        assert folder.run(command).exit in {0, 74}
    settled = kept[: len(kept) - 5]
    still = [row for row in stored(folder.database, "tBTCUSD", "1m") if settled[0][0] <= row[0] <= settled[-1][0]]
    assert still == settled
    remount(small_disk, "size=60m")
    assert folder.run("backfill").exit == 0
    assert_sound(folder)
    assert_equal(folder, 60)
    outcomes = folder.rows("SELECT outcome FROM ingestion_jobs WHERE command = 'backfill' ORDER BY id")
    assert outcomes == [("interrupted",), ("ok",)]


@pytest.mark.parametrize("command", ["backfill", "detect-gaps", "cleanup"])
def test_a_disk_that_is_full_from_the_start(folder: Folder, small_disk: Path, command: str) -> None:
    filler = fill(small_disk)
    arguments = [command, "--yes"] if command == "cleanup" else [command]
    ended = folder.run(*arguments, DATABASE_PATH=str(small_disk / "mdata.db"))
    assert ended.exit == 74, ended.err
    assert "Traceback" not in ended.err
    filler.unlink()
    assert folder.run(*arguments, DATABASE_PATH=str(small_disk / "mdata.db"), BACKFILL_DAYS="1").exit == 0


def test_a_full_disk_under_the_rate_limit_file(folder: Folder, small_disk: Path) -> None:
    filler = fill(small_disk)
    state = small_disk / "rate-limit.json"
    ended = folder.run("backfill", RATE_LIMIT_STATE_PATH=str(state))
    assert ended.exit == 74
    assert str(state) in ended.err
    assert "Traceback" not in ended.err
    assert folder.sandbox.requests == [], "without the shared budget nobody asks"
    filler.unlink()
    assert folder.run("backfill", RATE_LIMIT_STATE_PATH=str(state), BACKFILL_DAYS="1").exit == 0


def test_a_read_only_disk(folder: Folder, small_disk: Path) -> None:
    folder.database = small_disk / "mdata.db"
    folder.settings.update(DATABASE_PATH=str(folder.database), BACKFILL_DAYS="1")
    assert folder.run("backfill").exit == 0
    before = folder.database.read_bytes()
    remount(small_disk, "ro")
    for arguments in (["backfill"], ["detect-gaps"], ["repair"], ["cleanup", "--yes"]):
        ended = folder.run(*arguments)
        assert ended.exit == 77, ended.err
        assert str(small_disk) in ended.err
        assert "Traceback" not in ended.err
    for arguments in (["status"], ["gaps"], ["jobs"]):
        ended = folder.run(*arguments)
        assert ended.exit in {0, 77}
        assert "Traceback" not in ended.err
    assert folder.database.read_bytes() == before
    remount(small_disk, "rw")
    assert folder.run("update").exit == 0


def test_files_and_folders_without_permission(folder: Folder) -> None:
    folder.settings["BACKFILL_DAYS"] = "1"
    assert folder.run("backfill").exit == 0
    folder.before = UNPRIVILEGED
    for path in (folder.database, folder.path / "rate-limit.json"):
        before, mode = path.read_bytes(), path.stat().st_mode
        path.chmod(0o400)
        ended = folder.run("backfill", "--since", "-2d")
        assert ended.exit == 77, ended.err
        assert path.name in ended.err
        path.chmod(0o000)
        assert folder.run("backfill", "--since", "-2d").exit == 77
        path.chmod(mode)
        assert path.read_bytes() == before
    folder.database.chmod(0o000)
    assert folder.run("status").exit == 77
    folder.database.chmod(0o600)
    closed = folder.path / "closed"
    closed.mkdir(0o500)
    for command in ("backfill", "status"):
        ended = folder.run(command, DATABASE_PATH=str(closed / "new" / "mdata.db"))
        assert ended.exit == (77 if command == "backfill" else 0)
    closed.chmod(0o000)
    assert folder.run("status", DATABASE_PATH=str(closed / "mdata.db")).exit == 77


@pytest.mark.parametrize("path", ["page.html/mdata.db", "loop/mdata.db", "loop", "x" * 300])
@pytest.mark.parametrize("command", ["backfill", "status", "gaps", "jobs"])
def test_paths_that_lead_nowhere(folder: Folder, path: str, command: str) -> None:
    (folder.path / "page.html").touch()
    (folder.path / "loop").symlink_to("loop")
    ended = folder.run(command, DATABASE_PATH=str(folder.path / path))
    assert ended.exit in ({77, 78} if command == "backfill" else {0, 77, 78}), ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("call", ["pwrite64", "fsync,fdatasync", "ftruncate"])
def test_input_and_output_errors(folder: Folder, call: str) -> None:
    """The nth call and all after it fail, as those on a dying disk do."""
    why_not = strace_fault()
    if why_not:
        pytest.skip(why_not)
    folder.settings["BACKFILL_DAYS"] = "1"
    codes, number = [], 1
    while 0 not in codes and number < 1000:
        folder.before = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:error=EIO:when={number}+"]
        ended = folder.run("backfill", "--json")
        folder.before = []
        codes.append(ended.exit)
        assert ended.exit in {0, 74}, (number, ended.err)
        assert "Traceback" not in ended.err
        assert ended.json["exit"] == ended.exit
        if folder.database.exists() and folder.rows("SELECT count(*) FROM sqlite_master") != [(0,)]:
            assert_sound(folder)
        number += 1 + number // 4
        for file in folder.path.glob("mdata.db*"):
            file.unlink()
    assert codes[-1] == 0
    assert call == "ftruncate" or 74 in codes


def test_a_store_that_lived_through_errors_is_finished(folder: Folder) -> None:
    why_not = strace_fault()
    if why_not:
        pytest.skip(why_not)
    for number in (5, 9, 20, 40):
        folder.before = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"inject=pwrite64:error=ENOSPC:when={number}+",
        ]
        assert folder.run("backfill").exit == 74
        folder.before = []
    assert folder.run("backfill").exit == 0
    assert_sound(folder)
    assert_equal(folder, 30)


def test_another_program_that_holds_the_database(
    context: MakeContext, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", 0.2)
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    other = sqlite3.connect(given.store.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for job in (lambda: backfill(given, since=NOW - 3 * DAY), lambda: cleanup(given)):
        with pytest.raises(NotNowError, match="another program has locked"):
            job()
    assert collect(given.settings, given.store, NOW).series, "readers do not mind"
    other.execute("ROLLBACK")
    other.close()
    assert backfill(given, since=NOW - 3 * DAY).exit == 0
    assert stored(given.store.path, "tBTCUSD", "1m") == truth(
        sandbox, "tBTCUSD", "1m", NOW - NOW % 60_000 - 3 * DAY, NOW
    )


def test_another_program_that_holds_the_database_for_a_moment(folder: Folder, wait: Callable[..., None]) -> None:
    folder.settings["BACKFILL_DAYS"] = "3"
    assert folder.run("backfill", BACKFILL_DAYS="1").exit == 0
    other = sqlite3.connect(folder.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    process = folder.start("backfill")
    before = len(folder.sandbox.requests)
    wait(lambda: process.poll() is not None or len(folder.sandbox.requests) > before or _waits(process.pid))
    other.execute("ROLLBACK")
    other.close()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert_equal(folder, 3)


def test_emptying_the_log_waits_for_no_long_reader(context: MakeContext) -> None:
    """It holds the write lock, so that everybody who writes would wait for that reader."""
    store = context(BACKFILL_DAYS="1").store
    reader = sqlite3.connect(store.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM candles").fetchone()
    backfill(context(BACKFILL_DAYS="1"))
    log = Path(f"{store.path}-wal")
    begin = time.monotonic()
    store.checkpoint()
    assert time.monotonic() - begin < 10, "half a minute is how long everything else waits"
    assert log.stat().st_size
    reader.close()
    store.checkpoint()
    assert not log.stat().st_size


def _waits(pid: int) -> bool:
    """Whether a process waits for the database, which SQLite does by sleeping."""
    try:
        return "nanosleep" in Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return True


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("pragma", ["application_id = 77", "application_id = 0", "user_version = 99"])
def test_a_foreign_file_or_a_newer_schema_is_left_as_it_is(tmp_path: Path, journal: str, pragma: str) -> None:
    """Also when it was left by a crash, with a log that its own program has yet to move into it."""
    made, path = tmp_path / "made.db", tmp_path / "theirs.db"
    if "version" in pragma:
        open_store(made).close()
    connection = sqlite3.connect(made, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {journal}").fetchall()
    connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    connection.execute("CREATE TABLE theirs (x)")
    connection.execute("INSERT INTO theirs VALUES (1)")
    connection.execute(f"PRAGMA {pragma}")
    for suffix in ("", "-wal"):
        if (tmp_path / f"made.db{suffix}").exists():
            shutil.copy(f"{made}{suffix}", f"{path}{suffix}")
    connection.close()
    files = [file for file in (path, Path(f"{path}-wal")) if file.exists()]
    assert len(files) == (2 if journal == "wal" else 1)
    before = [file.read_bytes() for file in files]
    for look in (open_store, open_for_reading):
        with pytest.raises(ConfigurationError, match=r"another program|newer mdata"):
            look(path)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_file_is_told_and_never_a_bug(context: MakeContext, clock: SetClock, seed: int) -> None:
    given = context(BACKFILL_DAYS="1")
    backfill(given)
    given.store.checkpoint()
    given.store.close()
    path, rng = given.store.path, random.Random(seed)
    content = bytearray(path.read_bytes())
    if seed % 10 == 0:
        del content[rng.randrange(4096, len(content)) :]
    else:
        for _ in range(rng.choice([1, 20, 400])):
            content[rng.randrange(100, len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    clock.advance(DAY)
    for job in (
        backfill,
        detect_gaps,
        repair,
        cleanup,
        verify,
        lambda one: collect(one.settings, one.store, clock.now()),
    ):
        try:
            again = context(BACKFILL_DAYS="2")
            with again.store:
                job(again)
        except MdataError as error:
            assert error.exit_code in {74, 78}  # noqa: PT017 - either is fine, a traceback is not


def test_a_log_that_was_deleted_between_runs(folder: Folder, wait: Callable[..., None]) -> None:
    folder.settings.update(BACKFILL_DAYS="30", RATE_LIMIT_DELAY="0.3")
    process = folder.start("backfill")
    wait(lambda: len(folder.sandbox.requests) >= 4)
    process.kill()
    process.communicate()
    for suffix in ("-wal", "-shm"):
        Path(f"{folder.database}{suffix}").unlink(missing_ok=True)
    ended = folder.run("backfill", RATE_LIMIT_DELAY="0")
    assert ended.exit in {0, 74}, ended.err
    if ended.exit == 0:
        assert_sound(folder)
        assert_equal(folder, 30)


def test_a_folder_in_the_place_of_the_database(folder: Folder) -> None:
    for command in ("backfill", "status", "gaps"):
        ended = folder.run(command, DATABASE_PATH=str(folder.path))
        assert ended.exit == 78
        assert "is a folder" in ended.err
    assert not [*folder.path.iterdir()]
