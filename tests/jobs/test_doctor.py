"""What is wrong is found, named by an id that stays, and put right where that is safe."""

import os
import random
import signal
from collections.abc import Callable
from typing import Any

import pytest
from conftest import UNPRIVILEGED, Folder

from mdata.clock import SystemClock
from mdata.ratelimit import RateLimit
from mdata.store.mending import TRIGGERS
from mdata.store.migrations import triggers
from mdata.store.opening import open_store
from mdata.store.sqlite import sqlite3

Wait = Callable[..., None]


@pytest.fixture
def full(folder: Folder) -> Folder:
    folder.settings.update(BACKFILL_DAYS="2", RATE_LIMIT_DELAY="2")
    assert folder.run("backfill", RATE_LIMIT_DELAY="0").exit == 0
    return folder


def examined(folder: Folder, *arguments: str, **settings: str) -> tuple[int, dict[str, dict[str, Any]]]:
    ended = folder.run("doctor", "--json", *arguments, **settings)
    assert "Traceback" not in ended.err, ended.err
    assert ended.exit in {0, 3}, ended.err
    found = {one["id"]: one for one in ended.json["findings"]}
    assert {one["state"] for one in found.values()} <= {"ok", "note", "problem"}
    problems = [name for name, one in found.items() if one["state"] == "problem"]
    assert ended.exit == (3 if problems else 0)
    assert all(found[name]["advice"] for name in problems)
    return ended.exit, found


def executed(folder: Folder, *statements: str) -> None:
    connection = sqlite3.connect(folder.database, isolation_level=None)
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


def test_a_sound_store_has_no_problem(full: Folder) -> None:
    before = full.database.read_bytes()
    code, found = examined(full, "--deep")
    assert code == 0
    states = {name: one["state"] for name, one in found.items()}
    assert set(states) == {
        "engine", "locks", "store.permissions", "store.identity", "store.log", "store.triggers",
        "store.journal_mode", "store.integrity", "disk.space", "rate.state", "clock.exchange", "units",
        "settings.env_file",
    }  # fmt: skip
    assert set(states.values()) == {"ok"}
    assert full.database.read_bytes() == before


def test_where_there_is_no_store_yet(folder: Folder) -> None:
    code, found = examined(folder, RATE_LIMIT_DELAY="2")
    assert (code, found["store"]["state"]) == (0, "note")
    assert not folder.database.exists()


def test_a_pipe_gets_lines_and_a_person_sentences(full: Folder) -> None:
    lines = full.run("doctor").out.splitlines()
    assert lines[0].split("\t") == ["state", "id", "text", "advice"]
    assert all(line.split("\t")[0] == "ok" for line in lines[1:])
    _, shown = full.show("doctor", TERM="xterm", RETENTION_DAYS="9")
    assert "settings.retention_days" in shown
    assert len(shown.splitlines()) <= 40


def test_missing_and_changed_triggers_are_found_and_put_back(full: Folder) -> None:
    executed(full, "DROP TRIGGER candle_moved")
    code, found = examined(full)
    assert (code, found["store.triggers"]["state"]) == (3, "problem")
    told = full.run("verify", "--dry-run").err
    assert "candle_moved is missing" in told
    assert examined(full, "--fix")[1]["store.triggers"]["state"] == "ok"
    executed(
        full,
        "DROP TRIGGER candle_deleted",
        "CREATE TRIGGER candle_deleted AFTER DELETE ON candles BEGIN SELECT 1; END",
    )
    assert examined(full)[1]["store.triggers"]["state"] == "problem"
    assert examined(full, "--fix")[0] == 0
    executed(full, "DELETE FROM candles WHERE open_time = (SELECT max(open_time) - 600000 FROM candles)")
    assert full.rows("SELECT count(*) FROM lost_candles") == [(1,)]


def test_every_trigger_of_the_schema_is_looked_for() -> None:
    assert set(triggers()) == TRIGGERS


def test_a_job_puts_back_triggers_and_says_so(full: Folder) -> None:
    executed(full, "DROP TRIGGER candle_moved", "DROP TRIGGER candle_deleted")
    ended = full.run("update")
    assert ended.exit == 0
    assert "candle_deleted and candle_moved were missing" in ended.err
    assert "mdata verify" in ended.err
    assert full.run("update").err.count("trigger") == 0


def test_a_job_puts_the_journal_mode_back_and_says_so(full: Folder) -> None:
    executed(full, "PRAGMA journal_mode = DELETE")
    assert examined(full)[1]["store.journal_mode"]["state"] == "problem"
    ended = full.run("update")
    assert ended.exit == 0
    assert "to delete; it is WAL again" in ended.err
    assert full.rows("PRAGMA journal_mode") == [("wal",)]


def test_a_journal_mode_that_cannot_be_put_back_now_stops_no_job(full: Folder) -> None:
    executed(full, "PRAGMA journal_mode = DELETE")
    reader = sqlite3.connect(full.database, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM candles").fetchone()
    told: list[str] = []
    with open_store(full.database, told.append):
        assert len(told) == 1
        assert "a program still has it open" in told[0]
    reader.execute("ROLLBACK")
    reader.close()


def test_a_store_without_its_row_of_identity_gets_a_new_one(full: Folder) -> None:
    (before,) = full.rows("SELECT id FROM store")
    executed(full, "DELETE FROM store")
    assert examined(full)[1]["store.identity"]["state"] == "problem"
    assert examined(full, "--fix")[0] == 0
    (after,) = full.rows("SELECT id FROM store")
    assert after != before
    assert full.run("update").exit == 0


def test_a_stopped_holder_is_named(full: Folder, wait: Wait) -> None:
    process = full.start("backfill", BACKFILL_DAYS="400", RATE_LIMIT_DELAY="5")
    wait(lambda: "locks.backfill" in examined(full)[1], 60)
    process.send_signal(signal.SIGSTOP)
    wait(lambda: examined(full)[1]["locks.backfill"]["state"] == "problem", 60)
    finding = examined(full)[1]["locks.backfill"]
    assert str(process.pid) in finding["text"]
    assert f"kill -CONT {process.pid}" in finding["advice"]
    process.kill()
    process.communicate()


def test_damage_and_disagreement_are_found_by_deep_alone(full: Folder) -> None:
    full.rows("INSERT INTO candles SELECT series_id, open_time + 1, 1, 1, 1, 1, 1 FROM candles LIMIT 1")
    assert examined(full)[0] == 0
    assert examined(full, "--deep")[1]["store.integrity"]["state"] == "problem"
    held = bytearray(full.database.read_bytes())
    held[8 * 4096 : 12 * 4096] = os.urandom(4 * 4096)
    full.database.write_bytes(held)
    assert examined(full, "--deep")[1]["store"]["state"] == "problem"


def test_strangers_and_second_names_are_found(full: Folder) -> None:
    os.link(full.database, full.path / "other.db")
    assert examined(full)[1]["store.names"]["state"] == "problem"
    (full.path / "other.db").unlink()
    full.database.write_bytes(b"no database" * 1000)
    finding = examined(full)[1]["store"]
    assert (finding["state"], "not an SQLite database" in finding["text"]) == ("problem", True)


def test_what_is_asked_of_the_exchange(full: Folder) -> None:
    finding = examined(full, BITFINEX_REST_URL="http://127.0.0.1:9/v2")[1]["clock.exchange"]
    assert finding["state"] == "problem"
    before = len(full.sandbox.requests)
    examined(full)
    assert len(full.sandbox.requests) == before + 1


def test_risky_settings_and_the_env_file_in_force_are_notes(full: Folder) -> None:
    (full.path / ".env").write_text("RETENTION_DAYS=1\n")
    code, found = examined(full, SETTLE_SECONDS="5")
    assert code == 0
    notes = {name for name, one in found.items() if one["state"] == "note"}
    assert notes == {"settings.env_file", "settings.settle_seconds", "settings.retention_days"}


@pytest.mark.skipif(not UNPRIVILEGED, reason="needs root to set it up")
def test_a_store_that_may_not_be_written_is_a_problem(full: Folder) -> None:
    full.database.chmod(0o444)
    full.before = list(UNPRIVILEGED)
    assert examined(full)[1]["store.permissions"]["state"] == "problem"
    full.before = []
    full.database.chmod(0o666)
    assert examined(full)[1]["store.permissions"]["text"].startswith("everybody can write")


def test_nothing_is_sent_while_the_budget_is_blocked(full: Folder) -> None:
    state = full.path / "rate-limit.json"
    RateLimit(state, 2.0, 60.0, SystemClock(), random.Random(1).uniform).refused(600.0)
    before = len(full.sandbox.requests)
    code, found = examined(full)
    assert code == 0
    assert (found["rate.state"]["state"], found["clock.exchange"]["state"]) == ("note", "note")
    assert len(full.sandbox.requests) == before


def test_a_clock_that_is_behind_what_is_stored_is_a_problem(full: Folder) -> None:
    executed(full, "UPDATE coverage SET end_time = end_time + 30 * 86400000")
    assert examined(full)[1]["clock.store"]["state"] == "problem"


@pytest.mark.parametrize("what", ["a folder", "a pipe"])
def test_a_rate_state_that_is_no_file_is_a_problem(full: Folder, what: str) -> None:
    state = full.path / "other.json"
    (os.mkdir if what == "a folder" else os.mkfifo)(state)
    found = examined(full, RATE_LIMIT_STATE_PATH=str(state))[1]
    assert (found["rate.state"]["state"], found["clock.exchange"]["state"]) == ("problem", "note")
