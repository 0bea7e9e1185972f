"""Subscriptions that an exchange refuses or never answers, side by side: each is named at the end."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from conftest import Folder
from streams import fast as fast  # a fixture  # noqa: PLC0414
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

REFUSAL = {"event": "error", "msg": "symbol: invalid", "code": 10300}


def half_deaf(connection: ServerConnection) -> None:
    """Refuse a channel of tETHUSD, open one of tSPAUSD, and answer nothing about any other."""
    connection.send(json.dumps({"event": "info", "version": 2, "platform": {"status": 1}}))
    is_open = False
    with suppress(ConnectionClosed):
        while True:
            with suppress(TimeoutError):
                key = json.loads(connection.recv(0.1)).get("key", "")
                if "tETHUSD" in key:
                    connection.send(json.dumps({**REFUSAL, "channel": "candles", "key": key}))
                if "tSPAUSD" in key:
                    is_open = True
                    opened = {"event": "subscribed", "channel": "candles", "chanId": 7, "key": key}
                    connection.send(json.dumps(opened))
            if is_open:
                connection.send('[7,"hb"]')


@pytest.fixture
def url() -> Iterator[str]:
    with serve(half_deaf, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws/2"
        server.shutdown()
        thread.join()


def test_a_refused_channel_is_named_while_another_is_not_answered(folder: Folder, url: str) -> None:
    ended = folder.run("stream", "--for", "3s", "--json", SYMBOLS="BTCUSD,ETHUSD", BITFINEX_WS_URL=url)
    assert ended.exit == 78, ended.err
    assert "bitfinex:tETHUSD 1m: the exchange refused the channel: 'symbol: invalid' (code 10300)" in ended.err


def test_a_channel_that_is_never_answered_is_named(fast: Folder, url: str) -> None:
    ended = fast.run("stream", "--for", "100s", "--json", SYMBOLS="BTCUSD,SPAUSD", BITFINEX_WS_URL=url)
    assert ended.exit == 69, ended.err
    assert "bitfinex:tBTCUSD 1m: the exchange has not answered the subscription" in ended.err
