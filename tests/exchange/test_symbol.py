"""Symbols: every way of writing a pair leads to the exchange's own, and nothing else gets through."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdata.exchange.bitfinex.symbols import parse_symbol

CURRENCY = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=20)
# What may stand in a request's path and in a file's name; the longest is far below any limit on names.
SAFE = re.compile(r"t[A-Z0-9]{6}|t[A-Z0-9]{1,20}:[A-Z0-9]{1,20}")


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("BTCUSD", "tBTCUSD"), ("BTC/USD", "tBTCUSD"), ("BTC:USD", "tBTCUSD"), ("btcusd", "tBTCUSD"),
        ("btc/usd", "tBTCUSD"), ("tBTCUSD", "tBTCUSD"), ("tBTC:USD", "tBTCUSD"), ("Btcusd", "tBTCUSD"),
        ("AVAX:USD", "tAVAX:USD"), ("tAVAX:USD", "tAVAX:USD"), ("AVAX/USD", "tAVAX:USD"), ("avax/usd", "tAVAX:USD"),
        ("tTESTBTC:TESTUSD", "tTESTBTC:TESTUSD"), ("BTCF0:USTF0", "tBTCF0:USTF0"), ("1INCH/USD", "t1INCH:USD"),
        # A small t or f begins these currencies' own names.
        ("trxusd", "tTRXUSD"), ("tTRXUSD", "tTRXUSD"), ("filusd", "tFILUSD"), ("theta/usd", "tTHETA:USD"),
    ],
)  # fmt: skip
def test_what_people_write_becomes_what_the_exchange_calls_it(written: str, symbol: str) -> None:
    assert parse_symbol(written) == symbol


@pytest.mark.parametrize(
    "written",
    [
        "", " ", "t", "BTC", "tBTC", "../../x", "/etc/passwd", "t/BTC", "tBTC%2F", "tBTC%3AUSD", "tBTC\n",
        "tBTCUSD\n", "\ntBTCUSD", " BTCUSD", "BTC USD", "BTC-USD", "BTC_USD", "BTC//USD", "BTC:USD:USD", "BTC/",
        "/USD", ":", "t:", "BTCUSD;", "BTC'USD", "BTC\x00USD", "BTC\x1bUSD",
        "ＢＴＣＵＳＤ", "ßTCUS", "BTCUSÐ", "١٢٣٤٥٦", "AVAXUSD",
        "tAVAXUSD", "t" * 10_240, "A" * 21 + "/USD", "hist", "?x=1", "tBTCUSD?limit=1", "tBTCUSD/../x",
        "trade:1m:tBTCUSD",
    ],
)  # fmt: skip
def test_what_is_no_pair_is_refused_in_one_short_printable_sentence(written: str) -> None:
    with pytest.raises(ValueError, match="is not a trading pair; ") as refused:
        parse_symbol(written)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 160


@pytest.mark.parametrize("written", ["fUSD", "fBTC", "fUSD:p30", "fUSD:a30:p2:p30"])
def test_funding_is_refused_with_the_reason(written: str) -> None:
    with pytest.raises(ValueError, match="funding symbol"):
        parse_symbol(written)


@pytest.mark.parametrize(
    ("written", "meant"), [("tAVAXUSD", "AVAX/USD"), ("AVAXUST", "AVAX/UST"), ("tbtcusd", "tBTCUSD")]
)
def test_a_near_miss_is_answered_with_the_pair_that_was_meant(written: str, meant: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"did you mean {meant}?")):
        parse_symbol(written)
    assert SAFE.fullmatch(parse_symbol(meant))


@given(CURRENCY, CURRENCY)
def test_a_pair_is_joined_when_it_has_six_letters_and_has_a_colon_otherwise(base: str, quoted: str) -> None:
    symbol = parse_symbol(f"{base}/{quoted}")
    assert symbol in {f"t{base}{quoted}", f"t{base}:{quoted}"}
    assert (":" in symbol) == (len(base) + len(quoted) != 6)
    assert parse_symbol(symbol) == symbol


@given(st.text() | st.text("tfBTCUSD:/.%\\?#\n ", max_size=14))
def test_whatever_comes_in_only_safe_symbols_come_out(text: str) -> None:
    try:
        symbol = parse_symbol(text)
    except ValueError:
        return
    assert SAFE.fullmatch(symbol)
