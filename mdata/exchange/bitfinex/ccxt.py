"""How ccxt names Bitfinex's pairs."""

# The exchange's name of a currency → ccxt's name, if they differ (`commonCurrencies`); a test compares them.
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

    A derivative raises ValueError with a sentence that can be shown to the user: its candles belong to another
    market.
    """
    pair = symbol.removeprefix("t")
    base, _, quoted = pair.partition(":") if ":" in pair else (pair[:3], "", pair[3:])
    if base.endswith("F0") and quoted.endswith("F0"):
        raise ValueError(f"{symbol} is a derivative; only spot pairs can be exported for freqtrade")
    return CURRENCIES.get(base, base), CURRENCIES.get(quoted, quoted)
