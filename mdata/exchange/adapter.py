"""What the rest of the package may use of an exchange: its facts, and how to connect to it.

Every command imports this, so the Protocols of the connections are named here without being imported.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from mdata.domain.timeframe import Timeframe
from mdata.domain.venue import Venue

if TYPE_CHECKING:
    from mdata.clock import Clock
    from mdata.exchange.protocols import Exchange, Line, OpenSession


class StreamAdapter(NamedTuple):
    """How an exchange's stream of candles is listened to.

    `key_of` names the channel of a symbol and a timeframe. `connect` opens a connection to an address; its second
    argument returns the current time (ms UTC). `session` takes the timeframe of each channel by its key, and when the
    connection was opened (boot time, s), and returns the state of that connection. `stamp_of` reads the exchange's
    own clock (ms UTC) from a message that contains it.
    """

    key_of: Callable[[str, str], str]
    connect: "Callable[[str, Callable[[], int]], AbstractContextManager[Line]]"
    session: "Callable[[Mapping[str, Timeframe], float], OpenSession]"
    stamp_of: Callable[[Any], int | None]


class Adapter(NamedTuple):
    """An exchange: its facts, and the code that communicates with it, imported when it is first called.

    `parse_symbol` returns the exchange's form of what people write for a pair, or raises ValueError with a sentence
    that can be shown to the user; `pair_of` does the reverse (`tAVAX:USD` → `AVAX/USD`). `open_rest` opens a
    connection to an address; its last argument is called with warnings. `ccxt_pair` returns base and quote as ccxt
    writes them. `open_stream` is None if the venue has no stream.
    """

    venue: Venue
    parse_symbol: Callable[[str], str]
    pair_of: Callable[[str], str]
    ccxt_pair: Callable[[str], tuple[str, str]]
    open_rest: "Callable[[str, Clock, Callable[[str], None]], Exchange]"
    open_stream: Callable[[], StreamAdapter] | None
