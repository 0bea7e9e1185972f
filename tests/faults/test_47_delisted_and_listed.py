"""Pairs end, begin and are renamed: no gap after the end, none before the beginning, and nobody asks for ever."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from adversary import MakeLife, exchange, life
from conftest import DAY, MDATA, NOW, Folder, SetClock, stored

from mdata.domain.timeframe import HOUR, MINUTE
from mdata.sandbox.market import Pair
from mdata.sandbox.server import Sandbox

__all__ = ["exchange", "life"]
THIS_MINUTE = NOW - NOW % MINUTE
Record = Callable[[str, object], None]


def about(exchange: Sandbox, symbol: str, since: int) -> int:
    """Return how many requests have named this pair."""
    return sum(symbol in one.target for one in exchange.requests[since:])


def test_a_pair_that_is_renamed(life: MakeLife, exchange: Sandbox, clock: SetClock, record_property: Record) -> None:
    """To the exchange one pair has ended, and another one begun at the same instant."""
    given = life("tBTCUSD", "3")
    given.do("backfill")
    at = clock.now() + 6 * HOUR
    exchange.market.pairs["tBTCUSD"] = replace(exchange.market.pairs["tBTCUSD"], delisted=at)
    exchange.market.pairs["tXBTUSD"] = Pair("tXBTUSD", listed=at)
    given.calm(0.5, every=HOUR)
    held = stored(given.database, "tBTCUSD", "1m")
    given.folder.settings["SYMBOLS"] = "BTCUSD,XBTUSD"
    given.calm(2, every=HOUR)
    before = len(exchange.requests)
    given.calm(3, every=HOUR)
    requests = about(exchange, "tBTCUSD", before)
    record_property("requests about what is gone, in three days", requests)
    assert requests <= 6, "asked once a day, or twice"
    assert stored(given.database, "tBTCUSD", "1m") == held
    assert given.sql("SELECT count(*) FROM data_gaps WHERE status IN ('open', 'failed')") == [(0,)]
    assert given.wrong("tXBTUSD") == ((), (), ())
    assert stored(given.database, "tXBTUSD", "1m")[0][0] >= at
    said = given.says()
    assert said.healthy, said
    told = given.do("status", "--check")
    assert "the exchange serves no candles of bitfinex:tBTCUSD" in told.out + told.err


@pytest.mark.parametrize("ago", [DAY, 9 * DAY, 30 * DAY - HOUR])
def test_a_pair_that_was_listed_in_the_middle_of_what_is_wanted(
    life: MakeLife, exchange: Sandbox, clock: SetClock, ago: int
) -> None:
    exchange.market.pairs["tMIDUSD"] = Pair("tMIDUSD", listed=THIS_MINUTE - ago + 7 * MINUTE)
    given = life("tMIDUSD", "30")
    given.round()
    clock.advance(HOUR)
    given.round()
    given.assert_right()
    assert stored(given.database, "tMIDUSD", "1m")[0][0] == exchange.market.pairs["tMIDUSD"].listed
    assert given.sql("SELECT count(*) FROM data_gaps") == [(0,)], "before its first candle there is nothing to miss"
    said = given.says()
    assert said.complete
    assert said.healthy
    before = len(exchange.requests)
    given.calm(1, every=HOUR)
    assert given.requests_since(before) <= 24 + 6, "what is before it is not asked for again"


def test_a_pair_that_begins_and_ends_within_what_is_wanted(life: MakeLife, exchange: Sandbox) -> None:
    exchange.market.pairs["tMIDUSD"] = Pair("tMIDUSD", listed=THIS_MINUTE - 9 * DAY, delisted=NOW + 2 * HOUR)
    given = life("tMIDUSD,tETHUSD", "30")
    given.calm(1, every=HOUR)
    held = stored(given.database, "tMIDUSD", "1m")
    given.calm(3, every=HOUR)
    assert stored(given.database, "tMIDUSD", "1m") == held
    assert held[0][0] == THIS_MINUTE - 9 * DAY
    assert given.sql("SELECT count(*) FROM data_gaps WHERE status IN ('open', 'failed')") == [(0,)]
    assert given.wrong("tETHUSD") == ((), (), ())
    assert given.says().healthy


@contextmanager
def sandbox_command(*pairs: str) -> Iterator[dict[str, str]]:
    """Run the sandbox as a user does, and give the settings that lead to it."""
    options = [option for pair in pairs for option in ("--pair", pair)]
    process = subprocess.Popen(
        [MDATA, "sandbox", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines = (process.stdout.readline().strip().removeprefix("export ").split("=", 1) for _ in range(2))
        yield {name: value.strip("'\"") for name, value in lines}
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_the_commands_say_so_in_one_line(folder: Folder) -> None:
    """A pair that was gone before the first backfill has no data, and the other is served."""
    with sandbox_command("tBTCUSD", "tOLDUSD:delisted=-2d", "tMIDUSD:listed=-1d") as settings:
        folder.settings |= {**settings, "SYMBOLS": "BTCUSD,OLDUSD,MIDUSD", "BACKFILL_DAYS": "3", "TIMEFRAMES": "1h"}
        backfill = folder.run("backfill")
        assert "Traceback" not in backfill.err
        assert "OLDUSD" in backfill.err
        series = {one["symbol"]: one for one in folder.run("status", "--json").json["series"]}
        assert series["tBTCUSD"]["complete"] is True
        assert series["tMIDUSD"]["complete"] is True
        assert 22 <= series["tMIDUSD"]["candles"] <= 25
        assert "tOLDUSD" not in series or series["tOLDUSD"]["candles"] == 0
