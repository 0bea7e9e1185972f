"""Another exchange costs no line outside its own folder: a made-up one keeps ledger, proof and gaps, too.

The lies that ours is told, it is told as well (`adversary.py`); what its answers prove: `test_written_silence.py`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from adversary import Life
from conftest import DAY, NOW, SetClock, stored
from made_up import VENUE, MadeUp, MadeUpMarket, registered

from mdata.domain.interval import Range
from mdata.domain.timeframe import HOUR, MINUTE, TIMEFRAMES
from mdata.sandbox.limit import RateRule
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox

PAIRS = [Pair("tBTCUSD"), Pair("tSPAUSD", density=0.1), Pair("tNEWUSD", listed=NOW - 3 * DAY - 7 * MINUTE)]
GRID = TIMEFRAMES["1m"]
MakeLife = Callable[..., Life]


class Oldest(MadeUp):
    """Its like, of which a full answer keeps the oldest rows."""

    keeps = "oldest"


@contextmanager
def serving(kind: type[MadeUp], clock: SetClock, **facts: Any) -> Iterator[MadeUp]:
    market = MadeUpMarket({one.symbol: one for one in PAIRS})
    with kind(market, clock, rule=RateRule(0)) as running, registered(running, **facts):
        yield running


@pytest.fixture
def server(clock: SetClock) -> Iterator[MadeUp]:
    with serving(MadeUp, clock) as running:
        yield running


@pytest.fixture
def life(tmp_path: Path, server: MadeUp, clock: SetClock) -> MakeLife:
    def make(pair: str = "BTCUSD", days: str = "8", **settings: str) -> Life:
        return Life(tmp_path, server, clock, SYMBOLS=f"made:{pair}", BACKFILL_DAYS=days, **settings)

    return make


def test_silence_is_stored_as_proven_empty_and_not_as_candles(life: MakeLife) -> None:
    given = life("SPAUSD")
    given.do("backfill")
    given.assert_right()
    (one,) = given.do("status", "--json").json["series"]
    assert (one["exchange"], one["symbol"]) == ("made", "tSPAUSD")
    assert one["complete"]
    assert one["empty"] > 8 * one["present"] > 0
    settled = 8 * 1440 + 12 * 60 + 2
    assert one["present"] + one["empty"] == settled
    assert min(row[5] for row in stored(given.database, "tSPAUSD", "1m")) > 0
    assert one["silent_since"] is None, "what is written is no silence to be wondered at"


@pytest.mark.parametrize(
    ("kind", "facts"),
    [(MadeUp, {}), (Oldest, {"anchor": "oldest"}), (Oldest, {"anchor": "refuses"})],
    ids=["newest", "oldest", "refuses"],
)
@pytest.mark.parametrize("pair", ["BTCUSD", "SPAUSD", "NEWUSD"])
def test_whichever_end_a_full_answer_keeps(
    tmp_path: Path, clock: SetClock, kind: type[MadeUp], facts: dict[str, Any], pair: str
) -> None:
    with serving(kind, clock, **facts) as running:
        life = Life(tmp_path, running, clock, SYMBOLS=f"made:{pair}", BACKFILL_DAYS="8")
        life.do("backfill")
        life.assert_right()
        pages = [one for one in running.requests if one.rows > 1]
        assert max(one.rows for one in pages) <= VENUE.page_rows
        # More than a page has passed: the forward pass takes several.
        clock.advance(VENUE.page_rows * MINUTE * 2 + 3 * HOUR)
        life.do("backfill")
        life.assert_right()
        times = life.delete(f"t{pair}", 100, 50)
        life.round()
        assert times[0] in {row[0] for row in stored(life.database, f"t{pair}", "1m")}
        life.assert_right()
        assert life.says().complete


def test_an_outage_is_unknown_until_a_second_answer_says_the_same(life: MakeLife, clock: SetClock) -> None:
    given = life("SPAUSD", "2")
    start, end = NOW // HOUR * HOUR - 10 * HOUR, NOW // HOUR * HOUR - 8 * HOUR
    given.order({"kind": "unserved", "symbol": "tSPAUSD", "start": start, "end": end})
    lost = [row[0] for row in given.sandbox.market.candles("tSPAUSD", GRID, Range(start, end), NOW)]
    given.do("backfill")
    said = given.says()
    assert not said.complete, "rows are missing, and nothing says why"
    assert said.export == 3
    given.do("detect-gaps")
    gaps = given.do("gaps", "--json").json["gaps"]
    assert sum(one["intervals"] for one in gaps) == len(lost)
    assert {one["exchange"] for one in gaps} == {"made"}
    clock.advance(5 * MINUTE)
    given.do("repair")
    assert given.do("gaps", "--json", "--status", "open").json["gaps"] == []
    missing = given.wrong("tSPAUSD").missing
    assert [time for time in missing if time < end] == lost, "two answers agree, and it is called empty"
    # It comes back, and a later comparison finds it.
    given.order()
    clock.advance(DAY)
    given.do("verify", "--exchange", RECHECK_DAYS="1")
    given.do("backfill")
    given.assert_right()


def test_an_outage_that_ends_by_itself_leaves_no_gap(life: MakeLife) -> None:
    given = life("BTCUSD", "2")
    start = NOW // HOUR * HOUR - 10 * HOUR
    given.order({"kind": "unserved", "symbol": "tBTCUSD", "start": start, "end": start + HOUR})
    given.do("backfill")
    assert not given.says().complete
    given.order()
    given.assert_heals(within=2)


def test_gaps_are_found_and_repaired(life: MakeLife, clock: SetClock) -> None:
    given = life("BTCUSD", "8")
    given.do("backfill")
    for first, count in ((100, 1), (3000, 700), (9000, 60)):
        given.delete("tBTCUSD", first, count)
    given.do("detect-gaps")
    assert sum(one["intervals"] for one in given.do("gaps", "--json").json["gaps"]) == 761
    clock.advance(HOUR)
    given.round()
    given.assert_right()
    assert given.says().complete


def test_two_exchanges_in_one_store_are_two_series(tmp_path: Path, clock: SetClock) -> None:
    """Each is asked at its own address, at its own rate, and of the same name nothing is mixed up."""
    dense, thin = Pair("tBTCUSD", price=100.0), Pair("tBTCUSD", density=0.3, price=7.0)
    home = Sandbox(Market({"tBTCUSD": dense}), clock, rule=RateRule(0))
    other = MadeUp(MadeUpMarket({"tBTCUSD": thin}), clock, rule=RateRule(0))
    with home, other, registered(other):
        life = Life(tmp_path, home, clock, SYMBOLS="BTCUSD made:BTCUSD", BACKFILL_DAYS="2")
        assert life.do("backfill").exit == 0, life.log
        rows = life.sql(
            "SELECT exchange, count(*), min(open), max(open) FROM ohlcv GROUP BY exchange ORDER BY exchange"
        )
        assert [exchange for exchange, *_ in rows] == ["bitfinex", "made"]
        (_, many, *prices), (_, few, *others) = rows
        assert many > 2 * few > 0
        assert max(others) < min(prices)
        assert {one.target.split("?")[0] for one in home.requests} == {"/v2/candles/trade:1m:tBTCUSD/hist"}
        assert (life.folder.path / "rate-limit.json").exists()
        assert (life.folder.path / "rate-limit-made.json").exists()
        series = life.do("status", "--json").json["series"]
        assert [(one["exchange"], one["complete"]) for one in series] == [("bitfinex", True), ("made", True)]
        narrowed = life.do("status", "--json", "-s", "made:BTCUSD").json["series"]
        assert [one["exchange"] for one in narrowed] == ["made"]
        exported = life.do("export", "made:BTCUSD", "--json", "--output", str(tmp_path / "out.csv")).json["series"]
        assert [(one["exchange"], one["candles"]) for one in exported] == [("made", few)]
        life.do("cleanup", "--symbol", "made:BTCUSD", "--all", "--yes")
        assert [one for (one,) in life.sql("SELECT DISTINCT exchange FROM ohlcv")] == ["bitfinex"]


def test_a_stream_leaves_out_who_has_none(tmp_path: Path, server: MadeUp) -> None:
    program = """
import sys
import made_up
from mdata.exchange import registry
venue = made_up.VENUE._replace(rest_url=sys.argv.pop(1))
registry.ADAPTERS["made"] = made_up.adapter_of(venue)
from mdata.cli.main import run
run()
"""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1]),
        "SYMBOLS": "made:BTCUSD", "MADE_REST_URL": f"http://127.0.0.1:{server.port}", "BACKFILL_DAYS": "1",
        "RATE_LIMIT_DELAY": "0", "DATABASE_PATH": str(tmp_path / "mdata.db"),
        "MDATA_REHEARSAL": "", "RATE_LIMIT_STATE_PATH": str(tmp_path / "rate-limit.json"),
    }  # fmt: skip

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, f"http://127.0.0.1:{server.port}", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    settings = {one["name"]: one["value"] for one in json.loads(run("config", "--json").stdout)["settings"]}
    assert settings["MADE_REST_URL"] == f"http://127.0.0.1:{server.port}", "a setting of its own"
    assert settings["SYMBOLS"] == "made:tBTCUSD"
    ended = run("stream", "--for", "1s")
    assert "Made-up has no stream of candles" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_gap_about_which_no_answer_says_anything_takes_three_requests_of_a_run(
    life: MakeLife, server: MadeUp, clock: SetClock
) -> None:
    """Silence was once believed before the first candle: no row ever comes for the minute between the two."""
    given = life("NEWUSD", "1", GAP_REPAIR_MAX_REPAIRS_PER_RUN="50")
    listed = NOW // MINUTE * MINUTE - 5 * MINUTE
    server.market.pairs["tNEWUSD"] = Pair("tNEWUSD", listed=listed)
    given.do("backfill")
    given.sql("DELETE FROM doubts")
    given.sql("UPDATE series SET wanted_start = ?, first_candle = NULL", listed - 1440 * MINUTE)
    given.sql("INSERT INTO coverage VALUES (1, ?, ?, 'final', 0)", listed - 500 * MINUTE, listed - MINUTE)
    doubted = ("silence", "desc 0", listed, listed, 3)
    given.sql(
        "INSERT INTO doubts (series_id, start_time, end_time, kind, form, since, asked_at, answers) "
        "VALUES (1, ?, ?, ?, ?, ?, ?, ?)", listed - MINUTE, listed, *doubted,
    )  # fmt: skip
    clock.advance(2 * HOUR)
    given.do("detect-gaps")
    sent = len(server.requests)
    given.do("repair")
    assert 1 <= len(server.requests) - sent <= 3
    ((attempts,),) = given.sql("SELECT attempts FROM data_gaps WHERE status = 'open'")
    assert attempts == 1
