"""Which exchanges there are, and what a name means: the only place where a new exchange is registered.

A symbol may name its exchange before a colon (`bitfinex:BTCUSD`). The text before a colon only counts as an exchange
if an exchange of that name is registered, because a pair such as `AVAX:USD` contains a colon, too. A symbol without
an exchange belongs to the home exchange.
"""

from mdata.domain.escape import quote
from mdata.domain.timeframe import Timeframe
from mdata.domain.venue import Venue
from mdata.errors import StorageError
from mdata.exchange.adapter import Adapter
from mdata.exchange.bitfinex.adapter import ADAPTER as BITFINEX

ADAPTERS: dict[str, Adapter] = {one.venue.name: one for one in (BITFINEX,)}
HOME: Venue = BITFINEX.venue


def venues() -> list[Venue]:
    """Return all exchanges."""
    return [one.venue for one in ADAPTERS.values()]


def adapter(venue: Venue) -> Adapter:
    """Return the adapter of an exchange."""
    return ADAPTERS[venue.name]


def parse_symbol(text: str) -> str:
    """Return a pair as settings and options hold it.

    It is in the exchange's notation, prefixed with the exchange's name unless it is the home exchange. Anything that
    cannot be a pair raises ValueError with a sentence that can be shown to the user.
    """
    found, pair = _split(text)
    return qualified(found.venue.name, found.parse_symbol(pair))


def qualified(exchange: str, symbol: str) -> str:
    """Return how settings and options write a pair: `tBTCUSD`, or `name:SYMBOL` for other exchanges than home."""
    return symbol if exchange == HOME.name else f"{exchange}:{symbol}"


def resolve(name: str) -> tuple[Venue, str]:
    """Return the exchange of a name that `parse_symbol` has returned, and the pair in the exchange's notation."""
    found, symbol = _split(name)
    return found.venue, symbol


def _split(text: str) -> tuple[Adapter, str]:
    name, colon, pair = text.partition(":")
    found = ADAPTERS.get(name) if colon else None
    return (ADAPTERS[HOME.name], text) if found is None else (found, pair)


def pair_of(name: str) -> str:
    """Return how people write a name that `parse_symbol` has returned: `tAVAX:USD` → `AVAX/USD`."""
    venue, symbol = resolve(name)
    return qualified(venue.name, adapter(venue).pair_of(symbol))


def timeframes() -> dict[str, Timeframe]:
    """Return the timeframes of all exchanges by name, from fine to coarse."""
    found = [grid for venue in venues() for grid in venue.timeframes]
    return {grid.name: grid for grid in sorted(found, key=lambda grid: grid.order)}


def stored_grid(exchange: str, timeframe: str) -> tuple[Venue, Timeframe]:
    """Return the exchange and timeframe that a store calls by these names; raise StorageError for unknown ones."""
    if exchange not in ADAPTERS:
        raise StorageError(
            f"the store has a series of the exchange {quote(exchange)}, which this mdata does not know: "
            "update mdata, or remove that series"
        )
    venue = ADAPTERS[exchange].venue
    grid = venue.grid(timeframe)
    if grid is None:
        raise StorageError(
            f"the store has a series of the timeframe {quote(timeframe)}, which this mdata does not know: "
            "update mdata, or remove that series"
        )
    return venue, grid
