"""A client of the sandbox's WebSocket that knows nothing of mdata."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import SetClock
from websockets.sync.client import ClientConnection, connect

from mdata.sandbox.market import Market
from mdata.sandbox.server import Sandbox

MINUTE = 60_000


BTC = "trade:1m:tBTCUSD"


class Client:
    """A WebSocket client that says and hears JSON."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def say(self, **event: Any) -> None:
        self.socket.send(json.dumps(event))

    def hear(self) -> Any:
        return json.loads(self.socket.recv(timeout=10))

    def ask(self, **event: Any) -> Any:
        self.say(**event)
        return self.hear()

    def subscribe(self, key: str = BTC, **more: Any) -> tuple[int, list[list[Any]]]:
        """Subscribe; give the channel's number and the snapshot."""
        told = self.ask(event="subscribe", channel="candles", key=key, **more)
        assert told["event"] == "subscribed", told
        number, snapshot = self.hear()[:2]
        assert number == told["chanId"]
        return number, snapshot

    def until(self, is_last: Callable[[Any], bool]) -> list[Any]:
        """Hear messages up to the one that is the last."""
        heard = [self.hear()]
        while not is_last(heard[-1]):
            heard.append(self.hear())
        return heard

    def hush(self) -> list[Any]:
        """Give what has been said so far, and no more: a pong comes after all of it."""
        self.say(event="ping", cid="hush")
        return self.until(lambda message: isinstance(message, dict) and message.get("cid") == "hush")[:-1]


@contextmanager
def client(sandbox: Sandbox) -> Iterator[Client]:
    # A client that leaves without having read everything would wait long for the end of the other side.
    with connect(sandbox.ws_url, compression=None, close_timeout=0.2) as socket:
        ours = Client(socket)
        info = ours.hear()
        assert info["event"] == "info"
        yield ours


@pytest.fixture
def exchange(market: Market, clock: SetClock) -> Iterator[Callable[..., Sandbox]]:
    """Starts sandboxes on the set clock."""
    running: list[Sandbox] = []

    def start(**options: Any) -> Sandbox:
        running.append(Sandbox(market, clock, **options).__enter__())
        return running[-1]

    yield start
    for one in running:
        one.__exit__()


def pass_time(clock: SetClock, told: Client, minutes: int, step: int = 1_000) -> list[Any]:
    """Let time pass; give what was heard meanwhile, each message with the time after it came."""
    heard = []
    for _ in range(minutes * MINUTE // step):
        clock.advance(step)
        heard += [(clock.now(), message) for message in told.hush()]
    return heard
