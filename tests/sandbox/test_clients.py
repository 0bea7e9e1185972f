"""Clients that we did not write read the sandbox as they read the exchange: bitfinex-api-py and ccxt."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import DAY, NOW, truth

from mdata.clock import RehearsalClock, SystemClock
from mdata.sandbox.market import Market
from mdata.sandbox.server import Sandbox, parse_fault

CLIENTS = Path(__file__).parents[2] / ".envs" / "clients" / "bin" / "python"
needs_clients = pytest.mark.skipif(
    not CLIENTS.exists(), reason="the foreign clients are not installed: run `make clients`"
)

OFFICIAL = """
import json, sys
from bfxapi import Client
port, start, end = map(int, sys.argv[1:])
bfx = Client(rest_host=f"http://127.0.0.1:{port}/v2", wss_host=f"ws://127.0.0.1:{port}/ws/2")
found = bfx.rest.public.get_candles_hist(symbol="tSPAUSD", tf="1m", sort=1, start=start, end=end, limit=10000)
last = bfx.rest.public.get_candles_last(symbol="tBTCUSD", tf="1m")
print(json.dumps({
    "rows": [[c.mts, c.open, c.high, c.low, c.close, c.volume] for c in found], "last": last.mts,
    "status": bfx.rest.public.get_platform_status().status, "pairs": bfx.rest.public.conf("pub:list:pair:exchange"),
}))
"""

CCXT = """
import json, sys
import ccxt
port, start, end = map(int, sys.argv[1:])
B, W = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws/2"
ex = ccxt.bitfinex({"enableRateLimit": False, "urls": {"api": {"v1": B, "public": B, "private": B,
                    "ws": {"public": W, "private": W}}}})
ex.has["fetchCurrencies"] = False
print(json.dumps({"rows": ex.fetch_ohlcv("SPA/USD", "1m", since=start, limit=10000, params={"until": end})}))
"""

OFFICIAL_STREAM = """
import json, os, sys
from bfxapi import Client
port = int(sys.argv[1])
bfx = Client(rest_host=f"http://127.0.0.1:{port}/v2", wss_host=f"ws://127.0.0.1:{port}/ws/2")
snapshot, updates = [], []

def row(candle):
    return [candle.mts, candle.open, candle.high, candle.low, candle.close, candle.volume]

@bfx.wss.on("open")
async def on_open():
    await bfx.wss.subscribe("candles", key="trade:1m:tBTCUSD")

@bfx.wss.on("candles_snapshot")
def on_snapshot(sub, candles):
    snapshot.extend(map(row, candles))

@bfx.wss.on("candles_update")
async def on_update(sub, candle):
    updates.append(row(candle))
    if candle.mts > updates[0][0] + 240_000:
        print(json.dumps({"snapshot": snapshot, "updates": updates}), flush=True)
        os._exit(0)

bfx.wss.run()
"""

CCXT_STREAM = """
import asyncio, json, sys
import ccxt.pro
port = int(sys.argv[1])
B, W = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws/2"

async def main():
    ex = ccxt.pro.bitfinex({"enableRateLimit": False, "newUpdates": False, "urls": {"api": {
        "v1": B, "public": B, "private": B, "ws": {"public": W, "private": W}}}})
    ex.has["fetchCurrencies"] = False
    rows = await ex.watch_ohlcv("BTC/USD", "1m")
    end = rows[-1][0] + 240_000
    while rows[-1][0] < end:
        rows = await ex.watch_ohlcv("BTC/USD", "1m")
    await ex.un_watch_ohlcv("BTC/USD", "1m")
    await ex.close()
    print(json.dumps(rows))

asyncio.run(main())
"""


@pytest.fixture
def fast(market: Market) -> Iterator[Sandbox]:
    """An exchange whose minutes last two seconds."""
    with Sandbox(market, RehearsalClock(NOW, SystemClock().boottime(), 30)) as running:
        yield running


def run(script: str, *arguments: int) -> Any:
    """Run a script in the clients' environment; give the JSON that it prints."""
    finished = subprocess.run(
        [CLIENTS, "-W", "ignore", "-c", script, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@needs_clients
def test_the_official_client_streams_and_subscribes_again_after_a_cut(fast: Sandbox) -> None:
    fast.order([parse_fault('{"kind": "ws-drop", "after": 40}', fast.clock.now())])
    found = run(OFFICIAL_STREAM, fast.port)
    assert len(found["snapshot"]) == 240
    ledger = {row[0]: row for row in truth(fast, "tBTCUSD", "1m", NOW - DAY, fast.clock.now())}
    for update in map(tuple, found["updates"][:-1]):
        closed = ledger[update[0]]
        # The exchange sends candles that are still forming; the last state of each is the ledger's.
        assert update == closed or (update[5] < closed[5] and update[1] == closed[1])
    assert any(tuple(update) == ledger[update[0]] for update in found["updates"][:-1])
    assert [tuple(row) for row in found["snapshot"][1:]] == [ledger[row[0]] for row in found["snapshot"][1:]]
    # Cut once by order; its first socket, which never subscribes, is also broken off after each minute.
    assert [one.key for one in fast.stream.log if one.what == "subscribe"].count("trade:1m:tBTCUSD") > 1


@needs_clients
def test_ccxt_watches_what_the_ledger_holds(fast: Sandbox) -> None:
    rows = run(CCXT_STREAM, fast.port)
    expected = truth(fast, "tBTCUSD", "1m", rows[0][0], rows[-1][0])
    assert [tuple(row) for row in rows[:-1]] == expected
    assert len(expected) == 243
    assert [one.what for one in fast.stream.log] == ["handshake", "subscribe", "unsubscribe", "closed"]


@needs_clients
@pytest.mark.parametrize("script", [OFFICIAL, CCXT], ids=["bitfinex-api-py", "ccxt"])
def test_a_foreign_client_reads_the_ledger(live: Sandbox, script: str) -> None:
    end = live.clock.now() // 60_000 * 60_000 - 60_000
    start = end - 3 * DAY
    found = run(script, live.port, start, end)
    expected = truth(live, "tSPAUSD", "1m", start, end + 60_000)
    assert [tuple(row) for row in found["rows"]] == [row for row in expected if row[0] <= end]
    assert len(expected) > 300
    if "pairs" in found:
        assert found["status"] == 1
        assert "BTCUSD" in json.dumps(found["pairs"])
        assert found["last"] >= end
