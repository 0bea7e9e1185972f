"""Programs that we did not write read what mdata writes, in an environment of their own: `make test-readers`."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import DAY, Folder, stored

from mdata.clock import SystemClock
from mdata.domain.times import iso
from mdata.exchange.bitfinex.ccxt import CURRENCIES
from mdata.sandbox.market import Pair

HERE = Path(__file__).parents[2]
READERS = HERE / ".envs" / "readers" / "bin"
pytestmark = [
    pytest.mark.readers,
    pytest.mark.skipif(not READERS.exists(), reason="freqtrade is not installed: run `make readers`"),
]

STRATEGY = """
from freqtrade.strategy import IStrategy


class Flip(IStrategy):
    timeframe = "1h"
    stoploss = -0.5
    minimal_roi = {"0": 10}

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["date"].dt.hour == 6, "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["date"].dt.hour == 18, "exit_long"] = 1
        return dataframe
"""


def run(folder: Folder, *command: str | Path) -> str:
    ended = subprocess.run(
        [READERS / command[0], *command[1:]], cwd=folder.path, env=folder.environ(), text=True, capture_output=True,
        check=False, timeout=500,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def configure(folder: Folder) -> None:
    """Have freqtrade ask the sandbox for its markets: it does so even for a backtest."""
    host, stream = folder.sandbox.rest_url.removesuffix("/v2"), folder.sandbox.ws_url
    urls = {"v1": host, "public": host, "private": host, "ws": {"public": stream, "private": stream}}
    led = {"urls": {"api": urls}}
    pricing = {"price_side": "same", "use_order_book": False}
    config = {
        "exchange": {
            "name": "bitfinex", "ccxt_config": led, "ccxt_async_config": led, "pair_whitelist": ["BTC/USD"],
        },
        "pairlists": [{"method": "StaticPairList"}], "stake_currency": "USD", "stake_amount": 1000,
        "dry_run": True, "dry_run_wallet": 100_000, "trading_mode": "spot", "max_open_trades": 1,
        "entry_pricing": pricing, "exit_pricing": pricing, "fee": 0.001,
    }  # fmt: skip
    (folder.path / "config.json").write_text(json.dumps(config))
    (folder.path / "strategies").mkdir()
    (folder.path / "strategies" / "flip.py").write_text(STRATEGY)


def test_freqtrade_lists_the_data_and_backtests_on_it(folder: Folder) -> None:
    folder.settings.update(SYMBOLS="BTCUSD,SPAUSD", TIMEFRAMES="1h", BACKFILL_DAYS="30")
    assert folder.run("backfill").exit == 0
    configure(folder)
    assert folder.run("export", "-f", "freqtrade", "-o", "data").exit == 0
    held = stored(folder.database, "tBTCUSD", "1h")
    common = ("--config", "config.json", "--userdir", ".", "--datadir", "data/bitfinex")
    listed = run(folder, "freqtrade", "list-data", *common, "--show-timerange")
    (row,) = [line for line in listed.splitlines() if "BTC/USD" in line]
    assert [iso(held[place][0])[:19].replace("T", " ") in row for place in (0, -1)] == [True, True]
    assert str(len(held)) in row
    assert "SPA/USD" in listed
    tested = run(folder, "freqtrade", "backtesting", *common, "--strategy", "Flip", "--export", "none")
    (row,) = [line for line in tested.splitlines() if "BTC/USD" in line and "│" in line][:1]
    assert int(row.split("│")[2]) >= 28, "one trade a day"


def test_the_script_of_the_docs_backtests_on_complete_candles(folder: Folder) -> None:
    folder.sandbox.market.pairs["tETHUSD"] = Pair("tETHUSD", density=0.9)
    folder.settings.update(SYMBOLS="BTCUSD,ETHUSD", TIMEFRAMES="1m", BACKFILL_DAYS="31")
    assert folder.run("backfill").exit == 0
    end = SystemClock().now() // DAY * DAY
    script = HERE / "docs" / "examples" / "backtest.py"
    lines = run(folder, "python", script, iso(end - 30 * DAY), iso(end)).splitlines()
    assert [line.split()[:2] for line in lines] == [["BTCUSD", "180"], ["ETHUSD", "180"]]
    assert all(int(line.split()[2]) >= 1 for line in lines)
    folder.rows("DELETE FROM candles WHERE series_id = 1 AND open_time = ?", end - DAY)
    ended = subprocess.run(
        [READERS / "python", script, iso(end - 30 * DAY), iso(end)], cwd=folder.path, env=folder.environ(),
        text=True, capture_output=True, check=False, timeout=100,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "mdata.errors.IncompleteError: 1 of 43200 intervals of bitfinex:tBTCUSD 1m is unknown" in ended.stderr


def test_pairs_are_called_as_ccxt_calls_them() -> None:
    code = "import ccxt, json; print(json.dumps(ccxt.bitfinex().commonCurrencies))"
    found = subprocess.run([READERS / "python", "-c", code], text=True, capture_output=True, check=True).stdout
    assert json.loads(found) == CURRENCIES
