"""Clients that we did not write read the sandbox as they read the exchange: bitfinex-api-py and ccxt."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import DAY, Sandbox, truth

CLIENTS = Path(__file__).parent.parent / ".envs" / "clients" / "bin" / "python"

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


@pytest.mark.skipif(not CLIENTS.exists(), reason="the foreign clients are not installed: run `make clients`")
@pytest.mark.parametrize("script", [OFFICIAL, CCXT], ids=["bitfinex-api-py", "ccxt"])
def test_a_foreign_client_reads_the_ledger(live: Sandbox, script: str) -> None:
    end = live.clock.now() // 60_000 * 60_000 - 60_000
    start = end - 3 * DAY
    finished = subprocess.run(
        [CLIENTS, "-W", "ignore", "-c", script, str(live.port), str(start), str(end)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    expected = truth(live, "tSPAUSD", "1m", start, end + 60_000)
    assert [tuple(row) for row in found["rows"]] == [row for row in expected if row[0] <= end]
    assert len(expected) > 300
    if "pairs" in found:
        assert found["status"] == 1
        assert "BTCUSD" in json.dumps(found["pairs"])
        assert found["last"] >= end
