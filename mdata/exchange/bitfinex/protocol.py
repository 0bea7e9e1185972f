"""The messages of Bitfinex's candles WebSocket; rows are only checked for their shape, not for sane values."""

from dataclasses import dataclass

from mdata.domain.candle import Candle
from mdata.domain.claim import Faulty

# The codes for a channel that the exchange does not have: as observed, and as documented.
UNKNOWN_CODES = {10300, 10302}


@dataclass(frozen=True, slots=True)
class Subscribed:
    """From now on, frames with this number belong to the channel of this key."""

    key: str
    number: int


@dataclass(frozen=True, slots=True)
class NotSubscribed:
    """The exchange refuses a subscription; the key is empty if it does not say which."""

    key: str
    code: int
    text: str

    @property
    def is_unknown(self) -> bool:
        """Whether the exchange does not have the channel."""
        return self.code in UNKNOWN_CODES


@dataclass(frozen=True, slots=True)
class Notice:
    """An info event with a code: 20051 is a restart, 20060 and 20061 are begin and end of maintenance."""

    code: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What a channel shows: rows (`None`: a heartbeat), and the exchange's own clock if it was sent (ms UTC).

    A snapshot has the newest candles without a hole; an update is one whole candle of any interval.
    """

    number: int
    rows: tuple[Candle | Faulty, ...] | None
    is_snapshot: bool = False
    stamp: int | None = None


Message = Subscribed | NotSubscribed | Notice | Frame
