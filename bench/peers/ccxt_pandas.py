"""The usual script with ccxt and pandas: page through candles, and append each page to an SQLite table.

The loop follows ccxt's examples: continue after the last candle; after an error, wait and retry.
"""

import sqlite3
import sys
import time

import ccxt
import pandas as pd

_HOLD = 30  # seconds, as in ccxt's examples


def main(port: str, database: str, since: str, *symbols: str) -> None:
    host, stream = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws/2"
    urls = {"v1": host, "public": host, "private": host, "ws": {"public": stream, "private": stream}}
    exchange = ccxt.bitfinex({"enableRateLimit": True, "urls": {"api": urls}})
    connection = sqlite3.connect(database)
    for symbol in symbols:
        start = int(since)
        while start < exchange.milliseconds():
            try:
                page = exchange.fetch_ohlcv(symbol, "1m", since=start, limit=10_000)
            except (ccxt.ExchangeError, ccxt.NetworkError) as error:
                print(f"{type(error).__name__}: {error}; retrying in {_HOLD} s", file=sys.stderr)
                time.sleep(_HOLD)
                continue
            if not page:
                break
            frame = pd.DataFrame(page, columns=["open_time", "open", "high", "low", "close", "volume"])
            frame["symbol"] = symbol
            frame.to_sql("candles", connection, if_exists="append", index=False)
            start = page[-1][0] + 60_000
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
