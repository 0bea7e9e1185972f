"""A backup is the store at one instant, and what is restored is that backup: or nothing has changed."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import UNPRIVILEGED, Folder
from copies import content
from killing import assert_sound

import mdata
from mdata.store.sqlite import sqlite3

Wait = Callable[..., None]


def identity(path: Path) -> tuple[str, int]:
    connection = sqlite3.connect(path)
    try:
        found: tuple[str, int] = connection.execute("SELECT id, generation FROM store").fetchone()
        return found
    finally:
        connection.close()


@pytest.fixture
def full(folder: Folder) -> Folder:
    """A folder with a store of a few days."""
    folder.settings["BACKFILL_DAYS"] = "5"
    assert folder.run("backfill").exit == 0
    return folder


def test_a_backup_is_the_store_in_one_private_file(full: Folder) -> None:
    ended = full.run("backup", "copy.db", "--json")
    assert ended.exit == 0, ended.err
    found, copy = ended.json["backup"], full.path / "copy.db"
    candles = full.rows("SELECT count(*) FROM candles")[0][0]
    assert (found["path"], found["series"], found["candles"], found["doubts"]) == (str(copy), 1, candles, 0)
    assert (found["id"], found["generation"]) == identity(full.database)
    assert found["bytes"] == copy.stat().st_size == full.database.stat().st_size
    assert copy.stat().st_mode & 0o777 == 0o600
    assert content(copy) == content(full.database)
    assert sorted(path.name for path in full.path.glob("*copy*")) == ["copy.db"]
    assert full.run("status", "--check", DATABASE_PATH=str(copy)).exit == 0


def test_a_backup_is_never_put_over_a_file_without_being_told_to(full: Folder) -> None:
    copy = full.path / "copy.db"
    copy.write_text("mine")
    ended = full.run("backup", "copy.db", "--json")
    assert (ended.exit, copy.read_text()) == (78, "mine")
    assert "--force" in ended.json["reason"]
    assert full.run("backup", "copy.db", "--force").exit == 0
    assert content(copy) == content(full.database)


@pytest.mark.parametrize("name", ["mdata.db", "link.db", "folder", "nowhere/copy.db"])
def test_where_no_backup_can_be(full: Folder, name: str) -> None:
    (full.path / "folder").mkdir()
    (full.path / "link.db").symlink_to(full.database)
    before = content(full.database)
    ended = full.run("backup", name, "--force")
    assert ended.exit == 78
    assert "Traceback" not in ended.err
    assert content(full.database) == before


def test_there_is_nothing_to_back_up_yet(folder: Folder) -> None:
    ended = folder.run("backup", "copy.db", "--json")
    assert ended.exit == 78
    assert "run `mdata backfill` first" in ended.json["reason"]
    assert not (folder.path / "copy.db").exists()


def test_backups_while_a_backfill_writes_are_each_of_one_instant(full: Folder, wait: Wait) -> None:
    process = full.start("backfill", "--json", BACKFILL_DAYS="120", RATE_LIMIT_DELAY="0.05")
    wait(lambda: len(full.sandbox.requests) >= 4)
    for number in range(5):
        ended = full.run("backup", f"copy-{number}.db", "--json")
        assert ended.exit == 0, ended.err
        other = Folder(full.path, full.sandbox)
        other.database = full.path / f"copy-{number}.db"
        assert_sound(other)
    out, err = process.communicate(timeout=60)
    assert json.loads(out)["exit"] == 0, err


def test_a_damaged_store_makes_no_backup(full: Folder) -> None:
    held = bytearray(full.database.read_bytes())
    held[8 * 4096 : 12 * 4096] = os.urandom(4 * 4096)
    full.database.write_bytes(held)
    ended = full.run("backup", "copy.db", "--json")
    assert ended.exit == 74, ended.err
    assert list(full.path.glob("*copy.db*")) == []
    assert len(ended.json["reason"]) < 600


def test_a_backup_that_disagrees_with_its_ledger_says_so(full: Folder) -> None:
    full.rows("INSERT INTO candles SELECT series_id, open_time + 1, 1, 1, 1, 1, 1 FROM candles LIMIT 3")
    ended = full.run("backup", "copy.db", "--json")
    assert ended.exit == 3
    assert "run `mdata verify`" in ended.json["reason"]
    assert content(full.path / "copy.db") == content(full.database)


@pytest.mark.skipif(not UNPRIVILEGED, reason="needs root to set it up")
def test_a_folder_that_may_not_be_written_is_told(full: Folder) -> None:
    (full.path / "closed").mkdir(mode=0o500)
    full.before = list(UNPRIVILEGED)
    ended = full.run("backup", "closed/copy.db")
    assert ended.exit == 77
    assert "Traceback" not in ended.err


def test_what_is_restored_is_the_backup_and_what_was_there_is_kept(full: Folder) -> None:
    full.rows("DELETE FROM candles WHERE open_time = (SELECT min(open_time) + 6000000 FROM candles)")
    full.run("backup", "copy.db")
    backed_up = content(full.database)
    full.run("backfill", BACKFILL_DAYS="9")
    full.database.chmod(0o640)
    later, (name, generation) = content(full.database), identity(full.database)
    ended = full.run("restore", "copy.db", "--yes", "--json")
    assert ended.exit == 0, ended.err
    assert content(full.database) == backed_up
    assert full.database.stat().st_mode & 0o777 == 0o640
    kept = Path(ended.json["kept"])
    assert kept.name.startswith("mdata.db.before-")
    assert content(kept) == later
    assert 1 <= ended.json["unknown"] <= 3, "the one that was lost, and the newest"
    assert identity(full.database)[0] == name
    assert identity(full.database)[1] > generation
    assert full.run("backfill", BACKFILL_DAYS="9").exit == 0
    assert content(full.database)["candles"][: len(later["candles"])] == later["candles"]
    assert_sound(full)
    left = {path.name for path in full.path.iterdir() if ".before-" not in path.name and "lock" not in path.name}
    assert left == {"copy.db", "mdata.db", "rate-limit.json", "rate-limit.json.used"}


def test_a_dry_run_of_restore_changes_nothing(full: Folder) -> None:
    full.run("backup", "copy.db")
    before = full.database.read_bytes()
    ended = full.run("restore", "copy.db", "--dry-run", "--json")
    assert (ended.exit, ended.json["dry_run"], ended.json["replaces"]) == (0, True, True)
    assert full.database.read_bytes() == before
    assert list(full.path.glob("*.before-*")) == []


def test_without_a_terminal_restore_wants_yes_and_at_one_it_asks(full: Folder) -> None:
    full.run("backup", "copy.db")
    full.run("update")
    before = content(full.database)
    ended = full.run("restore", "copy.db")
    assert ended.exit == 2
    assert "--yes" in ended.err
    code, shown = full.show("restore", "copy.db", typed="n\n")
    assert code == 2
    assert "Replace" in shown
    assert content(full.database) == before
    code, shown = full.show("restore", "copy.db", typed="y\n")
    assert code == 0, shown
    assert content(full.database) != before


def test_another_store_is_restored_by_force_only(full: Folder) -> None:
    other = Folder(full.path / "other", full.sandbox)
    other.path.mkdir()
    assert other.run("backfill", BACKFILL_DAYS="1").exit == 0
    assert other.run("backup", "../foreign.db").exit == 0
    ended = full.run("restore", "foreign.db", "--yes", "--json")
    assert ended.exit == 78
    assert "backup of another store" in ended.json["reason"]
    assert full.run("restore", "foreign.db", "--yes", "--force").exit == 0
    assert content(full.database) == content(other.database)


def test_nothing_is_restored_while_anybody_has_the_store_open(full: Folder, wait: Wait) -> None:
    full.run("backup", "copy.db")
    reader = subprocess.Popen(["sqlite3", full.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write("SELECT count(*) FROM candles;\n")
    reader.stdin.flush()
    reader.stdout.readline()
    ended = full.run("restore", "copy.db", "--yes", "--json")
    assert ended.exit == 75
    assert f"(process {reader.pid}, running since" in ended.json["reason"]
    full.before = list(UNPRIVILEGED)
    reader.send_signal(signal.SIGSTOP)
    wait(lambda: "stopped: `kill -CONT" in full.run("restore", "copy.db", "--yes", "--json").json["reason"])
    reader.send_signal(signal.SIGCONT)
    reader.communicate()
    full.before = []
    process = full.start("backfill", BACKFILL_DAYS="400", RATE_LIMIT_DELAY="5")
    wait(lambda: any(full.path.glob("mdata.db-wal")))
    ended = full.run("restore", "copy.db", "--yes", "--wait-lock", "0", "--json")
    assert ended.exit == 75
    assert str(process.pid) in ended.json["reason"]
    process.kill()
    process.communicate()
    assert list(full.path.glob("*.before-*")) == []
    assert full.run("restore", "copy.db", "--yes").exit == 0


@pytest.mark.parametrize("what", ["damaged", "another program's", "text", "empty", "newer", "missing", "the store"])
def test_what_can_be_no_backup_changes_nothing(full: Folder, what: str) -> None:
    full.run("backup", "copy.db")
    copy = full.path / "copy.db"
    held = bytearray(copy.read_bytes())
    match what:
        case "damaged":
            held[8 * 4096 : 12 * 4096] = os.urandom(4 * 4096)
            copy.write_bytes(held)
        case "another program's":
            copy.unlink()
            connection = sqlite3.connect(copy)
            connection.execute("CREATE TABLE store (id, generation)")
            connection.close()
        case "text" | "empty":
            copy.write_text("no database" * 1000 if what == "text" else "")
        case "newer":
            connection = sqlite3.connect(copy)
            connection.execute("PRAGMA user_version = 99")
            connection.close()
        case "missing":
            copy.unlink()
        case "the store":
            copy.unlink()
            copy.symlink_to(full.database)
    before = full.database.read_bytes()
    ended = full.run("restore", "copy.db", "--yes", "--force", "--json")
    assert ended.exit == (74 if what in {"damaged", "text"} else 78), ended.err
    assert "Traceback" not in ended.err
    assert full.database.read_bytes() == before
    assert list(full.path.glob("*.before-*")) == list(full.path.glob(".mdata*")) == []


def test_a_store_that_is_damaged_or_gone_is_restored_too(full: Folder) -> None:
    full.run("backup", "copy.db")
    good = content(full.database)
    full.database.write_bytes(os.urandom(100_000))
    assert full.run("restore", "copy.db", "--yes").exit == 0
    assert content(full.database) == good
    full.database.unlink()
    assert full.run("restore", "copy.db").exit == 0, "there is nothing to ask about"
    assert content(full.database) == good


def test_a_backup_with_a_log_and_an_old_schema_is_brought_up_to_date(full: Folder) -> None:
    full.run("backup", "copy.db")
    connection = sqlite3.connect(full.path / "copy.db", isolation_level=None)
    connection.execute("DROP TABLE store")
    connection.execute("DELETE FROM _sqlite_migrations WHERE name LIKE '%store_identity'")
    connection.execute("PRAGMA user_version = 1")
    shutil.copytree(full.path, full.path / "moved", ignore=shutil.ignore_patterns("*lock", "moved"))
    connection.close()
    assert (full.path / "moved" / "copy.db-wal").stat().st_size > 0
    expected = content(full.database)["candles"]
    ended = full.run("restore", "moved/copy.db", "--yes", "--force", "--json")
    assert ended.exit == 0, ended.err
    assert content(full.database)["candles"] == expected
    assert full.run("backfill").exit == 0


def test_a_backup_behind_a_link_is_read_with_its_log(full: Folder) -> None:
    place = full.path / "elsewhere"
    place.mkdir()
    connection = sqlite3.connect(full.database, isolation_level=None)
    connection.execute("DELETE FROM ingestion_jobs")
    for name in ("mdata.db", "mdata.db-wal"):
        shutil.copy(full.path / name, place)
    connection.close()
    (full.path / "link.db").symlink_to(place / "mdata.db")
    assert full.run("backfill").exit == 0
    assert mdata.open(full.path / "link.db").path == place / "mdata.db"
    ended = full.run("restore", "link.db", "--yes")
    assert ended.exit == 0, ended.err
    assert full.rows("SELECT count(*) FROM ingestion_jobs") == [(0,)]
