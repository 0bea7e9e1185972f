"""What a stream does to the ledger, beside other jobs, other limits, and clocks that are wrong."""

from pathlib import Path

import pytest
from conftest import Folder, stored, truth
from killing import assert_sound
from soaking import ORIGIN, soak
from streams import compare, fast

from mdata.clock import RehearsalClock, SystemClock
from mdata.domain.interval import Range
from mdata.domain.timeframe import MINUTE
from mdata.sandbox.faults import Fault
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox
from mdata.sandbox.stream import StreamRule
from mdata.store import coverage
from mdata.store.opening import open_store

__all__ = ["fast"]


def forget(folder: Folder, hole: Range) -> None:
    """Make a hole into the first series: neither candles nor coverage."""
    with open_store(folder.database) as store, store.write() as connection:
        coverage.cut(connection, 1, hole)
        connection.execute("DELETE FROM candles WHERE series_id = 1 AND open_time >= ? AND open_time < ?", hole)


def test_a_gap_within_the_snapshot_closes_with_it(fast: Folder) -> None:
    fast.run("backfill", SYMBOLS="BTCUSD")
    ((frontier,),) = fast.rows("SELECT frontier FROM series")
    forget(fast, Range(frontier - 50 * MINUTE, frontier - 20 * MINUTE))
    assert fast.run("detect-gaps", "--json", SYMBOLS="BTCUSD").json["gaps_opened"] == 1
    ended = fast.run("stream", "--for", "1m", "--json", SYMBOLS="BTCUSD")
    assert (ended.exit, ended.json["gaps_repaired"], ended.json["requests"]) == (0, 1, 0)
    assert fast.rows("SELECT status, intervals FROM data_gaps") == [("repaired", 30)]
    compare(fast)


def test_what_is_final_or_was_cleaned_away_stays_as_it_is(fast: Folder) -> None:
    fast.run("backfill", SYMBOLS="BTCUSD")
    ((frontier,),) = fast.rows("SELECT frontier FROM series")
    cleaned_to = frontier - 100 * MINUTE
    forget(fast, Range(0, cleaned_to))
    with open_store(fast.database) as store, store.write() as connection:
        connection.execute("UPDATE series SET cleaned_to = ?", (cleaned_to,))
        connection.execute("UPDATE candles SET close = open, volume = 1e-9 WHERE open_time < ?", (frontier,))
    before = fast.rows("SELECT * FROM candles WHERE open_time < ?", frontier)
    assert len(before) == 100
    assert fast.run("stream", "--for", "1m", SYMBOLS="BTCUSD").exit == 0
    assert fast.rows("SELECT * FROM candles WHERE open_time < ?", frontier) == before
    assert fast.rows("SELECT min(start_time) FROM coverage") == [(cleaned_to,)]


def test_a_new_series_waits_for_rest_and_loses_nothing(fast: Folder) -> None:
    """REST fails for a while: what the channel shows meanwhile is stored when the series is introduced at last."""
    fast.settings.update(SYMBOLS="BTCUSD", RATE_LIMIT_MAX_RETRIES="2")
    fast.sandbox.faults = [Fault("cloudflare", times=4)]
    ended = fast.run("stream", "--for", "4m", "--json")
    assert ended.exit == 0, ended.err
    assert "the stream continues" in ended.err
    assert len(stored(fast.database, "tBTCUSD", "1m")) >= 240
    compare(fast)


def test_rest_that_stays_away_is_told_at_the_end(fast: Folder) -> None:
    fast.settings.update(SYMBOLS="BTCUSD", RATE_LIMIT_MAX_RETRIES="2")
    fast.sandbox.faults = [Fault("cloudflare")]
    ended = fast.run("stream", "--for", "1m", "--json")
    assert (ended.exit, ended.json["retryable"]) == (69, True)
    assert "502" in ended.json["reason"]
    fast.sandbox.faults = []
    assert fast.run("stream", "--for", "1m").exit == 0
    assert len(stored(fast.database, "tBTCUSD", "1m")) >= 240
    compare(fast)


def test_more_series_than_a_connection_takes(tmp_path: Path) -> None:
    with soak(tmp_path, series=30, speed=20) as running:
        running.folder.settings["RATE_LIMIT_DELAY"] = "1.1"
        running.watch(running.start(50))
        running.finish()
        asked = [one for one in running.folder.sandbox.stream.log if one.what == "subscribe"]
        numbers = {one.connection for one in asked}
        assert len({one.key for one in asked}) == 30
        assert len(numbers) >= 2
        assert max(sum(one.connection == number for one in asked) for number in numbers) == 25


def test_a_limit_that_is_lower_than_it_says(tmp_path: Path) -> None:
    """The 20 channels that are accepted go on; the others are named."""
    origin = ORIGIN, SystemClock().boottime(), 30.0
    symbols = [f"t{chr(65 + n)}AAUSD" for n in range(22)]
    market = Market({symbol: Pair(symbol) for symbol in symbols})
    with Sandbox(market, RehearsalClock(*origin), stream_rule=StreamRule(channels=20)) as sandbox:
        folder = Folder(tmp_path, sandbox)
        folder.settings.update(
            MDATA_REHEARSAL=",".join(map(repr, origin)), SYMBOLS=",".join(symbols), BACKFILL_DAYS="0"
        )
        ended = folder.run("stream", "--for", "1m", "--json")
        assert ended.exit == 69
        assert ended.json["reason"].count("10305") == 2
        assert folder.rows("SELECT count(DISTINCT series_id) FROM candles") == [(20,)]


@pytest.mark.parametrize("seconds", [100, -100, 20])
def test_a_wrong_local_clock_stores_no_forming_candle_and_loses_none(fast: Folder, seconds: int) -> None:
    wall, boot, speed = fast.settings["MDATA_REHEARSAL"].split(",")
    ended = fast.run(
        "stream", "--for", "2m", "--json", MDATA_REHEARSAL=f"{int(wall) + seconds * 1000},{boot},{speed}"
    )
    assert ended.exit == 0
    assert ("check the time synchronisation" in ended.err) == (abs(seconds) > 30)
    assert_sound(fast)
    now = fast.sandbox.clock.now()
    for symbol in ("tBTCUSD", "tSPAUSD"):
        held = stored(fast.database, symbol, "1m")
        assert held == truth(fast.sandbox, symbol, "1m", held[0][0], held[-1][0] + MINUTE)
        assert held[-1][0] + MINUTE <= now
    assert now - stored(fast.database, "tBTCUSD", "1m")[-1][0] < 4 * MINUTE
