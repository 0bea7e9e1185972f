"""What is said of the ledger as it is now: healthy and complete are never said of what is missing."""

from pathlib import Path

import pytest
from adversary import MakeLife, exchange, life
from conftest import DAY, NOW, SetClock, stored
from tampering import tamper

from mdata.domain.timeframe import HOUR, MINUTE
from mdata.store.sqlite import sqlite3

__all__ = ["exchange", "life"]

TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name"


def drop_triggers(path: Path) -> list[str]:
    """Drop all triggers, as some tools do; return their names."""
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute(TRIGGERS)]
    for name in names:
        connection.execute(f"DROP TRIGGER {name}")
    connection.commit()
    connection.close()
    return names


@pytest.mark.parametrize("count", [1, 1488])
def test_lost_candles_are_neither_healthy_nor_complete_at_once(life: MakeLife, count: int) -> None:
    given = life("tBTCUSD", "3")
    given.do("backfill")
    given.delete("tBTCUSD", 500, count)
    said = given.says()
    assert not said.healthy
    assert not said.complete
    assert said.export == 3
    given.do("detect-gaps")
    assert not given.says().healthy
    given.do("repair")
    said = given.says()
    assert (said.healthy, said.complete, said.export) == (True, True, 0)


def test_unknown_intervals_inside_the_hull_are_not_healthy(life: MakeLife, clock: SetClock) -> None:
    given = life("tBTCUSD", "3")
    time = NOW // MINUTE * MINUTE - DAY
    given.order({"kind": "spoil", "at": time, "column": 3, "value": 0})
    assert given.do("backfill").exit == 65
    said = given.says()
    assert not said.healthy
    assert not said.complete
    assert said.export == 3
    given.do("detect-gaps")
    assert given.do("status", "--check", "--max-gaps", "1").exit == 0, "one gap is tolerated"
    clock.advance(HOUR)
    given.order()
    given.do("backfill")
    given.do("detect-gaps")
    given.do("repair")
    assert given.says().healthy


def test_a_gap_is_tolerated_with_all_that_is_unknown_in_it(life: MakeLife) -> None:
    given = life("tBTCUSD", "3")
    given.do("backfill")
    given.delete("tBTCUSD", 500, 300)
    given.do("detect-gaps")
    assert given.do("status", "--check").exit == 3
    assert given.do("status", "--check", "--max-gaps", "1").exit == 0
    given.delete("tBTCUSD", 900, 3)
    assert given.do("status", "--check", "--max-gaps", "1").exit == 3
    given.do("detect-gaps")
    assert given.do("status", "--check", "--max-gaps", "2").exit == 0


@pytest.mark.parametrize("how", ["DELETE FROM candles", "UPDATE candles SET high = low / 2"])
def test_what_verify_withdraws_is_not_healthy(life: MakeLife, how: str) -> None:
    given = life("tBTCUSD", "3")
    given.do("backfill")
    time = stored(given.database, "tBTCUSD", "1m")[1000][0]
    tamper(given.database, f"{how} WHERE open_time = {time}")
    assert given.do("verify").exit == 3
    said = given.says()
    assert not said.healthy
    assert not said.complete
    assert said.export == 3
    for _ in range(3):
        given.clock.advance(HOUR)
        given.round()
    given.assert_right()
    assert given.says().healthy


@pytest.mark.parametrize("how", ["UPDATE candles SET high = low / 2", "UPDATE candles SET open_time = open_time + 1"])
def test_triggers_that_some_tool_dropped_are_told_of_and_restored(life: MakeLife, how: str) -> None:
    given = life("tBTCUSD", "3")
    given.do("backfill")
    time = stored(given.database, "tBTCUSD", "1m")[1000][0]
    names = drop_triggers(given.database)
    given.sql(f"{how} WHERE open_time = ?", time)
    checked = given.do("verify")
    assert checked.exit == 3
    assert "trigger" in checked.err + checked.out
    assert [name for (name,) in given.sql(TRIGGERS)] == names
    said = given.says()
    assert (said.healthy, said.complete, said.export) == (False, False, 3)
    given.do("detect-gaps")
    listed = given.do("gaps", "--status", "open", "--json").json["gaps"]
    # What was moved leaves no sign of where it belonged: all of the range is asked for again then, as a backlog.
    assert bool(listed) is ("high" in how)
    for _ in range(3):
        given.clock.advance(HOUR)
        given.round()
    given.assert_right()
    assert given.do("verify").exit == 0


def test_missing_triggers_alone_are_told_of_and_restored(life: MakeLife) -> None:
    given = life("tBTCUSD", "1")
    given.do("backfill")
    names = drop_triggers(given.database)
    checked = given.do("verify")
    assert "trigger" in checked.err + checked.out
    assert [name for (name,) in given.sql(TRIGGERS)] == names
    given.delete("tBTCUSD", 100, 1)
    assert not given.says().complete


@pytest.mark.parametrize("command", ["detect-gaps", "update", "verify"])
def test_what_was_deleted_while_triggers_were_missing_is_unknown_from_the_next_job_on(
    life: MakeLife, command: str
) -> None:
    given = life("tBTCUSD", "3")
    given.do("backfill")
    names = drop_triggers(given.database)
    given.delete("tBTCUSD", 1000, 60)
    assert "triggers" in " ".join(given.do("status", "--json").json["warnings"])
    given.do(command)
    assert [name for (name,) in given.sql(TRIGGERS)] == names
    said = given.says()
    assert (said.healthy, said.complete, said.export) == (False, False, 3)
    given.assert_heals(within=2)
    assert given.do("verify").exit == 0


def test_a_backlog_is_healthy_and_told_of_and_not_complete(life: MakeLife) -> None:
    given = life("tBTCUSD", "40")
    given.do("backfill", "--max-requests", "3")
    checked = given.do("status", "--check")
    assert checked.exit == 0, checked.out
    assert "healthy" in checked.out
    assert "backfill" in checked.out
    assert "%" in checked.out
    assert given.do("status", "--complete").exit == 3
    assert given.do("status", "--check", "--complete").exit == 3
    given.do("backfill")
    assert given.do("status", "--complete").exit == 0


def test_the_ids_of_gaps_survive_a_repair_that_brings_nothing(life: MakeLife) -> None:
    given = life("tBTCUSD", "2")
    given.do("backfill")
    for number in range(30):
        given.delete("tBTCUSD", 50 + 20 * number, 2)
    given.do("detect-gaps")
    before = [(one["id"], one["start"]) for one in given.do("gaps", "--status", "open", "--json").json["gaps"]]
    given.order({"kind": "empty"})
    given.do("repair")
    given.do("detect-gaps")
    after = [(one["id"], one["start"]) for one in given.do("gaps", "--status", "open", "--json").json["gaps"]]
    assert after == before
    assert len(before) == 30


def test_a_clock_that_is_days_ahead_makes_cleanup_delete_nothing_of_worth(life: MakeLife, clock: SetClock) -> None:
    given = life("tBTCUSD", "30", TIMEFRAMES="1m,1D,1W,1M", RETENTION_DAYS_BY_TIMEFRAME="1m=7")
    given.do("backfill")
    held = stored(given.database, "tBTCUSD", "1m")
    keeps = [row for row in held if row[0] >= NOW // DAY * DAY - 7 * DAY]
    clock.wall += 10 * DAY
    assert given.do("cleanup", "--yes").exit == 0
    assert stored(given.database, "tBTCUSD", "1m") == keeps
    clock.wall -= 10 * DAY
    given.round()
    given.do("cleanup", "--yes")
    given.assert_right()
    assert len(stored(given.database, "tBTCUSD", "1m")) >= len(keeps)


def test_a_number_of_a_series_is_never_given_again(life: MakeLife) -> None:
    given = life("tBTCUSD,tSPAUSD", "1")
    given.do("backfill")
    ((number,),) = given.sql("SELECT id FROM series WHERE symbol = 'tSPAUSD'")
    orphans = len(stored(given.database, "tSPAUSD", "1m"))
    connection = sqlite3.connect(given.database)
    connection.execute("DELETE FROM series WHERE symbol = 'tSPAUSD'")
    connection.commit()
    connection.close()
    checked = given.do("verify")
    assert f"{orphans} candles" in checked.out + checked.err, "the orphans are named"
    given.do("backfill", SYMBOLS="BTCUSD,ETHUSD")
    ((other,),) = given.sql("SELECT id FROM series WHERE symbol = 'tETHUSD'")
    assert other > number
    assert given.wrong("tETHUSD") == ((), (), ())


def test_a_forgotten_series_number_is_not_given_again_either(life: MakeLife) -> None:
    given = life("tBTCUSD,tSPAUSD", "1")
    given.do("backfill")
    ((number,),) = given.sql("SELECT max(id) FROM series")
    assert given.do("cleanup", "--all", "-s", "SPAUSD", "--yes").exit == 0
    given.do("backfill", SYMBOLS="BTCUSD,ETHUSD")
    ((other,),) = given.sql("SELECT id FROM series WHERE symbol = 'tETHUSD'")
    assert other > number
