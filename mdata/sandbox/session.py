"""The conversation on one WebSocket connection: what it sends and when, and the answers to the client's events.

Facts from the exchange's documentation and from independent clients in 2026: an `info` event comes first; errors
leave the socket open; text that is not JSON is ignored; a socket that neither subscribed nor sent anything for a
minute is disconnected without a closing frame.
"""

import heapq
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from mdata.domain.timeframe import TIMEFRAMES
from mdata.sandbox.channels import NEVER, SNAPSHOT, Revision, Subject
from mdata.sandbox.stream import Stream

# Flags of the `conf` event: what is appended to every array.
TIMESTAMP, SEQ_ALL = 32_768, 65_536
_IDLE = 60_000
_BEAT = '"hb"'


class Wire(Protocol):
    """Where a session's messages go."""

    def text(self, text: str | bytes) -> None:
        """Send a text message; bytes are sent as they are, even if they are not text."""
        ...

    def binary(self, data: bytes) -> None:
        """Send a binary message."""
        ...

    def masked(self, text: str) -> None:
        """Send a text message masked, as only clients may."""
        ...

    def close(self, code: int) -> None:
        """Close the connection; 1006 disconnects without a closing frame."""
        ...


@dataclass(eq=False, slots=True)
class Subscription:
    """A subscription: its number, since when it is open (ms UTC), and the times at which it sends something."""

    number: int
    key: str
    subject: Subject
    opened: int
    moments: Iterator[tuple[int, int | None]]
    is_open: bool = True
    held: str | None = None


@dataclass(order=True, slots=True)
class _Due:
    """The next message of a channel."""

    at: int
    order: int
    channel: Subscription = field(compare=False)
    open_time: int | None = field(compare=False)


class Conversation:
    """A conversation over `wire` that began at `now` (ms UTC)."""

    def __init__(self, stream: Stream, wire: Wire, number: int, now: int) -> None:
        self._stream, self._wire, self.number = stream, wire, number
        self._channels: dict[int, Subscription] = {}
        self._due: list[_Due] = []
        self._flags = self._sequence = 0
        self._heard, self._revisions = now, len(stream.feed.revisions)
        self._answers: dict[str, Callable[[dict[str, Any], int], None]] = {
            "ping": self._ping, "conf": self._conf, "subscribe": self._subscribe, "unsubscribe": self._unsubscribe,
        }  # fmt: skip
        status = 0 if stream.is_resuming(now) else 1
        self._tell({"event": "info", "version": 2, "serverId": stream.server_id, "platform": {"status": status}})

    def due(self) -> int:
        """Return when (ms UTC) the next message is due without a request."""
        if self._due:
            return self._due[0].at
        return NEVER if self._channels else self._heard + _IDLE

    def step(self) -> None:
        """Send the message that is due first."""
        if not self._due:
            self._wire.close(1006)
            return
        due = self._due[0]
        if not due.channel.is_open:
            heapq.heappop(self._due)
            return
        if due.open_time is None:
            self._deliver(due.channel, _BEAT, due.at)
        elif candle := self._stream.feed.row(due.channel.subject, due.open_time, due.at):
            self._deliver(due.channel, candle, due.at)
        due.at, due.open_time = next(due.channel.moments)
        heapq.heapreplace(self._due, due)

    def catch_up(self, now: int) -> None:
        """Send the recent candles that have been revised since the last call, as they are at `now`."""
        news = self._stream.feed.revisions[self._revisions :]
        self._revisions += len(news)
        for revision in news:
            for channel in self._channels.values():
                if channel.subject == revision.subject and _is_recent(revision, now):
                    candle = self._stream.feed.row(channel.subject, revision.open_time, now)
                    if candle:
                        self._deliver(channel, candle, now)

    def heard(self, now: int) -> None:
        """Note that the client has sent something."""
        self._heard = now

    def receive(self, text: str, now: int) -> None:
        """Answer a message."""
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(event, dict):
            name = event.get("event")
            answer = self._answers.get(name) if isinstance(name, str) else None
            if answer:
                answer(event, now)
            else:
                self._refuse(10000, f"event: invalid ({name})", {})

    def _ping(self, event: dict[str, Any], now: int) -> None:
        self._tell({"event": "pong", "ts": now, **({"cid": event["cid"]} if "cid" in event else {})})

    def _conf(self, event: dict[str, Any], _: int) -> None:
        flags = event.get("flags", 0)
        if not isinstance(flags, int) or flags < 0:
            self._refuse(10050, "conf: invalid", {})
            return
        self._flags, self._sequence = flags, 0
        self._stream.note(self.number, "conf", key=str(flags))
        self._tell({"event": "conf", "status": "OK", "flags": flags})

    def _subscribe(self, event: dict[str, Any], now: int) -> None:
        asked: dict[str, Any] = {name: event[name] for name in ("channel", "key", "subId") if name in event}
        subject = _subject(event.get("key"))
        same = next((one for one in self._channels.values() if one.subject == subject), None)
        if event.get("channel") != "candles":
            self._refuse(10300, "channel: unknown", asked)
        elif subject is None:
            self._refuse(10300, "key: invalid", asked)
        elif subject.symbol not in self._stream.feed.market.symbols(now):
            self._refuse(10300, "symbol: invalid", asked)
        elif same:
            self._refuse(10301, "subscribe: dup", {**asked, "chanId": same.number})
        elif len(self._channels) >= self._stream.rule.channels:
            self._refuse(10305, "subscribe: limit", asked)
        else:
            self._open(subject, asked, now)

    def _open(self, subject: Subject, asked: dict[str, Any], now: int) -> None:
        number = self._stream.rng.randrange(1_000, 1_000_000)
        while number in self._channels:
            number += 1
        moments = self._stream.feed.moments(subject, now)
        channel = self._channels[number] = Subscription(number, asked["key"], subject, now, moments)
        self._stream.note(self.number, "subscribe", key=channel.key)
        is_early = self._stream.lasting("ws-early", subject, now)
        if not is_early:
            self._tell({"event": "subscribed", "chanId": number, **asked})
        if not self._is_muted(channel, now):
            self.send(channel, self._stream.feed.snapshot(subject, now))
        if is_early:
            self._tell({"event": "subscribed", "chanId": number, **asked})
        at, open_time = next(moments)
        heapq.heappush(self._due, _Due(at, number, channel, open_time))

    def _unsubscribe(self, event: dict[str, Any], _: int) -> None:
        # ccxt sends the number as text.
        number = str(event.get("chanId"))
        channel = next((one for one in self.channels() if str(one.number) == number), None)
        if channel is None:
            self._refuse(10400, "unsubscribe: invalid", {"chanId": event.get("chanId")})
            return
        channel.is_open = False
        del self._channels[channel.number]
        self._stream.note(self.number, "unsubscribe", key=channel.key)
        self._tell({"event": "unsubscribed", "status": "OK", "chanId": channel.number})

    def _refuse(self, code: int, text: str, asked: dict[str, Any]) -> None:
        key = asked.get("key")
        self._stream.note(self.number, "error", code, key if isinstance(key, str) else None)
        self._tell({"event": "error", "msg": text, "code": code, **asked})

    def _tell(self, event: dict[str, Any]) -> None:
        self._wire.text(json.dumps(event, separators=(",", ":")))

    def inform(self, code: int, text: str) -> None:
        """Send an `info` event."""
        self._tell({"event": "info", "code": code, "msg": text})

    def channels(self) -> list[Subscription]:
        """Return the channels that are open."""
        return list(self._channels.values())

    def forget(self) -> None:
        """Close all channels without telling the client."""
        for channel in self.channels():
            channel.is_open = False
        self._channels.clear()

    def _deliver(self, channel: Subscription, payload: str, at: int) -> None:
        """Send an update or a heartbeat, unless a current fault suppresses, repeats or reorders it."""
        if self._is_muted(channel, at):
            return
        if payload == _BEAT:
            self.send(channel, payload)
            return
        held, channel.held = channel.held, None
        if held is None and self._stream.lasting("ws-reorder", channel.subject, at):
            channel.held = payload
            return
        times = 2 if self._stream.lasting("ws-duplicate", channel.subject, at) else 1
        for one in [payload] * times + ([held] if held else []):
            self.send(channel, one)

    def _is_muted(self, channel: Subscription, at: int) -> bool:
        """Whether a `ws-silence` mutes the channel: one that was open when it began, or with `later` any channel."""
        found = self._stream.lasting("ws-silence", channel.subject, at)
        return found is not None and (found[0].parameters["later"] or channel.opened <= found[1])

    def send(self, channel: Subscription, payload: str) -> None:
        """Send an array on a channel, with the elements that the flags append."""
        tail = ""
        if self._flags & SEQ_ALL:
            self._sequence += 1
            tail += f",{self._sequence}"
        if self._flags & TIMESTAMP:
            tail += f",{self._stream.clock.now()}"
        self._wire.text(f"[{channel.number},{payload}{tail}]")


def _subject(key: Any) -> Subject | None:
    """Return the series of a key like `trade:1m:tBTCUSD`."""
    kind, timeframe, symbol = (*str(key).split(":", 2), "", "")[:3]
    return Subject(symbol, timeframe) if kind == "trade" and timeframe in TIMEFRAMES and symbol else None


def _is_recent(revision: Revision, now: int) -> bool:
    grid = TIMEFRAMES[revision.subject.timeframe]
    return grid.shift(now, -SNAPSHOT) <= revision.open_time <= now
