"""How freqtrade, which uses ccxt, names the files in which it looks for candles."""


def file_of(base: str, quoted: str, timeframe: str) -> str:
    """Return the name of the file of a pair whose currencies are named as in ccxt: `BTC_USD-1m.feather`."""
    # freqtrade writes days and weeks in lower case, and months so that no file system confuses them with minutes.
    name = {"1D": "1d", "1W": "1w", "1M": "1Mo"}.get(timeframe, timeframe)
    return f"{base}_{quoted}-{name}.feather".replace(" ", "_")
