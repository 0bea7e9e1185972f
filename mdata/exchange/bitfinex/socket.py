"""One WebSocket connection to Bitfinex: bounded in time and size, never redirected, never reconnected by itself.

Frames are decoded to messages; the caller decides when to reconnect. No pings are sent, because the exchange's own
heartbeats tell more: a connection may answer pings long after its data have stopped.
"""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_websocket

from mdata import tls
from mdata.domain.escape import quote
from mdata.errors import BadAnswerError, ConfigurationError, MdataError, RateLimitedError, UnreachableError
from mdata.exchange.bitfinex.messages import TIMESTAMP, read_message, subscription
from mdata.exchange.bitfinex.protocol import Message
from mdata.exchange.bitfinex.wire import decode
from mdata.version import __version__

MAX_BYTES = 1024 * 1024  # of one message; a snapshot has 20 KiB
_MAX_FRAMES = 64  # read ahead; nothing more is read until they are taken
_OPEN_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
# How the exchange's gateway answers new connections during maintenance.
_WAIT_STATUSES = {403, 408}


def _died(told: threading.ExceptHookArgs) -> None:
    """Print nothing if the library's thread ends at a limit of the machine: the lost connection is reported."""
    if not isinstance(told.exc_value, OSError | MemoryError):
        threading.__excepthook__(told)


threading.excepthook = _died


class Socket:
    """An open connection; `now` gives the wall time, ms UTC."""

    def __init__(self, connection: ClientConnection, now: Callable[[], int]) -> None:
        self._connection, self._now = connection, now

    def subscribe(self, keys: list[str]) -> None:
        """Ask for the exchange's clock in every frame, and for channels."""
        self._send({"event": "conf", "flags": TIMESTAMP})
        for key in keys:
            self._send(subscription(key))

    def receive(self, seconds: float) -> Message | None:
        """Return the next message; None if it is irrelevant, or if none comes within `seconds` of real time.

        Raise UnreachableError if the connection has ended, BadAnswerError for invalid messages.
        """
        try:
            # The frame is not decoded here: the JSON parser detects the encoding, and reads a binary frame like any
            # other.
            frame = self._connection.recv(seconds, decode=False)
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            raise _ended(error) from error
        return read_message(decode(frame), self._now())

    def _send(self, event: Mapping[str, object]) -> None:
        try:
            self._connection.send(json.dumps(event))
        except ConnectionClosed as error:
            raise _ended(error) from error


@contextmanager
def connect(url: str, now: Callable[[], int]) -> Iterator[Socket]:
    """Give an open connection, and close it at the end; raise an MdataError that says why it cannot be opened."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(_opened(url))
        except (OSError, ValueError, EOFError, InvalidHandshake) as error:
            raise _explained(url, error) from error
        yield Socket(connection, now)


def _opened(url: str) -> ClientConnection:
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80))
    return open_websocket(
        url,
        # A given socket prevents redirects to another host.
        sock=socket.create_connection(address, timeout=_OPEN_SECONDS),
        ssl=tls.context() if parts.scheme == "wss" else None,
        proxy=None,
        compression=None,
        user_agent_header=f"mdata/{__version__}",
        open_timeout=_OPEN_SECONDS,
        close_timeout=_CLOSE_SECONDS,
        ping_interval=None,
        max_size=MAX_BYTES,
        max_queue=_MAX_FRAMES,
    )


def _ended(error: ConnectionClosed) -> UnreachableError:
    closing = error.rcvd or error.sent
    if closing is None:
        return UnreachableError("the connection was lost")
    reason = f", {quote(closing.reason)}" if closing.reason else ""
    return UnreachableError(f"the connection was closed (code {closing.code}{reason})")


def _explained(url: str, error: Exception) -> MdataError:
    text = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConfigurationError(
            f"the certificate of {url} is not trusted ({text}); {tls.advice('BITFINEX_WS_URL')}"
        )
    # The library reports a redirect as an error, because it may not follow it.
    answer = error.__cause__ if isinstance(error, ValueError) else error
    if isinstance(answer, InvalidStatus):
        status = answer.response.status_code
        if status == 429:
            return RateLimitedError("the exchange refuses the connection: too many were opened")
        if status in _WAIT_STATUSES or status >= 500:
            return UnreachableError(f"the exchange refuses a new connection with HTTP status {status}")
        return BadAnswerError(f"{url} answers with HTTP status {status}; check BITFINEX_WS_URL")
    return UnreachableError(f"{url} cannot be reached ({text}); check the network and BITFINEX_WS_URL")
