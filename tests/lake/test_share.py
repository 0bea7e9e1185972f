"""`SHARE`: which symbols a host serves, where several share them."""

import json
from dataclasses import replace

import pytest
from conftest import Folder
from hypothesis import given
from hypothesis import strategies as st

from mdata.config import load
from mdata.config.listed import listing
from mdata.domain.share import Share
from mdata.errors import ConfigurationError

SYMBOLS = "BTCUSD,ETHUSD,XRPUSD,ADAUSD,SOLUSD,LTCUSD,EOSUSD,NEOUSD"
ENVIRON = {"HOME": "/h", "MDATA_ENV_FILE": "/dev/null", "SYMBOLS": SYMBOLS}


def symbols(**settings: str) -> tuple[str, ...]:
    return load(environ={**ENVIRON, **settings}).settings.symbols


def test_the_shares_together_are_all_symbols() -> None:
    parts = [symbols(SHARE=f"{number}/3") for number in (1, 2, 3)]
    assert sorted(symbol for part in parts for symbol in part) == sorted(symbols())
    assert symbols(SHARE="1/1") == symbols(SHARE="") == symbols()


@given(
    st.sets(st.text("ABCDEFG", min_size=6, max_size=6)), st.text("ABCDEFG", min_size=6, max_size=6), st.integers(1, 9)
)
def test_a_new_pair_moves_no_other(known: set[str], new: str, of: int) -> None:
    for number in range(1, of + 1):
        share = Share(number, of)
        assert set(share.of_these(known)) == set(share.of_these(known | {new})) - ({new} - known)


def test_what_is_named_is_served_whatever_the_share() -> None:
    (missing,) = (number for number in (1, 2) if "tBTCUSD" not in symbols(SHARE=f"{number}/2"))
    found = load(overrides={"SYMBOLS": "BTCUSD"}, environ={**ENVIRON, "SHARE": f"{missing}/2"})
    assert found.settings.symbols == ("tBTCUSD",)


@pytest.mark.parametrize("text", ["0/5", "6/5", "2", "2/0", "a/b", "-1/2", "2/5/7", "1/99999"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a share; write 2/5 for the second of five"):
        symbols(SHARE=text)


def test_a_share_without_symbols_is_told() -> None:
    (empty,) = (number for number in (1, 2) if not Share(number, 2).has("tBTCUSD"))
    with pytest.raises(ConfigurationError, match=f"environment: SHARE={empty}/2 leaves none of SYMBOLS to this host"):
        symbols(SYMBOLS="BTCUSD", SHARE=f"{empty}/2")


def test_it_is_shown_as_it_was_written() -> None:
    shown = {row.name: row.value for row in listing(load(environ={**ENVIRON, "SHARE": "2/3"}))}
    assert (shown["SHARE"], shown["SYMBOLS"].count(",") + 1) == ("2/3", len(symbols(SHARE="2/3")))


def test_each_host_fetches_its_own_and_the_lake_has_all(folder: Folder) -> None:
    folder.sandbox.market.pairs |= {
        f"t{one}USD": replace(folder.sandbox.market.pairs["tBTCUSD"], symbol=f"t{one}USD")
        for one in ("ETH", "XRP", "ADA")
    }
    folder.settings.update(SYMBOLS="BTCUSD,ETHUSD,XRPUSD,ADAUSD", TIMEFRAMES="1D", BACKFILL_DAYS="70")
    folder.settings.update(PUBLISH_AFTER_DAYS="0")
    for number in (1, 2):
        settings = {"SHARE": f"{number}/2", "DATABASE_PATH": str(folder.path / f"{number}.db")}
        assert folder.run("backfill", **settings).exit == 0
        assert folder.run("publish", "lake", **settings).exit == 0
    found = json.loads(folder.run("lake", "status", "lake", "--json").out)["lake"]
    assert [one["symbol"] for one in found] == ["tADAUSD", "tBTCUSD", "tETHUSD", "tXRPUSD"]
