"""Which exchanges there are, and what a name means: the one place where a new exchange is registered.

A symbol may name its exchange before a colon (`bitfinex:BTCUSD`). What stands before a colon counts as that only
where it is the name of an exchange here: `AVAX:USD` has a colon of its own. Without a name it is the home exchange's.
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
    """Return what speaks to an exchange."""
    return ADAPTERS[venue.name]


def parse_symbol(text: str) -> str:
    """Return a pair as settings and options hold it: the exchange's form of it, after its name if that is not home.

    Raise ValueError, with a sentence fit to be shown, for anything that cannot be one.
    """
    found, pair = _split(text)
    return qualified(found.venue.name, found.parse_symbol(pair))


def qualified(exchange: str, symbol: str) -> str:
    """Return how a pair is written in settings and options: `tBTCUSD`, `name:SYMBOL` of any but the home exchange."""
    return symbol if exchange == HOME.name else f"{exchange}:{symbol}"


def resolve(name: str) -> tuple[Venue, str]:
    """Return the exchange of what `parse_symbol` has returned, and its own form of the pair."""
    found, symbol = _split(name)
    return found.venue, symbol


def _split(text: str) -> tuple[Adapter, str]:
    name, colon, pair = text.partition(":")
    found = ADAPTERS.get(name) if colon else None
    return (ADAPTERS[HOME.name], text) if found is None else (found, pair)


def pair_of(name: str) -> str:
    """Return how people write what `parse_symbol` has returned: `tAVAX:USD` → `AVAX/USD`."""
    venue, symbol = resolve(name)
    return qualified(venue.name, adapter(venue).pair_of(symbol))


def timeframes() -> dict[str, Timeframe]:
    """Return the timeframes of all exchanges by name, from fine to coarse."""
    found = [grid for venue in venues() for grid in venue.timeframes]
    return {grid.name: grid for grid in sorted(found, key=lambda grid: grid.order)}


def stored_grid(exchange: str, timeframe: str) -> tuple[Venue, Timeframe]:
    """Return what a store calls by these names; raise StorageError for what this mdata does not know."""
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
