"""The database is replaced, removed or named twice while mdata works on it, or between two runs."""

import shutil
import signal
import subprocess
from collections.abc import Callable

import pytest
from conftest import Ended, Folder
from killing import assert_sound, strace_fault

from mdata.store.sqlite import sqlite3

Wait = Callable[..., None]
WRITERS = ("backfill", "update", "detect-gaps", "repair", "verify")


def at_work(folder: Folder, wait: Wait) -> subprocess.Popen[str]:
    """Start a backfill that is slow, and return it when it has committed something."""
    before = len(folder.sandbox.requests)
    process = folder.start("backfill", "--json", RATE_LIMIT_DELAY="0.8", BACKFILL_DAYS="60")
    wait(lambda: len(folder.sandbox.requests) >= before + 3)
    return process


def ended(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=60)
    return Ended(subprocess.CompletedProcess([], process.returncode, out, err))


def killed_with_a_log(folder: Folder, wait: Wait) -> bytes:
    """Leave a store with a log, as a killed backfill does; return an older copy of it, as `.backup` makes it."""
    folder.run("backfill", BACKFILL_DAYS="3")
    copy = folder.path / "copy.db"
    source, target = sqlite3.connect(folder.database), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()
    process = at_work(folder, wait)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    log = folder.path / "mdata.db-wal"
    assert log.stat().st_size > 0
    return copy.read_bytes()


@pytest.mark.parametrize("how", ["moved away", "removed", "replaced"])
def test_a_run_whose_file_is_gone_does_not_end_well(folder: Folder, wait: Wait, how: str) -> None:
    process = at_work(folder, wait)
    if how == "removed":
        folder.database.unlink()
    else:
        folder.database.rename(folder.path / "old.db")
    if how == "replaced":
        shutil.copy(folder.path / "old.db", folder.database)
    run = ended(process)
    assert run.exit == 74, run.err
    assert "Traceback" not in run.err
    assert f"{folder.database} was {'replaced' if how == 'replaced' else 'removed'}" in run.json["reason"]


def test_the_log_of_the_file_that_took_its_place_is_left_alone(folder: Folder, wait: Wait) -> None:
    process = at_work(folder, wait)
    for name in ("mdata.db", "mdata.db-wal", "mdata.db-shm"):
        (folder.path / name).rename(folder.path / f"old-{name}")
    connection = sqlite3.connect(folder.database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE mine (value)")
    assert ended(process).exit == 74
    assert (folder.path / "mdata.db-wal").exists()
    connection.execute("INSERT INTO mine VALUES (1)")
    connection.close()
    assert folder.rows("SELECT * FROM mine") == [(1,)]


def test_a_copy_over_a_log_is_refused_by_everybody_and_nothing_is_touched(folder: Folder, wait: Wait) -> None:
    folder.database.write_bytes(killed_with_a_log(folder, wait))
    names = ("mdata.db", "mdata.db-wal")
    before = [(folder.path / name).read_bytes() for name in names]
    for command in WRITERS:
        run = folder.run(command, "--json")
        assert run.exit == 74, (command, run.err)
        assert "do not belong together" in run.json["reason"]
    for arguments in (["status", "--check"], ["status"], ["gaps"], ["export"], ["verify", "--dry-run"]):
        assert folder.run(*arguments).exit == 74, arguments
    assert [(folder.path / name).read_bytes() for name in names] == before


def test_a_copy_over_the_store_during_a_run_ends_it(folder: Folder, wait: Wait) -> None:
    copy = killed_with_a_log(folder, wait)
    folder.run("update")
    process = at_work(folder, wait)
    folder.database.write_bytes(copy)
    run = ended(process)
    assert run.exit == 74, run.err
    assert folder.run("status", "--check").exit == 74, "what the two make together is not the store"


def test_a_copy_without_a_log_is_a_store_like_any_other(folder: Folder, wait: Wait) -> None:
    folder.database.write_bytes(killed_with_a_log(folder, wait))
    (folder.path / "mdata.db-wal").unlink()
    (folder.path / "mdata.db-shm").unlink(missing_ok=True)
    run = folder.run("backfill", "--json")
    assert run.exit == 0, run.err
    assert_sound(folder)


def test_a_log_without_its_file_is_refused(folder: Folder, wait: Wait) -> None:
    killed_with_a_log(folder, wait)
    folder.database.unlink()
    run = folder.run("backfill", "--json")
    assert run.exit == 74
    assert "is missing, but its log" in run.json["reason"]
    assert (folder.path / "mdata.db-wal").stat().st_size > 0


def test_both_names_of_a_store_have_one_lock(folder: Folder, wait: Wait) -> None:
    process = at_work(folder, wait)
    other = folder.path / "elsewhere"
    other.mkdir()
    (other / "link.db").symlink_to(folder.database)
    run = folder.run("backfill", "--wait-lock", "0", DATABASE_PATH=str(other / "link.db"))
    assert run.exit == 75
    assert ended(process).exit == 0
    assert sorted(path.name for path in other.iterdir()) == ["link.db"]


@pytest.mark.parametrize(
    "path", ["$HOME/mdata.db", "${STATE}/mdata.db", "postgres://host/mdata", "sqlite:///var/lib/mdata.db"]
)
def test_what_is_no_path_here_makes_no_file(folder: Folder, path: str) -> None:
    before = sorted(folder.path.iterdir())
    run = folder.run("backfill", DATABASE_PATH=path)
    assert run.exit == 78
    assert "DATABASE_PATH is invalid" in run.err
    assert sorted(folder.path.iterdir()) == before


@pytest.mark.skipif(strace_fault() is not None, reason=str(strace_fault()))
@pytest.mark.parametrize(("name", "code"), [("EIO", {74}), ("EACCES", {77, 74})])
@pytest.mark.parametrize("command", ["backfill", "status"])
def test_a_file_of_which_nothing_can_be_learnt_is_no_bug(
    folder: Folder, name: str, code: set[int], command: str
) -> None:
    folder.run("backfill", BACKFILL_DAYS="1")
    calls = "stat,newfstatat,fstat,statx"
    for file, count in (("mdata.db", 12), ("mdata.db-wal", 4)):
        for number in range(1, count):
            inject = f"inject={calls}:error={name}:when={number}"
            folder.before = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(folder.path / file), "-e", inject]
            run = folder.run(command)
            folder.before = []
            assert "Traceback" not in run.err, (file, number, run.err)
            assert run.exit in {0, *code}, (file, number, run.exit, run.err)
    assert folder.run("status").exit == 0
    assert_sound(folder)
