"""`cleanup --symbol X --all`: a series is forgotten whole, after asking, and nothing of another one."""

import re
from collections.abc import Callable

import pytest
from conftest import Folder

from mdata.clock import SystemClock
from mdata.locks import command_lock

FORGET = ("cleanup", "-s", "BTCUSD", "--all")


@pytest.fixture
def full(folder: Folder) -> Folder:
    """Store two pairs in two timeframes, with gaps, a lost candle and long silences."""
    folder.settings |= {"SYMBOLS": "BTCUSD,SPAUSD", "TIMEFRAMES": "1m,1h", "BACKFILL_DAYS": "20"}
    assert folder.run("backfill").exit == 0
    folder.rows("DELETE FROM candles WHERE open_time % 7200000 = 0")
    folder.run("detect-gaps")
    folder.rows("DELETE FROM candles WHERE open_time % 7200000 = 3600000")
    return folder


def held(folder: Folder, symbol: str) -> dict[str, int]:
    """Return how many rows of a pair each table holds that has series."""
    found = {}
    tables = [name for (name,) in folder.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        columns = {row[1] for row in folder.rows(f"PRAGMA table_info({table})")}
        if "series_id" in columns:
            sql = f"SELECT count(*) FROM {table} WHERE series_id IN (SELECT id FROM series WHERE symbol = ?)"
            found[table] = folder.rows(sql, symbol)[0][0]
    return found


def test_every_table_forgets_it_and_nothing_else(full: Folder) -> None:
    before, other = held(full, "tBTCUSD"), held(full, "tSPAUSD")
    assert before["candles"] > 10_000
    assert before["data_gaps"]
    assert before["lost_candles"]
    ended = full.run(*FORGET, "--yes", "--json")
    assert (ended.exit, ended.json["outcome"]) == (0, "ok"), ended.err
    assert ended.json["removed"]["candles"] == before["candles"]
    assert ended.json["removed"]["bytes"] > 0
    assert "still in the settings" in ended.json["reason"]
    assert full.rows("SELECT DISTINCT symbol FROM series") == [("tSPAUSD",)]
    for table in before:
        assert full.rows(f"SELECT count(*) FROM {table}") == [(other[table],)], table
    assert full.run(*FORGET, "--yes").exit == 0
    assert full.run("backfill").exit == 0
    (series,) = [one for one in full.run("status", "--json", "-t", "1m", "-s", "BTCUSD").json["series"]
                 if (one["symbol"], one["timeframe"]) == ("tBTCUSD", "1m")]  # fmt: skip
    assert (series["unknown"], series["complete"]) == (0, True)


def test_one_timeframe_of_it(full: Folder) -> None:
    ended = full.run(*FORGET, "-t", "1h", "--yes", "--json", SYMBOLS="SPAUSD")
    assert (ended.exit, ended.json["reason"]) == (0, None)
    assert full.rows("SELECT symbol, timeframe FROM series ORDER BY id") == [
        ("tBTCUSD", "1m"), ("tSPAUSD", "1m"), ("tSPAUSD", "1h"),
    ]  # fmt: skip


def test_a_dry_run_counts_and_leaves_everything(full: Folder) -> None:
    before = held(full, "tBTCUSD")
    ended = full.run(*FORGET, "--dry-run", "--json")
    assert ended.json["removed"]["candles"] == before["candles"]
    assert "fetches it again" in ended.err
    assert held(full, "tBTCUSD") == before


def test_without_a_terminal_it_wants_to_be_told_twice(full: Folder) -> None:
    before = held(full, "tBTCUSD")
    ended = full.run(*FORGET)
    assert ended.exit == 2
    assert "--yes" in ended.err
    assert held(full, "tBTCUSD") == before


@pytest.mark.parametrize(("answer", "code", "is_left"), [("y", 0, False), ("n", 2, True), ("\x04", 2, True)])
def test_a_person_is_asked(full: Folder, answer: str, code: int, *, is_left: bool) -> None:
    ended, shown = full.show(*FORGET, typed=f"{answer}\n", TERM="xterm")
    assert ended == code, shown
    assert "fetches it again" in shown
    assert re.search(r"Delete bitfinex:tBTCUSD 1m, bitfinex:tBTCUSD 1h with \d+ candles\? \[y/N\]", shown)
    assert "requests, about" not in shown, "a progress bar would hide the question"
    assert bool(held(full, "tBTCUSD")["candles"]) == is_left


def test_a_mistyped_pair_is_pointed_out_and_wrong_usage_refused(full: Folder) -> None:
    ended = full.run("cleanup", "-s", "BTCUSX", "--all", "--yes")
    assert ended.exit == 0
    assert "no candles of tBTCUSX are stored; did you mean tBTCUSD?" in ended.err
    for wrong in (["--all"], ["-s", "BTCUSD"], ["-t", "1m", "--all"], ["-s", "x", "--all"],
                  [*FORGET[1:], "--max-runtime", "1m"]):  # fmt: skip
        assert full.run("cleanup", *wrong, "--yes").exit == 2
    assert held(full, "tBTCUSD")["candles"]


@pytest.mark.parametrize("command", ["backfill", "stream", "verify"])
def test_it_waits_for_whoever_writes(full: Folder, command: str) -> None:
    with command_lock(full.database, command, 0, SystemClock()):
        ended = full.run(*FORGET, "--yes", "--json", "--wait-lock", "0")
    assert (ended.exit, ended.json["outcome"]) == (75, "skipped")
    assert f"another `mdata {command}`" in ended.json["reason"]
    assert held(full, "tBTCUSD")["candles"]


def test_a_kill_half_way_leaves_nothing_that_looks_whole(full: Folder, wait: Callable[..., None]) -> None:
    total = held(full, "tBTCUSD")["candles"]
    process = full.start(*FORGET, "--yes")
    wait(lambda: held(full, "tBTCUSD")["coverage"] == 0)
    process.kill()
    process.communicate()
    if held(full, "tBTCUSD")["candles"]:
        (series, *_) = full.run("status", "--json").json["series"]
        assert (series["final"], series["complete"]) == (0, False)
    assert full.run(*FORGET, "--yes").exit == 0
    assert held(full, "tBTCUSD") == dict.fromkeys(held(full, "tBTCUSD"), 0)
    assert total
