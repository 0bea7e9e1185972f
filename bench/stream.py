"""The stream in real time: how long after its close a candle is committed, and the memory that it needs."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import Spread
from bench.start import MDATA
from bench.table import Row
from mdata.domain.timeframe import MINUTE
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import RateRule, Sandbox


def rows(folder: Path, minutes: int, series: int = 25) -> list[Row]:
    """Stream `minutes` minutes of 1m candles of `series` busy pairs, and read them from the pipe as they come."""
    lags, peak = _measured(folder, minutes, series)
    p50, p99 = (lags[round((len(lags) - 1) * share)] for share in (0.5, 0.99))
    told = f"{len(lags)} candles of {series} pairs, half of them within {p50:.2f} s"
    return [
        Row("stream: from the close of a candle to its commit, p99, s", 3, 1.5, Spread.of([p99]), told),
        Row("stream: peak memory, MiB", 120, 80, Spread.of([peak])),
    ]


def _measured(folder: Path, minutes: int, series: int) -> tuple[list[float], float]:
    """Return the seconds from close to commit, ascending, and the peak of resident memory in MiB."""
    symbols = [f"tA{chr(65 + number)}AUSD" for number in range(series)]
    with Sandbox(Market({symbol: Pair(symbol) for symbol in symbols}), rule=RateRule(0)) as sandbox:
        env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "DATABASE_PATH": f"{folder}/mdata.db",
            "RATE_LIMIT_STATE_PATH": f"{folder}/rate.json", "RATE_LIMIT_DELAY": "0", "BACKFILL_DAYS": "0",
            "BITFINEX_REST_URL": sandbox.rest_url, "BITFINEX_WS_URL": sandbox.ws_url, "SYMBOLS": ",".join(symbols),
        }  # fmt: skip
        begin = time.time_ns() // 1_000_000
        command = [MDATA, "stream", "--for", f"{minutes}m", "--lines", "--quiet"]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lags, seen, peak = [], set(), 0
        for line in process.stdout:
            now, candle = time.time_ns() // 1_000_000, json.loads(line)
            name, closed_at = (candle["symbol"], candle["open_time"]), candle["open_time"] + MINUTE
            # Candles of the first snapshot had closed before; one that comes twice was corrected by a late message.
            if closed_at > begin + 5_000 and name not in seen:
                lags.append((now - closed_at) / 1000)
                peak = max(peak, _peak(process.pid))
            seen.add(name)
        assert process.wait() == 0
    return sorted(lags), peak / 1024


def _peak(pid: int) -> int:
    """Return the peak of a process's resident memory, KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mdata-bench-") as name:
        for row in rows(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 4):
            print(" | ".join(row.cells()))
