"""Bitfinex as the rest of the package uses it; modules that take long to import are imported only when needed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mdata.exchange.adapter import Adapter, StreamAdapter
from mdata.exchange.bitfinex.symbols import pair_of, parse_symbol
from mdata.exchange.bitfinex.venue import BITFINEX

if TYPE_CHECKING:
    from mdata.clock import Clock
    from mdata.exchange.protocols import Exchange


def _open_rest(url: str, clock: "Clock", warn: Callable[[str], None]) -> "Exchange":
    from mdata.exchange.bitfinex.rest import Rest

    return Rest(url, clock, warn)


def _open_stream() -> StreamAdapter:
    from mdata.exchange.bitfinex.connection import Session
    from mdata.exchange.bitfinex.messages import key_of, stamp_of
    from mdata.exchange.bitfinex.socket import connect

    return StreamAdapter(key_of, connect, Session.of, stamp_of)


def _ccxt_pair(symbol: str) -> tuple[str, str]:
    from mdata.exchange.bitfinex.ccxt import ccxt_pair

    return ccxt_pair(symbol)


ADAPTER = Adapter(BITFINEX, parse_symbol, pair_of, _ccxt_pair, _open_rest, _open_stream)
