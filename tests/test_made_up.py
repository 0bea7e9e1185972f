"""Another exchange costs no line outside its own folder: a made-up one keeps ledger, proof and gaps, too."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from adversary import Life
from conftest import DAY, NOW, SetClock
from made_up import MadeUp, MadeUpMarket, registered

from mdata.domain.timeframe import MINUTE
from mdata.sandbox.limit import RateRule
from mdata.sandbox.market import Pair


@pytest.fixture
def server(clock: SetClock) -> Iterator[MadeUp]:
    pairs = [Pair("tBTCUSD"), Pair("tSPAUSD", density=0.1), Pair("tNEWUSD", listed=NOW - 3 * DAY - 7 * MINUTE)]
    market = MadeUpMarket({one.symbol: one for one in pairs})
    with MadeUp(market, clock, rule=RateRule(0)) as running, registered(running):
        yield running


@pytest.mark.parametrize("pair", ["BTCUSD", "SPAUSD", "NEWUSD"])
def test_a_life_with_another_exchange(tmp_path: Path, server: MadeUp, clock: SetClock, pair: str) -> None:
    life = Life(tmp_path, server, clock, SYMBOLS=f"made:{pair}", BACKFILL_DAYS="5")
    life.do("backfill", "--json")
    life.assert_right()
    assert life.says().complete
