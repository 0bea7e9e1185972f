"""The tools: how each is run on a local exchange, and how its store is read."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.start import MDATA
from mdata.store.sqlite import sqlite3

MODERN, OLD = Path(".envs/peers/bin").absolute(), Path(".envs/peers-old/bin").absolute()
HERE = Path(__file__).parent
# The symbols of mdata, and their names in ccxt and crypto-candlesticks.
PAIRS = {"tBTCUSD": ("BTC/USD", "btc"), "tSPAUSD": ("SPA/USD", "spa")}
DAYS = 30

Rows = list[list[Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of a tool, the port of the exchange, and the wanted start (ms UTC)."""

    folder: Path
    port: int
    since: int


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: its commands, run one after the other, their environment, and a reader of its store."""

    name: str
    commands: Callable[[Place], list[list[str]]]
    read: Callable[[Place, str], Rows]
    environ: Callable[[Place], dict[str, str]] = lambda _: {}


def _mdata(burst: str) -> Callable[[Place], dict[str, str]]:
    return lambda place: {
        "DATABASE_PATH": str(place.folder / "mdata.db"),
        "RATE_LIMIT_STATE_PATH": str(place.folder / "rate-limit.json"),
        "RATE_LIMIT_BURST": burst,
        "SYMBOLS": "BTCUSD,SPAUSD",
        "BACKFILL_DAYS": str(DAYS),
        "BITFINEX_REST_URL": f"http://127.0.0.1:{place.port}/v2",
        "BITFINEX_WS_URL": f"ws://127.0.0.1:{place.port}/ws/2",
    }


def _read_mdata(place: Place, symbol: str) -> Rows:
    return _rows(
        place.folder / "mdata.db",
        "SELECT open_time, open, high, low, close, volume FROM ohlcv WHERE symbol = ? ORDER BY open_time",
        symbol,
    )


def _ccxt(place: Place) -> list[list[str]]:
    symbols = [name for name, _ in PAIRS.values()]
    script, database = str(HERE / "ccxt_pandas.py"), str(place.folder / "candles.db")
    return [[str(MODERN / "python"), script, str(place.port), database, str(place.since), *symbols]]


def _read_ccxt(place: Place, symbol: str) -> Rows:
    return _rows(
        place.folder / "candles.db",
        "SELECT open_time, open, high, low, close, volume FROM candles WHERE symbol = ? ORDER BY open_time",
        PAIRS[symbol][0],
    )


def _candlesticks(place: Place) -> list[list[str]]:
    from datetime import UTC, datetime, timedelta

    today = datetime.now(UTC).date()
    first = today - timedelta(days=DAYS - 1)
    start = [str(OLD / "python"), str(HERE / "candlesticks.py"), str(place.port)]
    return [
        [*start, "-s", base, "-b", "usd", "-i", "1m", "-sd", str(first), "-ed", str(today)]
        for _, base in PAIRS.values()
    ]


def _read_candlesticks(place: Place, symbol: str) -> Rows:
    name = symbol.removeprefix("t")
    return _rows(
        place.folder / f"{name}-1m.sqlite3",
        "SELECT Timestamp, Open, High, Low, Close, Volume FROM Candlestick WHERE Ticker = ? ORDER BY Timestamp",
        name,
    )


def _freqtrade(place: Place) -> list[list[str]]:
    host, stream = f"http://127.0.0.1:{place.port}", f"ws://127.0.0.1:{place.port}/ws/2"
    urls = {"v1": host, "public": host, "private": host, "ws": {"public": stream, "private": stream}}
    led = {"urls": {"api": urls}}
    exchange = {"name": "bitfinex", "ccxt_config": led, "ccxt_async_config": led, "pair_whitelist": []}
    config = {"exchange": exchange, "stake_currency": "USD", "dry_run": True, "trading_mode": "spot"}
    (place.folder / "config.json").write_text(json.dumps(config))
    (place.folder / "data").mkdir(exist_ok=True)
    start = [
        str(MODERN / "freqtrade"),
        "download-data",
        "--config",
        "config.json",
        "--userdir",
        ".",
        "--datadir",
        "data",
    ]
    return [[*start, "--timeframes", "1m", "--days", str(DAYS), "--pairs", *(name for name, _ in PAIRS.values())]]


def _read_freqtrade(place: Place, symbol: str) -> Rows:
    path = place.folder / "data" / f"{PAIRS[symbol][0].replace('/', '_')}-1m.feather"
    if not path.exists():
        return []
    command = [str(MODERN / "python"), str(HERE / "feather.py"), str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _rows(path: Path, sql: str, *values: str) -> Rows:
    if not path.exists():
        return []
    connection = sqlite3.connect(path)
    found = connection.execute(sql, values).fetchall()
    connection.close()
    return [list(row) for row in found]


TOOLS = (
    Tool("mdata backfill", lambda _: [[str(MDATA), "backfill"]], _read_mdata, _mdata("15")),
    Tool("mdata backfill, `RATE_LIMIT_BURST=1`", lambda _: [[str(MDATA), "backfill"]], _read_mdata, _mdata("1")),
    Tool("ccxt paging into SQLite with pandas", _ccxt, _read_ccxt),
    Tool("freqtrade download-data", _freqtrade, _read_freqtrade),
    Tool("crypto-candlesticks", _candlesticks, _read_candlesticks),
)
