"""`status`: its counts against a count by hand, its JSON, and stores that are hard to read."""

import grp
import json
import os
import sqlite3 as standard
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import DAY, NOW, Folder, SetClock
from covered_series import M1, SETTLE, cover, covered_to, new_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdata import extras, lookups
from mdata.config import Settings, load
from mdata.domain.interval import Range, normal
from mdata.domain.timeframe import HOUR, MINUTE, TIMEFRAMES
from mdata.jobs.status import collect
from mdata.running.context import Context
from mdata.store import candles, silences, summary
from mdata.store.engine import Store
from mdata.store.opening import open_store
from mdata.store.sqlite import has_wal_reset_bug, sqlite3


class UndoError(Exception):
    """Takes back what an example has written."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("status") / "mdata.db") as opened:
        yield opened


# What may be the case with an interval: its coverage, and what has happened to its candle.
CASES = {
    "present": ("final", "stored"), "empty": ("final", "none"), "lost": ("final", "deleted"),
    "restored": ("final", "restored"), "early": ("provisional", "stored"), "early empty": ("provisional", "none"),
    "early lost": ("provisional", "deleted"), "early restored": ("provisional", "restored"),
    "unknown": (None, "none"),
}  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    timeframe=st.sampled_from(["1m", "1D", "1W", "1M"]), cases=st.lists(st.sampled_from(list(CASES)), max_size=60),
    before=st.integers(-3, 10), after=st.integers(-3, 10),
)  # fmt: skip
def test_counts_are_those_of_a_count_by_hand(
    store: Store, timeframe: str, cases: list[str], before: int, after: int
) -> None:
    grid = TIMEFRAMES[timeframe]
    start = grid.shift(NOW, -100)
    times = [grid.shift(start, place) for place in range(len(cases))]
    wanted = Range(grid.shift(start, before), max(grid.shift(start, before), grid.shift(start, len(cases) - after)))
    with suppress(UndoError), store.write() as connection:
        series = new_series(connection, "tBTCUSD", timeframe)
        for kind in ("final", "provisional"):
            mine = [time for time, case in zip(times, cases, strict=True) if CASES[case][0] == kind]
            for part in normal(Range(time, grid.next(time)) for time in mine):
                had = [
                    time for time, case in zip(times, cases, strict=True)
                    if part.start <= time < part.end and CASES[case][1] != "none"
                ]  # fmt: skip
                cover(connection, series, part, kind, had)
        gone = [time for time, case in zip(times, cases, strict=True) if CASES[case][1] in {"deleted", "restored"}]
        candles.delete(connection, series.id, gone)
        back = [time for time, case in zip(times, cases, strict=True) if CASES[case][1] == "restored"]
        candles.upsert(connection, series.id, [(time, 2.0, 3.0, 1.0, 2.0, 5.0) for time in back])
        counts, known, _ = summary.look(connection, series, wanted, silent=True)
        raise UndoError
    inside = [case for time, case in zip(times, cases, strict=True) if wanted.start <= time < wanted.end]
    outside = grid.count(*wanted) - len(inside)

    def count(*names: str) -> int:
        return sum(case in names for case in inside)

    assert counts.present == count("present", "restored")
    assert counts.empty == count("empty")
    assert counts.final == counts.present + counts.empty
    assert counts.provisional == count("early", "early empty", "early restored")
    assert counts.lost == count("lost", "early lost")
    assert counts.unknown == outside + count("unknown", "lost", "early lost")
    assert counts.candles == sum(CASES[case][1] in {"stored", "restored"} for case in cases)
    assert known.lost == [time for time, case in zip(times, cases, strict=True) if CASES[case][1] == "deleted"]


def test_only_silences_that_can_fill_a_cell_are_read(store: Store) -> None:
    with suppress(UndoError), store.write() as connection:
        series = new_series(connection, "tBTCUSD", wanted_start=NOW - 300 * DAY)
        year = Range(M1.floor(NOW - 300 * DAY), M1.floor(NOW))
        times = [year.start, year.start + 2 * HOUR, year.start + 4 * HOUR, year.start + 100 * HOUR, year.end - MINUTE]
        cover(connection, series, year, "final", times)
        silences.remember(connection, series, year, times, NOW)
        _, known, _ = summary.look(connection, series, year, silent=True)
        _, without, _ = summary.look(connection, series, year)
        raise UndoError
    assert known.silent == [Range(times[2] + MINUTE, times[3]), Range(times[3] + MINUTE, times[4])]
    assert without.silent == []


# --- JSON and tab-separated values ---

SERIES = {"exchange", "symbol", "timeframe", "first", "last", "candles", "wanted_start", "wanted_end", "final",
          "present", "provisional", "empty", "unknown", "lost", "gaps_open", "lag_seconds", "complete",
          "retired", "doubted", "unobtainable", "backlog", "silent_since", "compared_since"}  # fmt: skip
SHAPE = {
    "series", "absent", "absent_series", "notes", "gaps", "jobs", "rate_limit", "database", "warnings",
    "mdata", "command", "outcome", "exit", "reason", "retryable",
}  # fmt: skip


def test_the_shape_of_the_json(folder: Folder) -> None:
    empty = folder.run("status", "--json").json
    assert set(empty) == SHAPE
    assert (empty["series"], empty["absent"], empty["jobs"]) == ([], ["tBTCUSD 1m"], {})
    assert (empty["database"]["bytes"], empty["database"]["schema_version"]) == (0, 0)
    folder.run("backfill", BACKFILL_DAYS="2", SYMBOLS="BTCUSD,SPAUSD")
    folder.rows(
        "DELETE FROM candles WHERE open_time = (SELECT max(open_time) - 3600000 FROM candles) AND series_id = 1"
    )
    folder.run("detect-gaps")
    full = folder.run("status", "--json", SYMBOLS="BTCUSD").json
    assert set(full) == SHAPE
    bitcoin, sparse = full["series"]
    assert set(bitcoin) == set(sparse) == SERIES
    assert (bitcoin["retired"], sparse["retired"]) == (False, True)
    assert bitcoin["final"] == bitcoin["present"] + bitcoin["empty"]
    assert (bitcoin["unknown"], bitcoin["lost"], bitcoin["gaps_open"], bitcoin["complete"]) == (1, 1, 1, False)
    assert full["gaps"]["open"] == 1
    assert set(full["gaps"]) == {"open", "repaired", "empty", "failed", "oldest_detected_at", "next_attempt_at"}
    assert set(full["jobs"]) == {"backfill", "detect-gaps"}
    for job in full["jobs"].values():
        assert set(job) == {
            "last_started_at", "last_outcome", "last_success_at", "last_exit", "is_running", "next_run_at",
        }  # fmt: skip
        assert (job["last_outcome"], job["last_exit"], job["is_running"], job["next_run_at"]) == (
            "ok",
            0,
            False,
            None,
        )
    assert set(full["rate_limit"]) == {
        "delay_seconds", "burst", "free_now", "next_request_at", "blocked_until", "calm_until", "refusals", "waiting",
    }  # fmt: skip
    assert set(full["database"]) == {"path", "bytes", "wal_bytes", "schema_version", "sqlite_version"}


def test_options_narrow_what_is_shown(folder: Folder) -> None:
    folder.run("backfill", BACKFILL_DAYS="1", SYMBOLS="BTCUSD,SPAUSD", TIMEFRAMES="1h,1D")
    shown = folder.run("status", "--json", "-s", "SPAUSD", TIMEFRAMES="1h,1D").json["series"]
    assert [(one["symbol"], one["timeframe"], one["retired"]) for one in shown] == [
        ("tSPAUSD", "1h", False), ("tSPAUSD", "1D", False),
    ]  # fmt: skip
    shown = folder.run("status", "--json", "-t", "1D", SYMBOLS="BTCUSD,SPAUSD").json["series"]
    assert [(one["symbol"], one["timeframe"]) for one in shown] == [("tBTCUSD", "1D"), ("tSPAUSD", "1D")]


def test_a_pipe_gets_tab_separated_values(folder: Folder) -> None:
    folder.run("backfill", BACKFILL_DAYS="1")
    ended = folder.run("status", SYMBOLS="BTCUSD,ETHUSD")
    heading, row = (line.split("\t") for line in ended.out.splitlines())
    found = dict(zip(heading, row, strict=True))
    assert (found["symbol"], found["timeframe"], found["unknown"], found["state"]) == (
        "tBTCUSD",
        "1m",
        "0",
        "complete",
    )
    assert "\x1b" not in ended.out + ended.err
    assert "no candles of bitfinex:tETHUSD 1m are stored yet: run `mdata backfill`" in ended.err


def test_a_run_that_was_killed_is_told_as_interrupted_and_one_at_work_as_running(folder: Folder) -> None:
    folder.run("backfill", BACKFILL_DAYS="1")
    folder.rows("UPDATE ingestion_jobs SET outcome = 'running', finished_at = NULL, exit = NULL")
    assert folder.run("status", "--json").json["jobs"]["backfill"]["last_outcome"] == "interrupted"
    code = (
        "import sys\nfrom pathlib import Path\nfrom mdata.clock import SystemClock\n"
        "from mdata.locks import command_lock\n"
        f"with command_lock(Path({str(folder.database)!r}), 'backfill', 5, SystemClock()):\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        job = folder.run("status", "--json").json["jobs"]["backfill"]
        process.stdin.close()
    assert (job["last_outcome"], job["is_running"]) == ("running", True)


# --- stores that are hard to read ---


def test_hostile_text_in_the_store_is_harmless(folder: Folder) -> None:
    folder.run("backfill", BACKFILL_DAYS="1")
    folder.rows("UPDATE series SET symbol = ?", "t\x1b[31m[bold]X\n\t\u202eUSD")
    for arguments in (["status"], ["status", "--check"], ["status", "--json"]):
        ended = folder.run(*arguments)
        assert ended.exit in {0, 3}
        assert "Traceback" not in ended.err
        assert not set("\x1b\u202e") & set(ended.out + ended.err)
    assert len(folder.run("status").out.splitlines()) == 2


def test_a_timeframe_that_this_mdata_does_not_know(folder: Folder) -> None:
    folder.run("backfill", BACKFILL_DAYS="1")
    folder.rows("UPDATE series SET timeframe = '2m\x1b'")
    ended = folder.run("status")
    assert ended.exit == 74
    assert "'2m\\x1b'" in ended.err
    assert "Traceback" not in ended.err


def test_a_database_that_another_program_holds(folder: Folder) -> None:
    folder.run("backfill", BACKFILL_DAYS="1")
    connection = sqlite3.connect(folder.database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM ingestion_jobs")
    assert folder.run("status", "--json").json["jobs"]["backfill"]["last_outcome"] == "ok"
    connection.execute("ROLLBACK")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM ingestion_jobs")
    ended = folder.run("status", "--json")
    connection.execute("ROLLBACK")
    connection.close()
    assert (ended.exit, ended.json["retryable"]) == (75, True)
    assert f"another program has locked {folder.database}" in ended.json["reason"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_is_told_which_group_is_missing(folder: Folder) -> None:
    folder.run("backfill", BACKFILL_DAYS="1")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="mdata-shared-") as name:
        shared = Path(name)
        for source in folder.path.glob("mdata.db*"):
            (shared / source.name).write_bytes(source.read_bytes())
            (shared / source.name).chmod(0o660)  # as mdata makes it there
        adm = grp.getgrnam("adm").gr_gid
        os.chown(shared, 0, adm)
        shared.chmod(0o2775)
        said = as_nobody(lambda: lookups.find_status(settings_of(shared / "mdata.db"), SetClock()))
    assert "NotPermittedError" in said
    assert "it belongs to the group adm: ask for `usermod -aG adm USER`" in said


def settings_of(database: Path) -> Settings:
    return load(overrides={"DATABASE_PATH": str(database)}, environ={"HOME": "/nowhere"}).settings


def as_nobody(act: Callable[[], object]) -> str:
    """Return what `act` gives or raises in a process of the user nobody, without any group."""
    reader, writer = os.pipe()
    # A fork, because nobody may not even be allowed to start this Python.
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            said = repr(act())
        except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to see it
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def test_two_hundred_series_are_read_in_one_look(context: Callable[..., Context], clock: SetClock) -> None:
    symbols = [f"tAA{chr(65 + n // 26)}{chr(65 + n % 26)}SD" for n in range(200)]
    made = context(SYMBOLS=",".join(symbols))
    with made.store.write() as connection:
        for symbol in symbols:
            covered_to(connection, symbol, NOW - SETTLE)
    statements: list[str] = []
    made.store.connection.set_trace_callback(statements.append)
    assert len(collect(made.settings, made.store, clock.now(), silent=True).series) == 200
    # A handful for each, whatever it holds.
    assert len(statements) <= 200 * 8 + 20


def test_secrets_are_not_in_the_status(folder: Folder) -> None:
    loaded = load(overrides={"PING_URL": "https://example.org/secret"}, environ={"HOME": "/nowhere"})
    assert "secret" not in repr(collect(loaded.settings, None, NOW))
    ended = folder.run("status", "--json", "-v", PING_URL="https://example.org/secret")
    assert "example.org" not in ended.out + ended.err


def test_an_engine_that_can_lose_pages_is_warned_about(folder: Folder) -> None:
    code = (
        "import sys\nsys.modules['pysqlite3'] = None\nsys.argv = ['mdata', 'status', '--json']\n"
        "from mdata.cli.main import run\nrun()\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env=folder.environ(),
        cwd=folder.path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(finished.stdout)
    version = found["database"]["sqlite_version"]
    assert version == standard.sqlite_version
    warned = [one for one in found["warnings"] if one.startswith(f"SQLite {version} can lose pages")]
    assert len(warned) == has_wal_reset_bug(version)
    assert all(extras.install(extras.SQLITE) in one for one in warned)
