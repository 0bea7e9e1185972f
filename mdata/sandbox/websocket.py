"""WebSocket on the HTTP port: the handshake, the frames, and the wait for what is due next.

The websockets library handles frames and handshakes, but not input and output.
"""

import select
import socket
from collections import deque
from collections.abc import Iterable
from email.utils import formatdate

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import SEND_EOF, State
from websockets.server import ServerProtocol

from mdata.sandbox.session import Conversation
from mdata.sandbox.stream import Stream
from mdata.sandbox.ws_fault_player import Unkind

# How many messages are sent before input is read; how long a client may take to close.
_BATCH, _CLOSING_SECONDS = 256, 5.0
_LONGEST_WAIT = 3600.0
_ABNORMAL = 1006


class ServerSocket:
    """A connected socket that speaks WebSocket."""

    def __init__(self, connection: socket.socket, stream: Stream) -> None:
        self._connection, self._stream = connection, stream
        self._protocol = ServerProtocol()
        self._unfinished = ""
        self.is_aborted = False

    @property
    def is_open(self) -> bool:
        """Whether messages may be sent."""
        return self._protocol.state is State.OPEN and not self.is_aborted

    @property
    def close_code(self) -> int:
        """The closing code that one side has sent; 1006 if neither has."""
        close = self._protocol.close_rcvd or self._protocol.close_sent
        return close.code if close and not self.is_aborted else _ABNORMAL

    def shake_hands(self, target: str, headers: Iterable[tuple[str, str]], status: int) -> int:
        """Prepare the answer to a handshake with these headers; return its status: 101 accepts it."""
        request = Request(target, Headers(headers))
        # The library's state machine must read the request itself.
        self._protocol.receive_data(request.serialize())
        self._protocol.events_received()
        text = "the sandbox refuses this connection\n"
        response = self._protocol.accept(request) if status == 101 else self._protocol.reject(status, text)
        del response.headers["Date"]
        response.headers["Date"] = formatdate(self._stream.clock.now() / 1000, usegmt=True)
        self._protocol.send_response(response)
        return response.status_code

    def text(self, text: str | bytes) -> None:
        """Send a text message; bytes are sent as they are, even if they are not text."""
        if self.is_open:
            self._protocol.send_text(text.encode() if isinstance(text, str) else text)

    def binary(self, data: bytes) -> None:
        """Send a binary message."""
        if self.is_open:
            self._protocol.send_binary(data)

    def masked(self, text: str) -> None:
        """Send a text message masked, as only clients may."""
        self.flush()
        self._connection.sendall(Frame(Opcode.TEXT, text.encode()).serialize(mask=True))

    def close(self, code: int) -> None:
        """Close the connection; 1006 disconnects without a closing frame."""
        if code == _ABNORMAL:
            self.is_aborted = True
        elif self.is_open:
            self._protocol.send_close(code)

    def flush(self) -> None:
        """Pass what has been sent to the network; this waits for a client that does not read."""
        data = self._protocol.data_to_send()
        if data:
            self._connection.sendall(b"".join(data))
        if SEND_EOF in data:
            self._connection.shutdown(socket.SHUT_WR)

    def wait(self, seconds: float, woken: socket.socket) -> bool:
        """Wait up to `seconds` for input, and return whether there is any; `woken` ends the wait too."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        poll.register(woken, select.POLLIN)
        ready = {file for file, _ in poll.poll(min(max(0.0, seconds), _LONGEST_WAIT) * 1000)}
        if woken.fileno() in ready:
            woken.recv(4096)
        return self._connection.fileno() in ready

    def receive(self) -> list[str]:
        """Return the messages that have arrived."""
        data = self._connection.recv(65_536)
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        return [text for event in self._protocol.events_received() if (text := self._text(event)) is not None]

    def _text(self, event: object) -> str | None:
        """Return the message that a frame completes."""
        if not isinstance(event, Frame) or event.opcode not in {Opcode.TEXT, Opcode.CONT}:
            return None
        self._unfinished += bytes(event.data).decode("utf-8", "replace")
        if not event.fin:
            return None
        text, self._unfinished = self._unfinished, ""
        return text

    def end(self) -> None:
        """Wait until the client has closed its side too."""
        self._connection.settimeout(_CLOSING_SECONDS)
        self.flush()
        while self._protocol.state is State.CLOSING and not self.is_aborted:
            self.receive()
            self.flush()


def converse(stream: Stream, connection: socket.socket, target: str, headers: Iterable[tuple[str, str]]) -> None:
    """Serve a connection whose handshake had these headers, until one side closes it."""
    connection.settimeout(None)
    ours = ServerSocket(connection, stream)
    number, status = stream.admit()
    stream.note(number, "handshake", ours.shake_hands(target, headers, status))
    ours.flush()
    if not ours.is_open:
        return
    try:
        if code := stream.closing_code():
            ours.close(code)
        with stream.listening() as woken:
            _talk(stream, number, ours, woken)
        ours.end()
    finally:
        stream.note(number, "closed", ours.close_code)


def _talk(stream: Stream, number: int, ours: ServerSocket, woken: socket.socket) -> None:
    clock = stream.clock
    session = Conversation(stream, ours, number, clock.now())
    unkind = Unkind(stream, session, ours, clock.now())
    texts: deque[str] = deque()
    while True:
        now = clock.now()
        _do_what_is_due(now, session, unkind, ours)
        # Messages that were due before the client's message arrived are sent before the answer to it.
        if texts and min(session.due(), unkind.due()) > now:
            session.receive(texts.popleft(), now)
        ours.flush()
        if not ours.is_open:
            return
        left = 0 if texts else min(session.due(), unkind.due()) - clock.now()
        if ours.wait(clock.real(left / 1000), woken):
            session.heard(clock.now())
            texts.extend(ours.receive())


def _do_what_is_due(now: int, session: Conversation, unkind: Unkind, ours: ServerSocket) -> None:
    """Do what is due at `now`, in order of time, but not too much at once."""
    session.catch_up(now)
    for _ in range(_BATCH):
        truth, fault = session.due(), unkind.due()
        if min(truth, fault) > now or not ours.is_open:
            break
        if truth <= fault:
            session.step()
        else:
            unkind.step()
