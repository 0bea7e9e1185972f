"""Real recorded Bitfinex candles, with their real holes, replayed by the sandbox."""

import csv
import gzip
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import NOW, SetClock, stored
from gap_tools import delete, repair_fully

from mdata.domain.candle import Candle
from mdata.domain.timeframe import DAY, TIMEFRAMES
from mdata.jobs.backfill import backfill
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.status import collect
from mdata.running.context import Context
from mdata.sandbox.replay import read_recording
from mdata.sandbox.server import Sandbox

OURS = Path(__file__).parents[2] / "demo" / "data"
OTHERS = Path(os.environ.get("MDATA_RECORDINGS", Path(__file__).parents[3] / "shared" / "data" / "other"))


def load(name: str) -> tuple[str, str, list[Candle]]:
    if name.endswith(".json"):
        return read_recording(OURS / name, NOW)
    path = OTHERS / name
    if not path.exists():
        pytest.skip(f"{path} is not here: recordings under another licence are not part of this repository")
    with gzip.open(path, "rt") as stream:
        told = [row for row in csv.DictReader(stream) if float(row["volume"]) > 0]
    rows: list[Candle] = [
        (int(r["mts"]), float(r["open"]), float(r["high"]), float(r["low"]), float(r["close"]), float(r["volume"]))
        for r in told
    ]
    pair, timeframe = name.split(".", maxsplit=1)[0].split("-")
    moved = (NOW - rows[-1][0] - 3_600_000) // DAY * DAY
    return f"t{pair.replace('_', '')[:6]}", timeframe, [(row[0] + moved, *row[1:]) for row in rows]


@pytest.mark.parametrize(
    "name",
    ["btcusd-1m-2018-08-10.json", "btcusd-15m-2021-01.json", "etheur-5m-2021-01.json",
     "XRP_ETH-1m.csv.gz", "XRP_ETH-5m.csv.gz", "UNITTEST_BTC-1m.csv.gz"],
)  # fmt: skip
def test_every_hole_is_explained_and_lost_rows_come_back(
    context: Callable[..., Context], sandbox: Sandbox, clock: SetClock, name: str
) -> None:
    symbol, timeframe, candles = load(name)
    grid = TIMEFRAMES[timeframe]
    sandbox.market.recorded[symbol, timeframe] = candles
    given = context(SYMBOLS=symbol, TIMEFRAMES=timeframe)
    assert backfill(given).exit == 0
    assert stored(given.store.path, symbol, timeframe) == candles
    (state,) = collect(given.settings, given.store, clock.now()).series
    assert (state.counts.unknown, state.is_complete) == (0, True)
    assert state.counts.empty == grid.count(candles[0][0], state.counts.wanted.end) - len(candles)
    assert detect_gaps(given).tally.gaps_opened == 0
    chosen = random.Random(1).sample([row[0] for row in candles], len(candles) // 20)
    delete(given, *chosen, symbol=symbol)
    assert len(stored(given.store.path, symbol, timeframe)) == len(candles) - len(chosen)
    detect_gaps(given)
    repair_fully(given)
    assert stored(given.store.path, symbol, timeframe) == candles
