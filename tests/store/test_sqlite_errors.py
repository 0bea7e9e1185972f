"""SQLite's errors are told apart by their codes: its sentences may quote what somebody else has written."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Folder

# The standard library's SQLite in the place of pysqlite3, as on machines for which there is no wheel.
WITHOUT_PYSQLITE3 = (
    "import sys\nsys.modules['pysqlite3'] = None\nsys.argv[0] = 'mdata'\nfrom mdata.cli.main import run\nrun()\n"
)
ENGINES = {"pysqlite3": ["-m", "mdata"], "sqlite3": ["-c", WITHOUT_PYSQLITE3]}


@pytest.fixture(params=ENGINES)
def backfill(request: pytest.FixtureRequest, folder: Folder) -> tuple[Folder, list[str]]:
    folder.settings["BACKFILL_DAYS"] = "1"
    assert folder.run("backfill").exit == 0
    return folder, [sys.executable, *ENGINES[request.param], "backfill", "--since", "-2d"]


def run(folder: Folder, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, env=folder.environ(), cwd=folder.path, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("word", ["locked", "database is busy", "disk is full", "malformed", "readonly"])
def test_a_users_trigger_that_refuses(backfill: tuple[Folder, list[str]], word: str) -> None:
    folder, command = backfill
    folder.rows(f"CREATE TRIGGER mine BEFORE INSERT ON candles BEGIN SELECT RAISE(ABORT, '{word}'); END")
    ended = run(folder, command)
    assert ended.returncode == 74, ended.stderr
    assert f"a trigger in {folder.database} rejects the write ({word})" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("table", ["full_log", "locked_log", "is_malformed"])
def test_a_table_that_a_users_trigger_wants_and_that_is_gone(backfill: tuple[Folder, list[str]], table: str) -> None:
    folder, command = backfill
    folder.rows(f"CREATE TABLE {table} (x)")
    folder.rows(f"CREATE TRIGGER mine AFTER INSERT ON candles BEGIN INSERT INTO {table} VALUES (1); END")
    folder.rows(f"DROP TABLE {table}")
    ended = run(folder, command)
    assert ended.returncode == 74, ended.stderr
    assert f"no such table: main.{table}" in ended.stderr
    for other in ("the disk is full", "is damaged", "another program"):
        assert other not in ended.stderr


def test_no_database_and_a_file_that_may_not_be_written(backfill: tuple[Folder, list[str]]) -> None:
    folder, command = backfill
    for name in ("mdata.db-wal", "mdata.db-shm"):
        (folder.path / name).unlink(missing_ok=True)
    folder.database.write_text("<html>" * 1000)
    ended = run(folder, command)
    assert (ended.returncode, "is not an SQLite database" in ended.stderr) == (74, True), ended.stderr


def test_a_folder_in_which_no_log_can_be_made(backfill: tuple[Folder, list[str]]) -> None:
    folder, command = backfill
    for name in ("mdata.db-wal", "mdata.db-shm"):
        (folder.path / name).unlink(missing_ok=True)
    Path(f"{folder.database}-wal").mkdir()
    ended = run(folder, command)
    assert (ended.returncode, "Traceback" in ended.stderr) == (74, False), ended.stderr
    assert "mdata.db-wal is a folder" in ended.stderr
