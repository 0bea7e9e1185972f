"""What a run says at its end: when to try again, and one line that a program can read."""

import json
import os
import re
import shlex
import socket
from collections.abc import Callable
from datetime import datetime

import pytest
from conftest import Ended, Folder

from mdata.cli.closing import summary
from mdata.clock import SystemClock
from mdata.locks import command_lock
from mdata.logs import StderrLog, harmless
from mdata.running.result import JobResult
from mdata.sandbox.faults import Fault
from mdata.store.jobs import Tally

WHEN = re.compile(r"retry (now|as soon as|at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z))")


def lost_gap(folder: Folder) -> None:
    """Leave one gap that `repair` has asked about in vain."""
    folder.run("backfill", BACKFILL_DAYS="1")
    (newest,) = folder.rows("SELECT max(open_time) - 7200000 FROM candles")[0]
    folder.rows(f"DELETE FROM candles WHERE open_time BETWEEN {newest - 300_000} AND {newest}")
    folder.run("detect-gaps")
    folder.sandbox.faults = [Fault("empty")]


def limit_reached(folder: Folder) -> Ended:
    return folder.run("backfill", "--json", "--max-requests", "1", RATE_LIMIT_DELAY="2")


def gaps_remain(folder: Folder) -> Ended:
    lost_gap(folder)
    return folder.run("repair", "--json", BACKFILL_DAYS="1")


def unreachable(folder: Folder) -> Ended:
    with socket.socket() as taken:  # bound but not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v2"
        return folder.run("update", "--json", BITFINEX_REST_URL=url, RATE_LIMIT_MAX_RETRIES="0")


def in_maintenance(folder: Folder) -> Ended:
    folder.sandbox.faults = [Fault("maintenance")]
    return folder.run("backfill", "--json", RATE_LIMIT_MAX_RETRIES="1")


def blocked(folder: Folder) -> Ended:
    folder.sandbox.faults = [Fault("rate-limit-object")]
    return folder.run("backfill", "--json", "--max-runtime", "10s")


def refused(folder: Folder) -> Ended:
    folder.sandbox.faults = [Fault("rate-limit-429")]
    return folder.run("backfill", "--json", RATE_LIMIT_MAX_RETRIES="0", RATE_LIMIT_MIN_BACKOFF_SECONDS="60")


def locked(folder: Folder) -> Ended:
    with command_lock(folder.database, "backfill", 0, SystemClock()):
        return folder.run("backfill", "--json", "--wait-lock", "0")


ENDINGS = [
    (limit_reached, 3, True), (gaps_remain, 3, True), (unreachable, 69, False), (in_maintenance, 69, False),
    (blocked, 75, True), (refused, 75, True), (locked, 75, False),
]  # fmt: skip


@pytest.mark.parametrize(("provoke", "code", "has_instant"), ENDINGS, ids=lambda one: getattr(one, "__name__", ""))
def test_an_end_worth_another_run_says_when(
    folder: Folder, provoke: Callable[[Folder], Ended], code: int, *, has_instant: bool
) -> None:
    began = SystemClock().now()
    ended = provoke(folder)
    assert (ended.exit, ended.json["retryable"]) == (code, True), ended.err
    for said in (ended.json["reason"], ended.err):
        found = WHEN.search(said)
        assert found, said
        if has_instant:
            assert found[2], said
            assert datetime.fromisoformat(found[2]).timestamp() * 1000 > began
    assert len(WHEN.findall(ended.json["reason"])) == 1


def test_the_instant_named_is_when_it_works(folder: Folder) -> None:
    ended = folder.run("backfill", "--json", "--max-requests", "1", RATE_LIMIT_DELAY="1")
    found = WHEN.search(ended.json["reason"])
    assert found
    assert found[2]
    instant = datetime.fromisoformat(found[2]).timestamp() * 1000
    later = folder.run("backfill", "--json", BACKFILL_DAYS="1", RATE_LIMIT_DELAY="1")
    assert later.exit == 0
    assert folder.sandbox.requests[1].at >= instant - 50


@pytest.mark.parametrize("provoke", [limit_reached, unreachable, locked], ids=lambda one: one.__name__)
def test_the_last_line_of_a_job_is_one_of_keys_and_values(folder: Folder, provoke: Callable[[Folder], Ended]) -> None:
    ended = provoke(folder)
    command, *pairs = shlex.split(ended.err.splitlines()[-1].removeprefix("mdata: "))
    found = dict(pair.split("=", 1) for pair in pairs)
    assert command == ended.json["command"]
    assert (found["outcome"], found["exit"]) == (ended.json["outcome"], str(ended.exit))
    if "reason" in found:
        assert found["reason"] == ended.json["reason"]


def test_a_run_that_never_began_ends_with_that_line_too(folder: Folder) -> None:
    ended = folder.run("backfill", TIMEFRAMES="4h")
    assert ended.err.splitlines()[-1] == "mdata: backfill outcome=failed exit=78"


def test_a_reason_is_quoted_so_that_it_is_one_value() -> None:
    nasty = 'it said "no", \\ and\nmore=1 \u202e'
    line = harmless(summary(JobResult("repair", 76, "failed", nasty, 0, 1500, None, Tally())))
    assert line.startswith('repair outcome=failed exit=76 took=1.5s reason="')
    assert json.loads(line.partition("reason=")[2]) == nasty


@pytest.mark.parametrize(("arguments", "code", "priority"), [
    (["backfill"], 0, 5), (["backfill", "--max-requests", "1"], 3, 5), (["backfill", "-t", "4h"], 78, 3),
])  # fmt: skip
def test_the_journal_gets_priorities(folder: Folder, arguments: list[str], code: int, priority: int) -> None:
    # systemd names the device and inode of the stream that it connected, and a file has both as well.
    with (folder.path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        environment = folder.environ(JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}", BACKFILL_DAYS="3")
        ended = folder.start_into(journal, *arguments, environment=environment)
        journal.seek(0)
        lines = journal.read().splitlines()
    assert ended == code
    assert all(re.match(r"<[3-7]>", line) for line in lines)
    assert lines[-1].startswith(f"<{priority}>backfill outcome=")


@pytest.mark.parametrize(("arguments", "code", "meant"), [
    (["bakfill"], 2, "'backfill'"), (["status", "--symbl", "BTCUSD"], 2, "--symbol"),
    (["gaps", "--status", "opened"], 2, "open"), (["jobs", "--command", "detectgaps"], 2, "detect-gaps"),
    (["logs", "repare"], 2, "repair"),
    (["backfill", "-s", "AVAXUSD"], 78, "AVAX/USD"), (["backfill", "-s", "BTCUSX"], 78, "tBTCUSD"),
    (["backfill", "-t", "15M"], 78, "15m"), (["backfill", "--max-runtime", "10M"], 2, "10m"),
])  # fmt: skip
def test_a_near_miss_gets_the_right_word(folder: Folder, arguments: list[str], code: int, meant: str) -> None:
    ended = folder.run(*arguments)
    assert ended.exit == code
    assert meant in ended.err
    assert "Traceback" not in ended.err


def test_an_unknown_pair_is_no_pair_without_gaps(folder: Folder) -> None:
    folder.run("backfill", BACKFILL_DAYS="1")
    assert "no candles of tBTCUSX are stored; did you mean tBTCUSD?" in folder.run("gaps", "-s", "BTCUSX").err
    assert folder.run("gaps", "-s", "BTCUSD").err == ""


@pytest.mark.parametrize(("fault", "code", "advice"), [
    (Fault("spoil", parameters={"row": 7, "column": 2, "value": "x"}), 65, "rejected_rows"),
    (Fault("unsorted"), 76, "run this again later"),
])  # fmt: skip
def test_an_answer_that_was_not_stored_says_what_to_do(folder: Folder, fault: Fault, code: int, advice: str) -> None:
    folder.sandbox.faults = [fault]
    ended = folder.run("backfill", "--json", BACKFILL_DAYS="1")
    assert ended.exit == code
    assert advice in ended.json["reason"]
    assert advice in ended.err


EVERY_COMMAND = [
    ["backfill"], ["backfill", "--dry-run"], ["update"], ["detect-gaps"], ["repair"], ["repair", "--dry-run"],
    ["stream", "--for", "1s"], ["cleanup", "--yes"], ["cleanup", "--dry-run"], ["status"], ["status", "--check"],
    ["cleanup", "-s", "BTCUSD", "--all", "--yes"], ["gaps"], ["gaps", "--revisions"], ["jobs"], ["logs"], ["config"],
    ["symbols"], ["timers", "show"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", EVERY_COMMAND, ids=" ".join)
def test_every_command_fails_in_one_object(folder: Folder, arguments: list[str]) -> None:
    ended = folder.run(*arguments, "--json", DATABASE_PATH="relative/\x07.db")
    assert ended.exit == 78
    assert ended.out.count("\n") == 1
    assert set(ended.json) == {"mdata", "command", "outcome", "exit", "reason", "retryable"}
    command = arguments[0]
    assert (ended.json["mdata"], ended.json["command"], ended.json["exit"]) == (1, command, 78)
    assert (ended.json["outcome"], ended.json["retryable"]) == ("failed", False)
    assert "DATABASE_PATH" in ended.json["reason"]
    assert f"mdata: {ended.json['reason']}" in ended.err


def test_what_is_said_while_a_bar_moves_stands_above_it(folder: Folder) -> None:
    folder.sandbox.faults = [Fault("spoil", parameters={"row": 7, "column": 2, "value": "x"})]
    ended, shown = folder.show("backfill", TERM="xterm", BACKFILL_DAYS="20", RATE_LIMIT_DELAY="0.2", COLUMNS="200")
    assert ended == 65
    assert "requests, about" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n")
    (said, *_) = [line for line in plain.splitlines() if "a row was rejected" in line]
    assert said.startswith("mdata: "), "not glued to the end of the bar"


@pytest.mark.parametrize("command", ["jobs", "gaps"])
def test_lists_fit_a_terminal_of_eighty_columns(folder: Folder, command: str) -> None:
    lost_gap(folder)
    folder.run("repair", BACKFILL_DAYS="1")
    _, shown = folder.show(command, TERM="xterm", COLUMNS="80")
    assert "  backfill " in shown or "tBTCUSD 1m" in shown
    assert "the answer did not contain" in shown or "retry" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    class Closed:
        def write(self, _: str) -> None:
            raise BrokenPipeError

        def flush(self) -> None: ...

        def isatty(self) -> bool:
            return False

    StderrLog(Closed(), "DEBUG", priorities=False).error("x")  # type: ignore[arg-type]
