"""What ccxt, and freqtrade which rests on it, call the pairs of Bitfinex."""

# The exchange's name of a currency → ccxt's, where they differ (`commonCurrencies`); a test compares them.
CURRENCIES = {
    "ALG": "ALGO", "AMP": "AMPL", "ATO": "ATOM", "BCHABC": "XEC", "BCHN": "BCH", "BCHSV": "BSV",
    "DAT": "DATA", "DOG": "MDOGE", "DSH": "DASH", "EDO": "PNT", "EUS": "EURS", "EUT": "EURT",
    "EUTF0": "EURT", "HTX": "HT", "IDX": "ID", "IOT": "IOTA", "IQX": "IQ", "LUNA": "LUNC",
    "LUNA2": "LUNA", "MNA": "MANA", "ORS": "ORS Group", "PAS": "PASS", "QSH": "QASH", "QTM": "QTUM",
    "RBT": "RBTC", "SNG": "SNGLS", "STJ": "STORJ", "TERRAUST": "USTC", "TSD": "TUSD", "UDC": "USDC",
    "UST": "USDT", "USTF0": "USDT", "VSY": "VSYS", "WAX": "WAXP", "XBT": "BTC", "XCH": "XCHF",
    "YGG": "YEED", "YYW": "YOYOW", "ZBT": "ZB",
}  # fmt: skip


def ccxt_pair(symbol: str) -> tuple[str, str]:
    """Return base and quote of a trading pair as ccxt writes them: `tBTCUST` → BTC, USDT.

    Raise ValueError, with a sentence fit to be shown, for a derivative: its candles are those of another market.
    """
    pair = symbol.removeprefix("t")
    base, _, quoted = pair.partition(":") if ":" in pair else (pair[:3], "", pair[3:])
    if base.endswith("F0") and quoted.endswith("F0"):
        raise ValueError(f"{symbol} is a derivative; freqtrade gets pairs of the spot market only")
    return CURRENCIES.get(base, base), CURRENCIES.get(quoted, quoted)


def freqtrade_name(symbol: str, timeframe: str) -> str:
    """Return the name of the file in which freqtrade looks for a pair: `BTC_USD-1m.feather`."""
    base, quoted = ccxt_pair(symbol)
    # It writes days and weeks with a small letter, and months so that no file system takes them for minutes.
    name = {"1D": "1d", "1W": "1w", "1M": "1Mo"}.get(timeframe, timeframe)
    return f"{base}_{quoted}-{name}.feather".replace(" ", "_")
