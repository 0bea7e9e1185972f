"""One WebSocket connection to Bitfinex, from opening to close: its channels, and reasons to drop it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mdata.domain.timeframe import Timeframe
from mdata.exchange.bitfinex.channel import Channel
from mdata.exchange.bitfinex.protocol import Frame, Message, Notice, NotSubscribed, Subscribed
from mdata.exchange.bitfinex.venue import BITFINEX

DEAD_AFTER = BITFINEX.stream.dead_after if BITFINEX.stream else 0.0
# How many frames are kept that came before the answer to their subscription; this answer is sometimes late.
MOST_EARLY = 64
# Notices after which all channels must be subscribed again.
_ANEW = {20051: "announced a restart", 20061: "has ended its maintenance"}


@dataclass(slots=True)
class Session:
    """The channels of one connection by their keys; `opened_at` and `boottime` are seconds of boot time.

    `refused` holds the subscriptions that the exchange refuses; `heard_at` is when a channel last showed anything.
    """

    channels: dict[str, Channel]
    opened_at: float
    refused: dict[str, NotSubscribed] = field(default_factory=dict)
    heard_at: float | None = None
    _notice: int | None = None
    _keys: dict[int, str] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    _early: list[tuple[Frame, int]] = field(default_factory=list)

    @classmethod
    def of(cls, timeframes: Mapping[str, Timeframe], boottime: float) -> "Session":
        """Return the state of a connection that is now open and asks for the channels of these keys."""
        return cls({key: Channel(timeframe) for key, timeframe in timeframes.items()}, boottime)

    def take(self, message: Message, at: int, boottime: float) -> None:
        """Take one message; `at` is the exchange's time, ms UTC. Messages of unknown channels are ignored."""
        if isinstance(message, Frame):
            self._show(message, at, boottime)
        elif isinstance(message, Notice):
            self._notice = message.code if message.code in _ANEW else self._notice
        elif message.key in self.channels:
            if isinstance(message, Subscribed):
                self._subscribe(message, boottime)
            elif message.key not in self._heard:
                self.refused[message.key] = message

    def fault(self, boottime: float) -> str | None:
        """Return why the connection should be given up now, or None while it works."""
        if self._notice is not None:
            return f"the exchange {_ANEW[self._notice]} ({self._notice})"
        dead = [key for key, heard in self._heard.items() if boottime - heard > DEAD_AFTER]
        if dead:
            return f"received nothing for {DEAD_AFTER:.0f} s on {', '.join(sorted(dead))}"
        if not self.is_answered and boottime - self.opened_at > DEAD_AFTER:
            return f"the exchange did not answer subscriptions within {DEAD_AFTER:.0f} s"
        return None

    @property
    def is_answered(self) -> bool:
        """Whether every subscription has been answered, one way or the other."""
        return len(self._heard) + len(self.refused) == len(self.channels)

    @property
    def subscribed(self) -> list[str]:
        """Return the keys of the channels that are subscribed to."""
        return list(self._heard)

    def has_more(self, now: int) -> bool:
        """Whether there is still something to store at `now` (ms UTC) after the connection has ended."""
        return any(channel.due_at_its_end(now) for channel in self.channels.values())

    def _subscribe(self, message: Subscribed, boottime: float) -> None:
        self._keys = {number: key for number, key in self._keys.items() if key != message.key}
        self._keys[message.number] = message.key
        self._heard[message.key] = boottime
        self.refused.pop(message.key, None)
        early, self._early = self._early, []
        for frame, at in early:
            self._show(frame, at, boottime)

    def _show(self, frame: Frame, at: int, boottime: float) -> None:
        key = self._keys.get(frame.number)
        if key is None:
            if not self.is_answered and len(self._early) < MOST_EARLY:
                self._early.append((frame, at))
            return
        self._heard[key] = self.heard_at = boottime
        channel = self.channels[key]
        if frame.rows is None:
            channel.beat(at)
        elif frame.is_snapshot:
            channel.snapshot(frame.rows, at)
        else:
            for row in frame.rows:
                channel.update(row, at)
