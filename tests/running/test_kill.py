"""A process killed at any instant leaves a sound store, and the next run finishes it."""

import random
import signal
import time
from collections.abc import Callable

import pytest
from conftest import DAY, Folder, stored, truth
from killing import assert_sound, bring_back, has_tables, kept_of, killed_at, needs_strace, prepared

KILLS = 50


def test_killed_at_random_instants(folder: Folder, record_property: Callable[[str, object], None]) -> None:
    rng = random.Random(7)
    folder.settings["BACKFILL_DAYS"] = "90"
    kills = 0
    while kills < KILLS:
        process = folder.start("backfill", "--max-requests", "1")
        time.sleep(rng.uniform(0.05, 0.45))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        if has_tables(folder):
            assert_sound(folder)
    while (ended := folder.run("backfill", "--json")).exit == 3:
        pass
    assert ended.exit == 0, ended.err
    assert_sound(folder)
    held = stored(folder.database, "tBTCUSD", "1m")
    now = folder.sandbox.clock.now()
    expected = truth(folder.sandbox, "tBTCUSD", "1m", held[0][0], now)
    assert held == expected[: len(held)]
    assert len(expected) - len(held) <= 2
    pages = -(-len(held) // 10_000)
    assert len(folder.sandbox.requests) <= pages + kills + 6
    dead = folder.rows("SELECT count(*) FROM ingestion_jobs WHERE outcome = 'running'")
    assert dead == [(0,)]
    record_property("kills", kills)


CHUNKS = 4  # of every four writes each takes one, so that several processors share the work


@needs_strace
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_killed_at_every_write_from_nothing_to_a_small_store(
    folder: Folder, chunk: int, record_property: Callable[[str, object], None]
) -> None:
    folder.settings.update(BACKFILL_DAYS="3", TIMEFRAMES="1D")
    write = 1 + chunk
    while killed_at(folder, write, "backfill"):
        if has_tables(folder):
            assert_sound(folder)
        before = len(folder.sandbox.requests)
        ended = folder.run("backfill")
        assert ended.exit == 0, (write, ended.err)
        assert_sound(folder)
        assert len(folder.sandbox.requests) - before <= 2
        now = folder.sandbox.clock.now()
        assert stored(folder.database, "tBTCUSD", "1D") == truth(
            folder.sandbox, "tBTCUSD", "1D", now - now % DAY - 3 * DAY, now - now % DAY
        )
        outcomes = [outcome for (outcome,) in folder.rows("SELECT outcome FROM ingestion_jobs ORDER BY id")]
        assert outcomes in (["ok"], ["interrupted", "ok"], ["ok", "ok"]), write
        for path in folder.path.glob("mdata.db*"):
            path.unlink()
        write += CHUNKS
    record_property("kills", (write - 1 - chunk) // CHUNKS)
    assert write > 80, "a backfill from nothing has more writes than that"


@needs_strace
def test_repair_killed_at_every_third_write(folder: Folder, record_property: Callable[[str, object], None]) -> None:
    held, write = prepared(folder), 1
    while killed_at(folder, write, "repair"):
        assert_sound(folder)
        ended = folder.run("repair", "--json")
        assert ended.exit == 0, (write, ended.err)
        assert_sound(folder)
        assert stored(folder.database, "tBTCUSD", "1D") == held
        assert folder.rows("SELECT status FROM data_gaps") == [("repaired",)] * 2, write
        bring_back(folder)
        write += 3
    record_property("kills", write // 3)
    assert write > 15


@needs_strace
def test_cleanup_killed_at_every_second_write(folder: Folder, record_property: Callable[[str, object], None]) -> None:
    held, write = prepared(folder), 1
    now = folder.sandbox.clock.now()
    cut = now - now % DAY - 20 * DAY
    folder.settings["RETENTION_DAYS"] = "20"
    while killed_at(folder, write, "cleanup", "--yes"):
        # The ledger forgets first: what is left of the candles is then unknown, and the next run deletes it.
        assert folder.rows("PRAGMA integrity_check") == [("ok",)]
        assert [row for row in stored(folder.database, "tBTCUSD", "1D") if row[0] >= cut] == kept_of(held, cut)
        ended = folder.run("cleanup", "--yes")
        assert ended.exit == 0, (write, ended.err)
        assert_sound(folder)
        assert stored(folder.database, "tBTCUSD", "1D") == kept_of(held, cut)
        assert folder.rows("SELECT count(*) FROM data_gaps WHERE start_time < ?", cut) == [(0,)]
        bring_back(folder)
        write += 2
    record_property("kills", write // 2)
    assert write > 10


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_run_with_a_sentence(
    folder: Folder, number: int, code: int, wait: Callable[..., None]
) -> None:
    folder.settings.update(BACKFILL_DAYS="90", RATE_LIMIT_DELAY="0.3")
    process = folder.start("backfill", "--json")
    wait(lambda: len(folder.sandbox.requests) >= 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert "run `mdata backfill` again" in err
    assert f'"exit": {code}' in out
    assert "Traceback" not in err
    assert_sound(folder)
    assert folder.rows("SELECT outcome, exit FROM ingestion_jobs") == [("interrupted", code)]


def test_two_runs_of_one_command_do_not_overlap(folder: Folder, wait: Callable[..., None]) -> None:
    folder.settings.update(BACKFILL_DAYS="60", RATE_LIMIT_DELAY="0.2")
    first = folder.start("backfill")
    wait(lambda: len(folder.sandbox.requests) >= 1)
    second = folder.run("backfill", "--json", "--wait-lock", "0s")
    assert (second.exit, second.json["outcome"], second.json["retryable"]) == (75, "skipped", True)
    assert str(first.pid) in second.json["reason"]
    third = folder.run("backfill", "--json", "--wait-lock", "30s")
    assert third.exit == 0
    assert third.json["requests"] <= 1
    first.communicate()
    assert first.returncode == 0
    assert len(folder.rows("SELECT id FROM ingestion_jobs")) == 2


def test_cleanup_beside_a_running_backfill(folder: Folder, wait: Callable[..., None]) -> None:
    folder.settings.update(BACKFILL_DAYS="90", RETENTION_DAYS="0")
    assert folder.run("backfill").exit == 0
    running = folder.start("backfill", BACKFILL_DAYS="200", RATE_LIMIT_DELAY="0.2")
    requests = len(folder.sandbox.requests)
    wait(lambda: len(folder.sandbox.requests) > requests + 1)
    cleaned = [folder.run("cleanup", "--yes", RETENTION_DAYS=days) for days in ("120", "60", "30")]
    running.communicate(timeout=60)
    assert running.returncode == 0
    assert [ended.exit for ended in cleaned] == [0, 0, 0]
    assert_sound(folder)
    now = folder.sandbox.clock.now()
    held = stored(folder.database, "tBTCUSD", "1m")
    # What cleanup removed is not brought back by a run that had asked for it before.
    assert held[0][0] == now - now % DAY - 30 * DAY
    assert len(held) >= 30 * 1440
