"""The main job from end to end, without the network: backfill, a kill half-way, resume, status, proof.

A sandbox exchange replays recorded Bitfinex candles and generates a year of others. Everything happens in a
temporary folder, which is removed at the end.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from urllib.request import urlopen

HERE = Path(__file__).parent
MDATA = Path(sys.executable).with_name("mdata")
RECORDED = ("btcusd-1m-2018-08-10.json", "btcusd-15m-2021-01.json", "etheur-5m-2021-01.json")


def say(text: str) -> None:
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def run(*arguments: str, env: dict[str, str]) -> None:
    print(f"$ mdata {' '.join(arguments)}", flush=True)
    subprocess.run([MDATA, *arguments], env=env, check=True)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="mdata-demo-"))
    say("A sandbox exchange: recorded candles of tBTCUSD and tETHEUR, and a year of generated tLTCUSD")
    replays = [word for name in RECORDED for word in ("--replay", str(HERE / "data" / name))]
    server = subprocess.Popen(
        [MDATA, "sandbox", "--rate-limit", "0", "--pair", "tLTCUSD", *replays], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        urls = dict(server.stdout.readline().strip().split("=", 1) for _ in range(2))
        for name, url in urls.items():
            print(f"{name}={url}")
        show(folder, urls)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(folder)


def show(folder: Path, urls: dict[str, str]) -> None:
    env = {
        **os.environ, **urls, "MDATA_ENV_FILE": "", "DATABASE_PATH": str(folder / "mdata.db"),
        "RATE_LIMIT_STATE_PATH": str(folder / "rate-limit.json"), "RATE_LIMIT_DELAY": "0.05",
    }  # fmt: skip
    series = [("tLTCUSD", "1m"), ("tLTCUSD", "1h"), ("tBTCUSD", "1m"), ("tBTCUSD", "15m"), ("tETHEUR", "5m")]
    say("Backfill a year, and kill it half-way with kill -9")
    arguments = ("backfill", "-s", "tLTCUSD", "-t", "1m", "-t", "1h")
    print(f"$ mdata {' '.join(arguments)}", flush=True)
    process = subprocess.Popen([MDATA, *arguments], env=env, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(fetch(urls, "/sandbox/requests")) < 30:
        time.sleep(0.02)
    process.kill()
    process.wait()
    say("Run it again: it continues after the last committed page")
    run(*arguments, env=env)
    say("The recorded series too")
    for symbol, timeframe in series[2:]:
        run("backfill", "-s", symbol, "-t", timeframe, env=env)
    say("What is stored now")
    run("status", "-s", "tLTCUSD", "-t", "1m", "-t", "1h", env=env)
    say("Proof: the store against the exchange's own ledger")
    sys.exit(compare(env, urls, series))


def fetch(urls: dict[str, str], path: str) -> list:
    base = urls["BITFINEX_REST_URL"].removesuffix("/v2")
    with urlopen(base + path) as answer:
        return json.load(answer)


def compare(env: dict[str, str], urls: dict[str, str], series: list[tuple[str, str]]) -> int:
    import sqlite3

    told = json.loads(subprocess.run([MDATA, "status", "--json"], env=env, check=True, stdout=subprocess.PIPE).stdout)
    connection = sqlite3.connect(env["DATABASE_PATH"])
    missing = wrong = extra = total = 0
    for symbol, timeframe in series:
        (state,) = [one for one in told["series"] if (one["symbol"], one["timeframe"]) == (symbol, timeframe)]
        start, end = (millis(state[bound]) for bound in ("wanted_start", "wanted_end"))
        rows = connection.execute(
            "SELECT open_time, open, high, low, close, volume FROM ohlcv "
            "WHERE symbol = ? AND timeframe = ? AND open_time < ?",
            (symbol, timeframe, end),
        )
        held = {row[0]: tuple(row) for row in rows}
        query = f"symbol={symbol}&timeframe={timeframe}&start={start}&end={end}"
        served = {row[0]: tuple(row) for row in fetch(urls, f"/sandbox/ledger?{query}")}
        missing += len(served.keys() - held.keys())
        extra += len(held.keys() - served.keys())
        wrong += sum(held[time] != served[time] for time in held.keys() & served.keys())
        total += len(served)
    connection.close()
    print(f"{total} candles compared over the whole wanted range: {missing} missing, {wrong} wrong, {extra} extra")
    return 1 if missing or wrong or extra else 0


def millis(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


if __name__ == "__main__":
    main()
