"""What the stream has stored, REST can deny: one `[]` deletes nothing, and a refused row is asked for again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Folder, hurried, stored, truth

from mdata.domain.timeframe import HOUR, MINUTE
from mdata.sandbox.limit import RateRule
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import parse_fault

SPEED = 60.0


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Folder]:
    """A folder for real processes, with an exchange on a clock that all of them share: a minute is a second."""
    pairs = {"tBTCUSD": Pair("tBTCUSD"), "tSPAUSD": Pair("tSPAUSD", density=0.3)}
    with hurried(Market(pairs), SPEED, RateRule(0)) as (sandbox, clock):
        folder = Folder(tmp_path, sandbox)
        folder.settings |= clock | {"SYMBOLS": "BTCUSD", "BACKFILL_DAYS": "1"}
        yield folder


def order(folder: Folder, *faults: dict[str, object]) -> None:
    now = folder.sandbox.clock.now()
    folder.sandbox.order([parse_fault(json.dumps(one), now) for one in faults])


def assert_right(folder: Folder, symbol: str = "tBTCUSD") -> None:
    """Compare with the ledger, up to what has settled some minutes ago."""
    now = folder.sandbox.clock.now()
    (start,) = folder.rows("SELECT wanted_start FROM series WHERE symbol = ?", symbol)[0]
    end = now // MINUTE * MINUTE - 15 * MINUTE
    held = [row for row in stored(folder.database, symbol, "1m") if row[0] < end]
    assert held == [row for row in truth(folder.sandbox, symbol, "1m", start, now) if row[0] < end]


@pytest.mark.parametrize("command", ["backfill", "update"])
@pytest.mark.parametrize(
    "kind",
    ["empty", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("cut", "other-pair", "coarser", "thinned"))],
)
def test_one_lie_over_streamed_candles_deletes_none(fast: Folder, command: str, kind: str) -> None:
    fast.run("backfill")
    streamed = fast.run("stream", "--for", "12m", "--json")
    assert streamed.exit == 0, streamed.err
    before = stored(fast.database, "tBTCUSD", "1m")
    order(fast, {"kind": kind, "times": 1})
    fast.run(command)
    held = {row[0] for row in stored(fast.database, "tBTCUSD", "1m")}
    settled = fast.sandbox.clock.now() - 10 * MINUTE
    assert {row[0] for row in before if row[0] < settled} <= held
    order(fast)
    for _ in range(3):
        fast.run(command)
        fast.run("detect-gaps")
        fast.run("repair")
    assert_right(fast)


def test_an_interval_that_the_stream_lacked_and_rest_refused_is_asked_for_again(fast: Folder) -> None:
    fast.run("backfill")
    now = fast.sandbox.clock.now()
    time = now // MINUTE * MINUTE + 6 * MINUTE
    order(fast, {"kind": "unserved", "start": time, "end": time + MINUTE})
    assert fast.run("stream", "--for", "20m").exit == 0
    order(fast, {"kind": "spoil", "at": time, "column": 3, "value": 0})
    assert fast.run("backfill").exit == 65
    fast.run("detect-gaps")
    (series,) = fast.run("status", "--json").json["series"]
    assert not series["complete"]
    assert fast.run("export", "--json", "-o", "candles.csv").exit == 3
    order(fast)
    fast.run("detect-gaps")
    fast.run("repair", "--retry-failed")
    assert time in {row[0] for row in stored(fast.database, "tBTCUSD", "1m")}
    assert_right(fast)


def test_a_pair_that_was_denied_and_streams_is_asked_for_again(fast: Folder) -> None:
    order(fast, {"kind": "empty", "times": 2, "symbol": "tBTCUSD"})
    fast.run("backfill")
    order(fast)
    assert fast.run("stream", "--for", "3m").exit == 0
    fast.run("backfill")
    assert_right(fast)
    (start,) = fast.rows("SELECT wanted_start FROM series")[0]
    assert stored(fast.database, "tBTCUSD", "1m")[0][0] == start
    assert fast.sandbox.clock.now() - start > 23 * HOUR
