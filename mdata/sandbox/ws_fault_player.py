"""Carries out the WebSocket faults of one connection at their times."""

from collections.abc import Callable
from itertools import cycle, islice

from mdata.sandbox.channels import NEVER
from mdata.sandbox.session import Conversation, Wire
from mdata.sandbox.stream import Stream
from mdata.sandbox.wsfaults import StreamFault

_EVENT = '{"event":"info","version":2}'


class Unkind:
    """The faults of the connection that was opened at `now` (ms UTC)."""

    def __init__(self, stream: Stream, session: Conversation, wire: Wire, now: int) -> None:
        self._stream, self._session, self._wire, self._opened = stream, session, wire, now
        self._faults: list[StreamFault] = []
        self._struck: dict[StreamFault, int] = {}
        self._planned: tuple[int, list[str], StreamFault] | None = None
        self._acts: dict[str, Callable[[StreamFault, int], None]] = {
            "20051": lambda _, __: session.inform(20051, "stopping, please reconnect"),
            "20060": lambda _, __: session.inform(20060, "maintenance begins"),
            "20061": self._resume,
            "ws-drop": lambda fault, _: wire.close(fault.parameters["code"]),
            "ws-late": self._late,
            "ws-flood": self._flood,
            "ws-big": lambda fault, _: wire.text('"' + "x" * (fault.parameters["bytes"] - 2) + '"'),
            "ws-binary": lambda _, __: wire.binary(_EVENT.encode()),
            "ws-bad-utf8": lambda _, __: wire.text(b'["\xff\xfe"]'),
            "ws-masked": lambda _, __: wire.masked(_EVENT),
            "ws-unknown": self._unknown,
        }

    def due(self) -> int:
        """Return when (ms UTC) the next fault is due."""
        if self._faults is not self._stream.faults:
            self._faults = self._stream.faults
            self._plan()
        return self._planned[0] if self._planned else NEVER

    def step(self) -> None:
        """Carry out the fault that is due."""
        if self._planned is None:
            return
        at, acts, fault = self._planned
        for act in acts:
            self._acts[act](fault, at)
            self._stream.note(self._session.number, act)
        self._struck[fault] = at
        self._plan()

    def _plan(self) -> None:
        """Find the next fault; those that were due before the connection was opened do not affect it."""
        found = [(fault.next_acts(self._struck.get(fault, self._opened - 1)), fault) for fault in self._faults]
        planned = [(*acts, fault) for acts, fault in found if acts is not None]
        self._planned = min(planned, key=lambda one: one[0], default=None)

    def _resume(self, _: StreamFault, __: int) -> None:
        self._session.inform(20061, "maintenance has ended, please subscribe again")
        self._session.forget()

    def _late(self, fault: StreamFault, at: int) -> None:
        """Send candles from some intervals ago, with their current values."""
        for channel in filter(lambda one: fault.concerns(one.subject), self._session.channels()):
            open_time = self._stream.feed.newest(channel.subject, at, fault.parameters["intervals"])
            if open_time and (candle := self._stream.feed.row(channel.subject, open_time, at)):
                self._session.send(channel, candle)

    def _flood(self, fault: StreamFault, at: int) -> None:
        """Send the newest candles over and over, channel by channel."""
        newest = []
        for channel in filter(lambda one: fault.concerns(one.subject), self._session.channels()):
            open_time = self._stream.feed.newest(channel.subject, at)
            if open_time and (candle := self._stream.feed.row(channel.subject, open_time, at)):
                newest.append((channel, candle))
        for channel, candle in islice(cycle(newest), fault.parameters["messages"]):
            self._session.send(channel, candle)

    def _unknown(self, fault: StreamFault, at: int) -> None:
        """Send unknown things: a channel, events, a kind of message, additional elements in known messages."""
        for text in ("[1,[1,2,3,4,5,6]]", "[]", "[1]", "{}", "7", "null", '"text"', '{"event":["weather"]}',
                     '{"event":"weather","msg":"fine"}', '{"event":"info","code":29999,"msg":"?"}'):  # fmt: skip
            self._wire.text(text)
        for channel in filter(lambda one: fault.concerns(one.subject), self._session.channels()):
            self._session.send(channel, '"cs",-1')
            open_time = self._stream.feed.newest(channel.subject, at)
            if open_time and (candle := self._stream.feed.row(channel.subject, open_time, at)):
                self._session.send(channel, candle[:-1] + ',"more",null]')
