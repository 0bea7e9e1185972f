"""The WebSocket client: what it makes of frames, and of servers that are none."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import NOW
from hypothesis import given
from hypothesis import strategies as st
from raw_server import certificate, server

from mdata.domain.claim import Faulty
from mdata.errors import BadAnswerError, ConfigurationError, MdataError, RateLimitedError, UnreachableError
from mdata.exchange.bitfinex.messages import read_message
from mdata.exchange.bitfinex.protocol import Frame, Notice, NotSubscribed, Subscribed
from mdata.exchange.bitfinex.socket import connect
from mdata.sandbox.server import Sandbox
from mdata.sandbox.wsfaults import StreamFault

__all__ = ["certificate"]

ROW = [NOW // 60_000 * 60_000, 1, 2.5, 3, 0.5, 8e-8]
CANDLE = (NOW // 60_000 * 60_000, 1, 3, 0.5, 2.5, 8e-8)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ([17, "hb"], Frame(17, None)),
        ([17, "hb", 42, NOW - 5], Frame(17, None, stamp=NOW - 5)),
        ([17, "hb", 42], Frame(17, None)),
        ([17, ROW], Frame(17, (CANDLE,))),
        ([17, [*ROW, "more"], NOW], Frame(17, (CANDLE,), stamp=NOW)),
        ([17, [ROW, ROW]], Frame(17, (CANDLE, CANDLE), is_snapshot=True)),
        ([17, []], Frame(17, (), is_snapshot=True)),
        ([17, ["x"]], Frame(17, (Faulty(None, '["x"]', "a candle must have six values"),))),
        ([17, "cs", -1], None),
        ({"event": "subscribed", "channel": "candles", "chanId": 5, "key": "k"}, Subscribed("k", 5)),
        ({"event": "error", "key": "k", "code": 10300, "msg": "invalid"}, NotSubscribed("k", 10300, "invalid")),
        ({"event": "error", "key": "k", "code": 10301, "msg": "subscribe: dup", "chanId": 5}, None),
        ({"event": "error", "code": 10000, "msg": "event: invalid"}, None),
        ({"event": "info", "version": 2, "platform": {"status": 1}}, None),
        ({"event": "info", "code": 20051, "msg": "…"}, Notice(20051)),
        ({"event": "conf", "status": "OK"}, None),
        ({"event": ["x"]}, None), ({}, None), ([], None), ([1], None), (["1", "hb"], None), ([True, "hb"], None),
        ("text", None), (7, None), (None, None),
    ],
)  # fmt: skip
def test_what_a_message_means(said: object, meant: object) -> None:
    assert read_message(json.loads(json.dumps(said)), NOW) == meant


NAMES = st.sampled_from(["event", "key", "code", "chanId", "msg"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("hb"),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(NAMES, inner),
)  # fmt: skip


@given(JSON)
def test_no_message_is_too_strange_to_be_read(said: object) -> None:
    read_message(said, NOW)


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Answer every connection with these bytes, whatever it says."""

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with server(serve) as url:
        yield url.replace("http:", "ws:")


def status(line: str, *headers: str) -> bytes:
    return ("\r\n".join([f"HTTP/1.1 {line}", *headers, "Content-Length: 0", "", ""])).encode()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status("429 Too Many Requests"), RateLimitedError),
        (status("408 Request Timeout"), UnreachableError),
        (status("403 Forbidden"), UnreachableError),
        (status("503 Service Unavailable"), UnreachableError),
        (status("200 OK"), BadAnswerError),
        (status("404 Not Found"), BadAnswerError),
        (status("101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"), UnreachableError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", UnreachableError),
        (b"", UnreachableError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, UnreachableError),
    ],
)
def test_a_handshake_that_is_none_is_explained(answer: bytes, error: type[MdataError]) -> None:
    with answering(answer) as url, pytest.raises(error), connect(url, lambda: NOW):
        pass


def test_redirects_are_not_followed(sandbox: Sandbox) -> None:
    answer = status("302 Found", f"Location: {sandbox.ws_url}")
    with answering(answer) as url, pytest.raises(BadAnswerError, match="302"), connect(url, lambda: NOW):
        pass
    assert sandbox.stream.log == []


def test_a_conversation(sandbox: Sandbox) -> None:
    with connect(sandbox.ws_url, lambda: NOW) as line:
        line.subscribe(["trade:1m:tBTCUSD", "trade:1m:tNOPUSD"])
        found = [line.receive(2) for _ in range(6)]
    kinds = [type(one) for one in found if one is not None]
    assert kinds == [Subscribed, Frame, NotSubscribed]
    snapshot = next(one for one in found if isinstance(one, Frame))
    assert snapshot.is_snapshot
    assert snapshot.rows is not None
    assert len(snapshot.rows) == 240
    assert snapshot.stamp == sandbox.clock.now()


def test_an_end_is_explained(sandbox: Sandbox) -> None:
    with connect(sandbox.ws_url, lambda: NOW) as line:
        sandbox.order([StreamFault.parse('{"kind": "ws-drop", "code": 1012}', sandbox.clock.now())])
        with pytest.raises(UnreachableError, match=r"closed \(code 1012"):
            [line.receive(1) for _ in range(5)]


def test_a_certificate_that_nobody_vouches_for_is_a_matter_of_configuration(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(4096)

    with server(serve) as url:
        opening = connect(url.replace("http:", "wss:"), lambda: NOW)
        with pytest.raises(ConfigurationError, match=r"the certificate of .* is not trusted"), opening:
            pass


def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(UnreachableError, match="BITFINEX_WS_URL"), connect("wss://exchange.invalid/ws", lambda: NOW):
        pass
