"""Symbols: what people write for a trading pair, and what Bitfinex calls it.

Bitfinex writes `t` and the pair in upper case. Pairs of six letters are joined (`tBTCUSD`); in its list of pairs,
every longer one has a colon (`tAVAX:USD`, `tTESTBTC:TESTUSD`, futures `tBTCF0:USTF0`). `f` and a currency (`fUSD`)
name funding, whose candles contain interest rates, not prices.
"""

import re

from mdata.domain.escape import quote

_PAIR = re.compile(r"([A-Z0-9]{6})|([A-Z0-9]{1,20})[:/]([A-Z0-9]{1,20})")
_FUNDING = re.compile(r"f[A-Z0-9]{2,}(:.*)?")
# Pairs without their colon are recognised by the currencies in which most pairs are quoted.
_UNDIVIDED = r"([A-Z0-9]{2,20})(USD|UST|EUR|GBP|JPY|BTC|ETH)"


def parse_symbol(text: str) -> str:
    """Return the exchange's form of a trading pair: `BTCUSD`, `BTC/USD`, `btcusd`, `tBTCUSD` → `tBTCUSD`.

    Anything that cannot be a pair raises ValueError with a sentence that can be shown to the user.
    """
    if _FUNDING.fullmatch(text):
        raise ValueError(f"{quote(text)} is a funding symbol; mdata only stores trading pairs (tBTCUSD)")
    # A lower-case `t` before capitals is the exchange's prefix; in `trxusd` the `t` belongs to the name.
    is_prefixed = text.startswith("t") and text[1:] == text[1:].upper()
    found = _PAIR.fullmatch((text[1:] if is_prefixed else text).upper()) if text.isascii() else None
    if not found:
        raise ValueError(f"{quote(text)} is not a trading pair; {_advice(text)}")
    joined, base, quoted = found.groups()
    if joined:
        return f"t{joined}"
    return f"t{base}{quoted}" if len(base + quoted) == 6 else f"t{base}:{quoted}"


def pair_of(symbol: str) -> str:
    """Return how people write a pair: `tAVAX:USD` → `AVAX/USD`."""
    return symbol[1:].replace(":", "/")


def _advice(text: str) -> str:
    """Return what to write instead."""
    pair = (text[1:] if text[:1] in {"t", "T"} else text).upper()
    if _PAIR.fullmatch(pair):
        return f"did you mean t{pair}?"
    if divided := re.fullmatch(_UNDIVIDED, pair):
        return f"did you mean {divided[1]}/{divided[2]}?"
    return "write it like BTCUSD, AVAX/USD or tAVAX:USD"
