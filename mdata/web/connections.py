"""Connections of visitors: how long a request may take to arrive, and how many connections a visitor may hold.

If there are too many, the oldest idle one (usually an incomplete request) is closed for the newest; only if all of
them are being answered is the newest rejected.
"""

import asyncio
import contextlib
import http
import ipaddress
import socket
import struct
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mdata.web.guard import Receive, Scope, Send

# The time for a whole request, head and body, to arrive; and for a visitor to read some of a waiting answer.
_REQUEST_SECONDS = 10.0
_TAKING_SECONDS = 20.0

# The most connections of all visitors together, and of a single visitor: an address, an IPv6 network, or a user at
# the other end of a socket file.
MOST = 2000
_MOST_OF_ONE = 128


async def too_many(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an ASGI application
    """Answer that there is no room; the request is read first, or its sender would see a reset and no answer."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), (b"retry-after", b"5")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"Too many requests are being answered at the moment.\n"})


class VisitorConnection(H11Protocol):
    """A connection that is closed if its visitor is too slow, or if others need its place."""

    most: ClassVar[int] = MOST
    _arriving: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None
    _visitor: str = ""

    @property
    def asks_for_nothing(self) -> bool:
        """Whether the connection is idle: no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Give a new connection its place, and its visitor some seconds for a request."""
        super().connection_made(transport)
        self._visitor = _visitor(transport)
        self._await_request()
        others = _held.setdefault(self._visitor, {})
        has_room = len(others) < _MOST_OF_ONE or _make_room(others)
        if len(self.connections) > self.most:
            has_room = has_room and _make_room(max(_held.values(), key=len))
        others[self] = None
        if not has_room:
            self.app = too_many

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place."""
        super().connection_lost(exc)
        self._request_is_here()
        self._is_taking()
        mine = _held.get(self._visitor, {})
        mine.pop(self, None)
        if not mine:
            _held.pop(self._visitor, None)

    def data_received(self, data: bytes) -> None:
        """Take what arrives, and start or stop the timer of the request."""
        super().data_received(data)
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._request_is_here()
        elif self._arriving is None:
            self._await_request()

    def pause_writing(self) -> None:
        """Wait for a visitor who does not read, but not for ever."""
        super().pause_writing()
        self._taking = self.loop.call_later(_TAKING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Continue: the visitor has read something."""
        super().resume_writing()
        self._is_taking()

    def make_room(self) -> None:
        """Close an idle connection."""
        self.transport.abort()

    def _await_request(self) -> None:
        late = "The request took too long to arrive."
        self._arriving = self.loop.call_later(_REQUEST_SECONDS, self._refuse, 408, late)

    def _request_is_here(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _is_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _refuse(self, status: int, sentence: str) -> None:
        """Say why, unless an answer has been started, and close."""
        if not self.asks_for_nothing or self.transport.is_closing():
            self.transport.abort()
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        response = h11.Response(status_code=status, headers=headers, reason=http.HTTPStatus(status).phrase.encode())
        # If the answer was sent before the request was complete, no other answer is possible.
        with contextlib.suppress(h11.LocalProtocolError):
            for event in (response, h11.Data(data=f"{sentence}\n".encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


# The connections of each visitor, oldest first.
_held: dict[str, dict[VisitorConnection, None]] = {}


def _make_room(held: dict[VisitorConnection, None]) -> bool:
    """Close the oldest idle connection of these; return whether there was one."""
    for one in held:
        if one.asks_for_nothing and not one.transport.is_closing():
            one.make_room()
            return True
    return False


def _visitor(transport: asyncio.Transport) -> str:
    """Return the visitor at the other end: an address, or a user."""
    sock: Any = transport.get_extra_info("socket")
    if sock.family == socket.AF_UNIX:
        _, user, _ = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
        return f"user {user}"
    peer = transport.get_extra_info("peername")
    if peer is None:
        return ""  # it has disconnected already
    address = ipaddress.ip_address(peer[0].partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        # Whoever has one IPv6 address of a network has all of them.
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)
