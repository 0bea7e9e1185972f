"""HTTP to an exchange: one request, one answer, bounded in bytes and in seconds, never redirected.

Nothing is retried here; the caller and the shared rate budget decide whether and when to retry. How an answer is
decoded is left to the code of each exchange.
"""

import socket
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mdata import tls
from mdata.clock import Clock
from mdata.errors import BadAnswerError, ConfigurationError, GarbledError, UnreachableError
from mdata.version import __version__

# If click and rich are installed, httpx imports its own command line, and these two with it. That takes a third of
# httpx's start-up time, and the command line is never used here. This line makes httpx use its documented fallback
# for a missing command line instead.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

import httpx  # noqa: E402 - after the line above

if TYPE_CHECKING:
    from httpx import Response

# Three times a full page. Nested lists take fifty times as much memory as their text, and this memory must fit into a
# service with 256 MB.
MAX_BYTES = 3 * 1024 * 1024
_CONNECT_SECONDS = 10.0
# Keep idle connections longer than the usual wait for a slot, to avoid handshakes.
_KEPT_SECONDS = 60.0
_CHUNK = 64 * 1024


class HttpAnswer(NamedTuple):
    """An answer; `asked_at` (ms UTC) is the time of sending or the answer's date, if that is earlier.

    `retry_after` is how many seconds the answer asks to wait; None if it does not ask.
    """

    status: int
    body: bytes
    asked_at: int
    retry_after: float | None


class Http:
    """A connection to the API at `url`, which the setting `setting` names.

    `warn` is called if the local clock and the exchange's differ. An answer may take `most_seconds` from the first
    byte sent to the last one read, and pause for `idle_seconds`.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        warn: Callable[[str], None],
        setting: str,
        *,
        most_seconds: float = 60.0,
        idle_seconds: float = 20.0,
    ) -> None:
        self._url, self._clock, self._warn, self._setting = url.rstrip("/"), clock, warn, setting
        self._most_seconds = most_seconds
        self._socket: socket.socket | None = None
        self._is_late = False
        self._client = httpx.Client(
            follow_redirects=False,
            trust_env=False,
            # Authorities are loaded only where they are needed: that takes as long as a small request.
            verify=tls.context() if httpx.URL(url).scheme == "https" else False,
            timeout=httpx.Timeout(idle_seconds, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(keepalive_expiry=_KEPT_SECONDS),
            headers={"User-Agent": f"mdata/{__version__}", "Accept-Encoding": "gzip"},
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, path: str, parameters: Mapping[str, str | int], on_send: Callable[[], None]) -> HttpAnswer:
        """Return the answer to one request; `on_send` is called at the instant it leaves.

        Raise UnreachableError if none comes, BadAnswerError for one that is too large or redirects.
        """
        sent_at = self._clock.now()
        # Socket timeouts only cover pauses: they would never end an answer of one byte per second.
        watch = threading.Timer(self._most_seconds, self._break_off)
        watch.daemon = True
        self._is_late = False

        def trace(event: str, told: dict[str, Any]) -> None:
            nonlocal sent_at
            if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
                self._socket = told["return_value"].get_extra_info("socket")
            elif event == "http11.send_request_headers.started":
                on_send()
                sent_at = self._clock.now()
                watch.start()

        try:
            with self._client.stream(
                "GET", self._url + path, params=parameters, extensions={"trace": trace}
            ) as answer:
                body = _read(answer)
        except httpx.HTTPError as error:
            raise self._explained(error) from error
        finally:
            watch.cancel()
        if self._is_late:
            raise self._late()  # cut by the timer: a body of unknown length looks whole then
        if 300 <= answer.status_code < 400:
            raise BadAnswerError(
                f"the exchange answered with a redirect (HTTP status {answer.status_code}); "
                "mdata does not follow redirects"
            )
        asked_at = min(sent_at, self._date(answer, sent_at))
        return HttpAnswer(answer.status_code, body, asked_at, self._retry_after(answer))

    def _break_off(self) -> None:
        """Close the connection, so that a blocked reader returns at once."""
        self._is_late = True
        if self._socket is not None:
            with suppress(OSError):
                # Bypasses the methods of the TLS socket, because another thread is using them.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _late(self) -> UnreachableError:
        return UnreachableError(
            f"the exchange's answer was incomplete after {self._most_seconds:g} s and was discarded"
        )

    def _retry_after(self, answer: "Response") -> float | None:
        """Return how many seconds the Retry-After header (a number or a date) asks to wait, or None."""
        text = answer.headers.get("retry-after", "")
        try:
            return max(0.0, float(text))
        except ValueError:
            date = _instant(text)
        # A date in Retry-After refers to the exchange's clock, which the answer's own date shows.
        now = _instant(answer.headers.get("date", "")) or self._clock.now()
        return None if date is None else max(0.0, (date - now) / 1000)

    def _date(self, answer: "Response", sent_at: int) -> int:
        date = _instant(answer.headers.get("date", ""))
        if date is None:
            return sent_at
        if abs(date - sent_at) > 30_000:
            self._warn(
                f"the local clock is {abs(date - sent_at) // 1000} s "
                f"{'ahead of' if sent_at > date else 'behind'} the exchange's clock: check the time "
                "synchronisation"
            )
        # Dates have a resolution of one second; within that, the local clock is more precise.
        return sent_at if date > sent_at - 1000 else date

    def _explained(self, error: httpx.HTTPError) -> Exception:
        text = str(error) or type(error).__name__
        if self._is_late:
            return self._late()
        if "CERTIFICATE" in text:
            return ConfigurationError(
                f"the certificate of {self._url} is not trusted ({text}); {tls.advice(self._setting)}"
            )
        if isinstance(error, httpx.UnsupportedProtocol | httpx.DecodingError):
            return BadAnswerError(f"the answer of {self._url} cannot be read ({text})")
        if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
            return UnreachableError(
                f"the connection to {self._url} broke during the answer ({text}); nothing of the answer was stored"
            )
        return UnreachableError(f"{self._url} cannot be reached ({text}); check the network and {self._setting}")


def _read(answer: "Response") -> bytes:
    """Return the decompressed body; raise BadAnswerError if it is too large, or compressed in a way not requested."""
    encoding = answer.headers.get("content-encoding", "identity").lower()
    if encoding not in {"identity", "gzip"}:
        raise BadAnswerError(f"the exchange's answer is compressed as {encoding!r}, which was not requested")
    body = bytearray()
    for chunk in _unpacked(answer) if encoding == "gzip" else answer.iter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BadAnswerError(f"the exchange's answer is larger than {MAX_BYTES >> 20} MiB and was discarded")
    return bytes(body)


def _unpacked(answer: "Response") -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for packed in answer.iter_raw():
            rest = packed
            while rest:
                # At most one chunk at a time: a small packet may unpack to gigabytes.
                yield unpacker.decompress(rest, _CHUNK)
                rest = unpacker.unconsumed_tail
    except zlib.error as error:
        raise GarbledError("the exchange's compressed answer is damaged; nothing of it was stored") from error


def _instant(text: str) -> int | None:
    """Return the instant (ms UTC) of an HTTP date, or None if it is none."""
    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
