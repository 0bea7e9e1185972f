"""A stream in a process of its own, on a fast clock, and what it must have stored."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Folder, hurried, stored, truth
from killing import assert_sound

from mdata.sandbox.market import Market, Pair

SPEED = 30.0


PAIRS = {"tBTCUSD": Pair("tBTCUSD"), "tSPAUSD": Pair("tSPAUSD", density=0.3)}


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Folder]:
    """A folder for real processes, with an exchange on a clock that all of them share."""
    with hurried(Market(PAIRS), SPEED) as (sandbox, clock):
        folder = Folder(tmp_path, sandbox)
        folder.settings |= clock | {"SYMBOLS": "BTCUSD,SPAUSD", "BACKFILL_DAYS": "1", "RATE_LIMIT_DELAY": "1"}
        yield folder


def compare(folder: Folder, timeframe: str = "1m") -> None:
    """Compare what is stored with the exchange's ledger: the covered part of every series, candle by candle."""
    assert_sound(folder)
    for symbol in folder.sandbox.market.symbols():
        rows = folder.rows(
            """SELECT start_time, end_time FROM coverage JOIN series ON series.id = series_id
               WHERE symbol = ? ORDER BY start_time""", symbol,
        )  # fmt: skip
        held = stored(folder.database, symbol, timeframe)
        for start, end in rows:
            assert [row for row in held if start <= row[0] < end] == [
                row for row in truth(folder.sandbox, symbol, timeframe, start, end) if row[0] < end
            ]


def forming(folder: Folder) -> int:
    """Count stored candles that had not closed."""
    now = folder.sandbox.clock.now()
    return len(folder.rows("SELECT 1 FROM candles WHERE open_time + 60000 > ?", now))
