"""`mdata publish` as it is typed: exit codes, sentences, JSON, and what is imported."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import UNPRIVILEGED, Folder
from lakes import coverage_of, rows_of, versions

HOURS = {"TIMEFRAMES": "1h", "BACKFILL_DAYS": "100", "PUBLISH_AFTER_DAYS": "0"}


@pytest.fixture
def filled(folder: Folder) -> Folder:
    """A store with two whole months and more, on the real clock."""
    folder.settings.update(HOURS)
    assert folder.run("backfill").exit == 0
    return folder


def test_a_lake_is_named_by_the_argument_or_the_setting(filled: Folder) -> None:
    ended = filled.run("publish", "--json")
    assert ended.exit == 78
    assert "no lake is given: choose a folder or an address (s3://bucket/folder), or set LAKE_URL" in ended.err
    assert filled.run("publish", LAKE_URL="one").exit == 0
    assert filled.run("publish", "two", LAKE_URL="one").exit == 0
    assert rows_of(filled.path / "one", "tBTCUSD", "1h") == rows_of(filled.path / "two", "tBTCUSD", "1h") != []


def test_what_it_says(filled: Folder) -> None:
    plan = filled.run("publish", "lake", "--dry-run", "--json").json
    assert plan["dry_run"] is True
    due = plan["published"]["remaining"]
    assert due in {3, 4}, "100 days hold two or three whole months, and the part of another"
    assert not (filled.path / "lake").exists()
    ended = filled.run("publish", "lake", "--json")
    assert (ended.exit, ended.json["requests"], ended.json["published"]["months"]) == (0, 0, due)
    assert "publish outcome=ok exit=0" in ended.err
    assert f"months={due}" in ended.err
    assert filled.rows("SELECT outcome, exit FROM ingestion_jobs WHERE command = 'publish'") == [("ok", 0)]
    exit_code, shown = filled.show("publish", "lake")
    assert (exit_code, "0 months published with 0 candles" in shown) == (0, True)
    assert filled.run("publish", "lake", "--quiet").out == ""
    host = {row["host"] for row in coverage_of(filled.path / "lake")}
    assert host == {os.uname().nodename}


@pytest.mark.parametrize(
    ("lake", "said"),
    [
        ("https://example.org/lake", "a lake is a folder, or an address that begins with s3://, gs://, az://"),
        ("s3://key:secret@bucket/lake", "credentials come from the environment"),
        ("s3://", "the address of a lake is a bucket and folders in it"),
        ("lake-$HOME/x", "which is not expanded here"),
    ],
)
def test_what_can_be_no_lake_is_refused(folder: Folder, lake: str, said: str) -> None:
    for ended, exit_code in ((folder.run("publish", lake), 2), (folder.run("publish", LAKE_URL=lake), 78)):
        assert ended.exit == exit_code
        assert said in re.sub(r"[\s│]+", " ", ended.err)
        assert "secret" not in ended.err


def test_what_is_not_installed_is_named(filled: Folder) -> None:
    code = "import sys; sys.modules['deltalake'] = None; from mdata.cli.main import run; run()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "publish", "lake"], env=filled.environ(), cwd=filled.path,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 78
    assert re.search(r"deltalake is not installed: `.*'deltalake>=1.6,<2' 'obstore>=0.12,<1'` brings", ended.stderr)


def test_a_folder_that_may_not_be_written(filled: Folder) -> None:
    closed = filled.path / "closed"
    closed.mkdir(mode=0o555)
    filled.before = [*UNPRIVILEGED]
    ended = filled.run("publish", "closed/lake")
    assert (ended.exit, "Traceback" in ended.err) == (77, False), ended.err
    ended = filled.run("publish", "closed")
    assert (ended.exit, "Traceback" in ended.err) == (77, False), ended.err


def test_a_file_in_the_place_of_a_lake(filled: Folder) -> None:
    (filled.path / "lake").write_text("no lake")
    ended = filled.run("publish", "lake")
    assert (ended.exit, "Traceback" in ended.err) == (78, False), ended.err
    assert "is a file" in ended.err


def test_a_damaged_log_is_told_and_never_a_bug(filled: Folder) -> None:
    assert filled.run("publish", "lake").exit == 0
    for name in ("candles", "coverage"):
        log = filled.path / "lake" / name / "_delta_log" / f"{0:020}.json"
        text = log.read_text()
        log.write_text(text[: len(text) // 2])
        ended = filled.run("publish", "lake")
        assert (ended.exit, "Traceback" in ended.err) == (74, False), ended.err
        log.write_text(text)
    assert filled.run("publish", "lake").exit == 0


def test_a_run_that_is_killed_is_finished_by_the_next_one(filled: Folder) -> None:
    due = filled.run("publish", "lake", "--dry-run", "--json").json["published"]["remaining"]
    process = filled.start("publish", "lake")
    log = filled.path / "lake" / "candles" / "_delta_log"
    while not list(log.glob("*2.json")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # Candles are there; what vouches for them, perhaps not.
    written = versions(filled.path / "lake")["candles"]
    found = filled.run("publish", "lake", "--json").json["published"]
    assert (found["months"], found["confirmed"] in {0, due}) == (0, True), "no candle is written twice"
    assert versions(filled.path / "lake")["candles"] == written
    assert filled.run("lake", "check", "lake").exit == 0
    before = versions(filled.path / "lake")
    assert filled.run("publish", "lake").exit == 0
    assert versions(filled.path / "lake") == before


def test_no_other_command_imports_what_speaks_delta(folder: Folder) -> None:
    folder.settings.update(BACKFILL_DAYS="0", TIMEFRAMES="1M")
    assert folder.run("backfill").exit == 0
    for command in ("status", "backfill", "config", "verify"):
        finished = subprocess.run(
            [sys.executable, "-v", "-m", "mdata", command], env=folder.environ(LAKE_URL="lake"), cwd=folder.path,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        names = set(re.findall(r"^import '([^'.]+)", finished.stderr, re.MULTILINE))
        assert not names & {"deltalake", "obstore", "arro3"}
        assert not re.search(r"^import 'mdata\.lake", finished.stderr, re.MULTILINE)
    assert Path(sys.executable).exists()
