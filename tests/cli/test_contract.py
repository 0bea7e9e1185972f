"""What scripts rely on: every exit code, and the one JSON object of every command, also when it fails."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from itertools import combinations
from typing import Any

import pytest
from conftest import UNPRIVILEGED, Ended, Folder, stored

from mdata.clock import SystemClock
from mdata.exit_codes import EXIT_CODES, worst
from mdata.locks import command_lock
from mdata.running.commands import JOBS
from mdata.sandbox.faults import Fault

ENVELOPE = {"mdata", "command", "outcome", "exit", "reason", "retryable"}
JOB = {"job_id", "started_at", "finished_at", "requests", "candles_written", "candles_changed", "gaps_opened",
       "gaps_repaired", "gaps_empty", "gaps_failed", "remaining"}  # fmt: skip
OUTCOMES = {0: {"ok", "skipped"}, 3: {"partial"}, 65: {"partial"}, 75: {"skipped", "partial"}}
READING = [["status"], ["gaps"], ["gaps", "--revisions"], ["jobs"], ["config"], ["symbols"]]
GAP = {"id", "symbol", "timeframe", "start", "end", "intervals", "status", "attempts", "reason", "detected_at",
       "next_attempt_at", "resolved_at"}  # fmt: skip
RUN = {"id", "command", "started_at", "finished_at", "outcome", "exit", "requests", "candles_written", "error",
       "invocation_id", "pid", "host", "boot_id"}  # fmt: skip
REVISION = {"symbol", "timeframe", "open_time", "kind", "open", "high", "low", "close", "volume", "seen_at", "source"}


def arguments_of(command: str) -> list[str]:
    more = {"cleanup": ["--yes"], "stream": ["--for", "2s"], "publish": ["lake"]}
    return [command, *more.get(command, [])]


def assert_envelope(ended: Ended, command: str) -> dict[str, Any]:
    """Assert that stdout is one JSON object with the common fields, which agree with the exit code."""
    assert ended.out.count("\n") == 1
    found = ended.json
    assert set(found) >= ENVELOPE
    assert (found["mdata"], found["command"], found["exit"]) == (1, command, ended.exit)
    assert found["outcome"] in OUTCOMES.get(ended.exit, {"failed"})
    assert found["retryable"] is (ended.exit in {3, 69, 75})
    assert ended.exit == 0 or found["reason"]
    for text in re.findall(r'"(\d{4}-\d\d-\d\dT[^"]*)"', ended.out):
        assert text.endswith("Z")
        datetime.fromisoformat(text)
    return found


@pytest.mark.parametrize("command", JOBS)
def test_every_job_tells_the_same_fields_and_writes_them_down(folder: Folder, command: str) -> None:
    folder.settings.update(BACKFILL_DAYS="1", TIMEFRAMES="1h")
    ended = folder.run(*arguments_of(command), "--json")
    assert ended.exit == 0, ended.err
    found = assert_envelope(ended, command)
    assert set(found) >= JOB
    counted = JOB - {"job_id", "started_at", "finished_at"}
    assert all(type(found[name]) is int for name in counted)
    columns = ("id", "command", "outcome", "exit", *sorted(counted))
    (row,) = folder.rows(f"SELECT {', '.join(columns)} FROM ingestion_jobs")
    assert row == (found["job_id"], command, "ok", 0, *(found[name] for name in sorted(counted)))
    origin = folder.rows("SELECT pid > 1, host, boot_id, version <> '' FROM ingestion_jobs")
    assert origin == [(1, os.uname().nodename, SystemClock().boot_id(), 1)]
    again = assert_envelope(folder.run(*arguments_of(command), "--json"), command)
    assert again["candles_written"] == 0 or command == "stream"


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
@pytest.mark.parametrize("is_new", [True, False], ids=["nothing stored", "something stored"])
def test_every_reading_command_tells_one_object(folder: Folder, arguments: list[str], *, is_new: bool) -> None:
    if not is_new:
        folder.run("backfill", BACKFILL_DAYS="1")
    ended = folder.run(*arguments, "--json")
    assert ended.exit == 0, ended.err
    assert_envelope(ended, arguments[0])


def test_the_fields_of_gaps_jobs_and_revisions(folder: Folder) -> None:
    folder.settings.update(BACKFILL_DAYS="2", SYMBOLS="BTCUSD,SPAUSD", TIMEFRAMES="1m,1h")
    folder.run("backfill")
    held = stored(folder.database, "tBTCUSD", "1m")
    folder.rows("DELETE FROM candles WHERE series_id = 1 AND open_time IN (?, ?)", held[500][0], held[900][0])
    hour = stored(folder.database, "tSPAUSD", "1h")[-10][0]
    folder.rows("DELETE FROM candles WHERE series_id = 4 AND open_time = ?", hour)
    folder.run("detect-gaps")
    folder.sandbox.market.revised["tBTCUSD", "1m", held[501][0]] = (held[501][0], 5.0, 6.0, 4.0, 5.0, 7.0)
    folder.run("repair", "-s", "BTCUSD")
    gaps = folder.run("gaps", "--json").json["gaps"]
    assert all(set(one) >= GAP for one in gaps)
    assert [one["start"] for one in gaps] == sorted((one["start"] for one in gaps), reverse=True), "newest first"

    def listed(*arguments: str) -> list[tuple[str, str, str]]:
        found = folder.run("gaps", "--json", *arguments).json["gaps"]
        return [(one["symbol"], one["timeframe"], one["status"]) for one in found]

    repaired = [("tBTCUSD", "1m", "repaired")] * 2
    assert listed("--status", "repaired") == repaired
    assert listed("--status", "failed") == []
    assert listed("-s", "BTCUSD") == listed("-s", "BTCUSD", "-t", "1m") == repaired
    assert listed("-t", "1h") == listed("-s", "SPAUSD") == listed("--status", "open") == [("tSPAUSD", "1h", "open")]
    assert listed("-s", "BTCUSD", "--since", str(held[700][0])) == repaired[:1]
    (revision,) = folder.run("gaps", "--revisions", "--json").json["revisions"]
    assert set(revision) >= REVISION
    assert (revision["kind"], revision["close"], revision["source"]) == ("changed", held[501][4], "repair")
    lines = folder.run("gaps", "--revisions").out.splitlines()
    assert lines[0].split("\t")[:4] == ["symbol", "timeframe", "open_time", "kind"]
    assert len(lines) == 2


def test_jobs_are_listed_by_command_outcome_and_time(folder: Folder) -> None:
    folder.settings["BACKFILL_DAYS"] = "1"
    folder.run("backfill")
    began = SystemClock().now()
    folder.run("backfill", "--max-requests", "0", BACKFILL_DAYS="3")
    folder.run("update")
    folder.run("update", BITFINEX_REST_URL="http://127.0.0.1:9/v2", RATE_LIMIT_MAX_RETRIES="0", SYMBOLS="ETHUSD")

    def listed(*arguments: str) -> list[tuple[str, str, int]]:
        found = folder.run("jobs", "--json", *arguments).json["jobs"]
        assert all(set(one) >= RUN for one in found)
        return [(one["command"], one["outcome"], one["exit"]) for one in found]

    every = [("update", "failed", 69), ("update", "ok", 0), ("backfill", "partial", 3), ("backfill", "ok", 0)]
    assert listed() == every
    assert listed("--limit", "1") == every[:1]
    assert listed("--command", "backfill") == every[2:]
    assert listed("--outcome", "failed") == every[:1]
    assert listed("--command", "update", "--outcome", "ok") == every[1:2]
    assert listed("--since", str(began)) == every[:3]
    assert folder.run("jobs", "--outcome", "fine").exit == 2


def test_systemds_id_of_a_run_is_kept(folder: Folder) -> None:
    identity = "0123456789abcdef0123456789abcdef"
    with (folder.path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        environment = folder.environ(
            JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}", INVOCATION_ID=identity, BACKFILL_DAYS="1"
        )
        assert folder.start_into(journal, "backfill", environment=environment) == 0
    assert [one["invocation_id"] for one in folder.run("jobs", "--json").json["jobs"]] == [identity]


@pytest.mark.parametrize("command", ["backfill", "update", "repair", "cleanup", "detect-gaps"])
def test_the_row_of_a_killed_run_is_closed_by_the_next(folder: Folder, command: str) -> None:
    folder.settings["BACKFILL_DAYS"] = "1"
    assert folder.run("backfill").exit == 0
    columns = "command, started_at, outcome, pid, host, boot_id, version"
    folder.rows(f"INSERT INTO ingestion_jobs ({columns}) VALUES (?, 1, 'running', 1, 'h', 'b', '0')", command)
    assert [one["outcome"] for one in folder.run("jobs", "--json", "--outcome", "interrupted").json["jobs"]] == [
        "interrupted"
    ], "nobody holds the lock, so nobody is at work, whatever the age of the row"
    with command_lock(folder.database, command, 0, SystemClock()):
        assert len(folder.run("jobs", "--json", "--outcome", "running").json["jobs"]) == 1
        # Newer, and at work: the limit counts what was asked for.
        other = {"backfill": "update"}.get(command, "backfill")
        folder.rows(f"INSERT INTO ingestion_jobs ({columns}) VALUES (?, 2, 'running', 1, 'h', 'b', '0')", other)
        newest = folder.run("jobs", "--json", "--outcome", "running", "--limit", "1").json["jobs"]
        assert [one["command"] for one in newest] == [command]
        folder.rows("DELETE FROM ingestion_jobs WHERE started_at = 2")
    with command_lock(folder.database, "verify", 0, SystemClock()):
        folder.rows(f"INSERT INTO ingestion_jobs ({columns}) VALUES ('verify', 2, 'running', 1, 'h', 'b', '0')")
        newest = folder.run("jobs", "--json", "--outcome", "interrupted", "--limit", "1").json["jobs"]
        assert [one["command"] for one in newest] == [command]
        folder.rows("DELETE FROM ingestion_jobs WHERE started_at = 2")
    assert folder.run(*arguments_of(command)).exit == 0
    ((outcome, finished, error),) = folder.rows(
        "SELECT outcome, finished_at, error FROM ingestion_jobs WHERE started_at = 1"
    )
    assert (outcome, error) == ("interrupted", "the process ended abruptly")
    assert finished > 1


@pytest.mark.parametrize("command", [job for job in JOBS if job != "stream"])
def test_every_job_obeys_max_runtime(folder: Folder, command: str) -> None:
    folder.settings["BACKFILL_DAYS"] = "2"
    assert folder.run("backfill").exit == 0
    folder.rows("DELETE FROM candles WHERE open_time = (SELECT max(open_time) - 36000000 FROM candles)")
    assert folder.run("detect-gaps").exit == 0
    settings = {"RETENTION_DAYS": "1", "SYMBOLS": "BTCUSD,SPAUSD"}
    ended = folder.run(*arguments_of(command), "--json", "--max-runtime", "0", **settings)
    found = assert_envelope(ended, command)
    assert (ended.exit, found["outcome"], found["requests"], found["candles_written"]) == (3, "partial", 0, 0)
    assert f"the time limit of 0 s was reached; run `mdata {command}` again to continue" in found["reason"]


@pytest.mark.parametrize("arguments", [*map(arguments_of, JOBS), *READING], ids=" ".join)
def test_a_bad_setting_fails_every_command_in_the_same_way(folder: Folder, arguments: list[str]) -> None:
    ended = folder.run(*arguments, "--json", TIMEFRAMES="4h")
    assert ended.exit == 78
    found = assert_envelope(ended, arguments[0])
    assert "TIMEFRAMES" in found["reason"]
    assert not folder.database.exists()


@pytest.mark.parametrize("arguments", [*map(arguments_of, JOBS), *READING[:4]], ids=" ".join)
def test_a_foreign_database_fails_every_command_in_the_same_way(folder: Folder, arguments: list[str]) -> None:
    folder.database.write_text("<html>no database at all</html>" * 200)
    ended = folder.run(*arguments, "--json")
    assert ended.exit == 74
    assert str(folder.database) in assert_envelope(ended, arguments[0])["reason"]
    assert folder.database.read_text().startswith("<html>")


BUG = """
import sys
from mdata.domain.timeframe import Timeframe
def broken(*_):
    raise ZeroDivisionError("a bug")
Timeframe.floor = broken
sys.argv = ["mdata", "backfill", "--json"]
from mdata.cli.main import run
run()
"""


def a_bug(folder: Folder) -> Ended:
    return Ended(
        subprocess.run(
            [sys.executable, "-c", BUG], env=folder.environ(), cwd=folder.path, capture_output=True, text=True,
            check=False,
        )
    )  # fmt: skip


def a_row_refused(folder: Folder) -> Ended:
    folder.sandbox.faults = [Fault("spoil", times=1, after=1, parameters={"value": "text"})]
    return folder.run("backfill", "--json")


def in_maintenance(folder: Folder) -> Ended:
    folder.sandbox.faults = [Fault("maintenance")]
    return folder.run("backfill", "--json", RATE_LIMIT_MAX_RETRIES="0")


def no_database(folder: Folder) -> Ended:
    folder.database.write_text("x" * 5000)
    return folder.run("backfill", "--json")


def lock_held(folder: Folder) -> Ended:
    with command_lock(folder.database, "backfill", 0, SystemClock()):
        return folder.run("backfill", "--json", "--wait-lock", "0")


def nonsense(folder: Folder) -> Ended:
    folder.sandbox.faults = [Fault("null")]
    return folder.run("backfill", "--json")


def no_permission(folder: Folder) -> Ended:
    folder.run("backfill")
    folder.database.chmod(0)
    folder.before = UNPRIVILEGED
    return folder.run("backfill", "--json")


PROVOKED: dict[int, Callable[[Folder], Ended]] = {
    0: lambda folder: folder.run("backfill", "--json"),
    1: a_bug,
    3: lambda folder: folder.run("backfill", "--json", "--max-requests", "1"),
    65: a_row_refused,
    69: in_maintenance,
    74: no_database,
    75: lock_held,
    76: nonsense,
    77: no_permission,
    78: lambda folder: folder.run("backfill", "--json", SYMBOLS="fUSD"),
}


@pytest.mark.parametrize("code", PROVOKED)
def test_every_exit_code(folder: Folder, code: int) -> None:
    folder.settings["BACKFILL_DAYS"] = "1"
    ended = PROVOKED[code](folder)
    assert ended.exit == code, ended.err
    found = assert_envelope(ended, "backfill")
    assert ("Traceback" in ended.err) == (code == 1)
    assert ended.err.splitlines()[-1].startswith(f"mdata: backfill outcome={found['outcome']} exit={code}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_every_signal(folder: Folder, number: int, code: int, wait: Callable[..., None]) -> None:
    folder.settings["RATE_LIMIT_DELAY"] = "0.3"
    process = folder.start("backfill", "--json")
    wait(lambda: len(folder.sandbox.requests) >= 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    ended = Ended(subprocess.CompletedProcess([], process.returncode, out, err))
    assert ended.exit == code
    assert "run `mdata backfill` again to continue" in assert_envelope(ended, "backfill")["reason"]
    assert folder.rows("SELECT outcome, exit FROM ingestion_jobs") == [("interrupted", code)]


def test_every_code_is_documented_and_provoked() -> None:
    # 2 and 141 print no JSON: tests of the command line have them.
    documented = {code for one in EXIT_CODES for code in one.numbers}
    assert documented == {*PROVOKED, 129, 130, 143, 2, 141}


def test_the_worst_of_several_codes_wins(folder: Folder) -> None:
    order = [0, 3, 75, 69, 65, 76, 78, 77, 74, 1, 130]
    assert all(worst(one, other) == worst(other, one) == other for one, other in combinations(order, 2))
    folder.settings.update(BACKFILL_DAYS="1", SYMBOLS="BTCUSD,SPAUSD,ZZZUSD")
    folder.sandbox.faults = [
        Fault("spoil", symbol="tBTCUSD", after=1, parameters={"value": "text"}), Fault("null", symbol="tSPAUSD")
    ]  # fmt: skip
    ended = folder.run("backfill", "--json")
    assert ended.exit == 78
    for said in ("tBTCUSD", "tSPAUSD", "tZZZUSD"):
        assert said in ended.json["reason"]


@pytest.mark.parametrize("command", ["backfill", "update", "repair", "cleanup"])
def test_a_dry_run_tells_what_it_would_cost_and_does_nothing(folder: Folder, command: str) -> None:
    folder.settings.update(RATE_LIMIT_DELAY="6", BACKFILL_DAYS="30")
    first = folder.run(command, "--dry-run", "--json")
    assert first.exit == 0
    assert not folder.database.exists()
    folder.run("backfill", RATE_LIMIT_DELAY="0", BACKFILL_DAYS="2")
    held = stored(folder.database, "tBTCUSD", "1m")
    folder.rows("DELETE FROM candles WHERE open_time IN (?, ?)", held[100][0], held[2000][0])
    folder.run("detect-gaps")
    before, requests = folder.database.read_bytes(), len(folder.sandbox.requests)
    ended = folder.run(command, "--dry-run", "--json", RETENTION_DAYS="1" if command == "cleanup" else "0")
    found = assert_envelope(ended, command)
    assert found["dry_run"] is True
    if command == "cleanup":
        assert found["removed"]["candles"] == 1439
        assert found["removed"]["bytes"] > 0
    else:
        assert found["requests"] in {"backfill": {5}, "update": {0, 1}, "repair": {1}}[command]
        # The first of them may leave at once, unless it is within a delay of the last one that did.
        assert found["requests"] * 6 - 6 <= found["seconds"] <= found["requests"] * 6
        assert (found["bytes"] > 0) == (found["requests"] > 0)
    shown = folder.run(command, "--dry-run", RETENTION_DAYS="1" if command == "cleanup" else "0")
    assert "MB" in shown.out + shown.err
    assert len(folder.sandbox.requests) == requests
    assert folder.database.read_bytes() == before


def test_a_dry_run_of_repair_counts_the_requests_it_would_send(folder: Folder) -> None:
    folder.settings.update(BACKFILL_DAYS="30")
    folder.run("backfill")
    held = stored(folder.database, "tBTCUSD", "1m")
    for row in (*held[100:40_000:400], held[-7]):
        folder.rows("DELETE FROM candles WHERE open_time = ?", row[0])
    folder.run("detect-gaps")
    planned = folder.run("repair", "--dry-run", "--json").json
    assert (planned["gaps_due"], planned["intervals"]) == (101, 101)
    ended = folder.run("repair", "--json")
    assert (ended.exit, ended.json["requests"]) == (0, planned["requests"])
    assert planned["requests"] == 5
