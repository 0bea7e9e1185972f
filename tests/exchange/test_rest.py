"""One request over a real socket to servers that misbehave: bounded in seconds and bytes, told in a sentence."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import NOW, SetClock
from raw_server import Serve, server
from raw_server import certificate as certificate  # a fixture  # noqa: PLC0414

from mdata.domain.interval import Range
from mdata.domain.query import Query
from mdata.domain.timeframe import DAY, TIMEFRAMES
from mdata.errors import BadAnswerError, ConfigurationError, GarbledError, RateLimitedError, UnreachableError
from mdata.exchange.bitfinex.rest import Rest
from mdata.exchange.bitfinex.venue import BITFINEX

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ASKED = Query(
    BITFINEX,
    "tBTCUSD",
    TIMEFRAMES["1m"],
    Range(NOW - NOW % DAY - DAY, NOW - NOW % DAY),
    newest_first=False,
    limit=10_000,
)


def ask(url: str, clock: SetClock | None = None, **limits: float) -> object:
    rest = Rest(url, clock or SetClock(), lambda _: None, **limits)
    try:
        return rest.candles(ASKED, lambda: None)
    finally:
        rest.close()


def drip(connection: socket.socket, start: bytes, piece: bytes) -> None:
    connection.recv(65536)
    connection.sendall(start)
    while True:
        time.sleep(0.02)
        connection.sendall(piece)


def drip_body(connection: socket.socket) -> None:
    drip(connection, HEAD + b"Content-Length: 1000000\r\n\r\n[", b"0")


def drip_endless_body(connection: socket.socket) -> None:
    drip(connection, HEAD + b"\r\n[", b" ")


def drip_head(connection: socket.socket) -> None:
    drip(connection, HEAD, b"x")


@pytest.mark.parametrize("serve", [drip_body, drip_endless_body, drip_head])
def test_a_dripping_answer_is_dropped_at_its_deadline(serve: Serve) -> None:
    began = time.monotonic()
    with server(serve) as url, pytest.raises(UnreachableError, match=r"incomplete after 0\.5 s"):
        ask(url, most_seconds=0.5)
    assert 0.5 <= time.monotonic() - began < 5


def test_a_silent_server_is_left(wait: Callable[..., None]) -> None:
    met = threading.Event()

    def stall(connection: socket.socket) -> None:
        connection.recv(65536)
        met.set()
        connection.recv(65536)  # comes back when the client has gone

    with server(stall) as url, pytest.raises(UnreachableError, match="timed out"):
        ask(url, idle_seconds=0.3)
    wait(met.is_set)


def test_an_answer_in_time_is_read_whole() -> None:
    def slowly(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n[")
        time.sleep(0.3)
        connection.sendall(b"]")

    with server(slowly) as url:
        assert ask(url, most_seconds=30) is not None


def test_a_connection_is_kept_while_others_have_their_slots() -> None:
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        connections.append(connection)
        while connection.recv(65536):
            connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n[]")

    with server(serve) as url:
        rest = Rest(url, SetClock(), lambda _: None)
        rest.candles(ASKED, lambda: None)
        time.sleep(6)  # the default delay; httpx by itself keeps an idle connection for five seconds
        rest.candles(ASKED, lambda: None)
        rest.close()
    assert len(connections) == 1


def answering(head: bytes, body: bytes = b"[]") -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    return serve


RETRY_AFTER = {
    b"63": 63.0, b"0": 0.0, b"-5": 0.0, b"86400": 86_400.0, b"1.5": 1.5, b"soon": None, b"": None, b"nan": 0.0,
    b"Sat, 01 Jun 2024 12:05:03 GMT": 60.0, b"Sat, 01 Jun 2024 12:03:00 GMT": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(("said", "seconds"), RETRY_AFTER.items())
@pytest.mark.parametrize("hours", [0, -1, 24 * 365])
def test_retry_after_in_every_form_whatever_the_local_clock_says(
    said: bytes, seconds: float | None, hours: int
) -> None:
    head = b"HTTP/1.1 429 Too Many\r\nDate: Sat, 01 Jun 2024 12:04:03 GMT\r\nRetry-After: " + said + b"\r\n"
    clock = SetClock(NOW + hours * 3_600_000)
    with server(answering(head, b'{"error":"ERR_RATE_LIMIT"}')) as url, pytest.raises(RateLimitedError) as told:
        ask(url, clock)
    assert told.value.retry_after == seconds


def test_an_address_without_its_version_is_told() -> None:
    body = b'{"message": "no Route matched"}'
    with server(answering(b"HTTP/1.1 404 Not Found\r\n", body)) as url, pytest.raises(BadAnswerError) as told:
        ask(url)
    assert str(told.value) == (
        "the exchange answered with HTTP status 404 and 'no Route matched'; check BITFINEX_REST_URL (it ends in /v2)"
    )


def test_a_packing_that_was_not_asked_for() -> None:
    with server(answering(HEAD + b"Content-Encoding: br\r\n")) as url, pytest.raises(BadAnswerError, match="'br'"):
        ask(url)


def test_damaged_packing_may_be_better_the_next_time() -> None:
    with server(answering(HEAD + b"Content-Encoding: gzip\r\n")) as url, pytest.raises(GarbledError, match="damaged"):
        ask(url)


def test_every_cut_of_an_answer_is_noticed(record_property: Callable[[str, object], None]) -> None:
    body = b"[[%d,1,1,1,1,1]]" % ASKED.range.start
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    record_property("hostile answers", len(range(0, len(whole), 7)))
    for length in range(0, len(whole), 7):

        def cut(connection: socket.socket, length: int = length) -> None:
            connection.recv(65536)
            connection.sendall(whole[:length])

        with server(cut) as url, pytest.raises(UnreachableError):
            ask(url)


def test_a_certificate_that_nobody_vouches_for_is_a_matter_of_configuration(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(65536)

    with server(serve) as url, pytest.raises(ConfigurationError, match=r"the certificate of .* is not trusted"):
        ask(url.replace("http:", "https:"))


def _read_and_leave(connection: socket.socket) -> None:
    connection.recv(100)


def test_a_handshake_that_breaks_off_may_succeed_later() -> None:
    with server(_read_and_leave) as url, pytest.raises(UnreachableError):
        ask(url.replace("http:", "https:"))


def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(UnreachableError, match="check the network and BITFINEX_REST_URL"):
        ask("https://exchange.invalid/v2")
