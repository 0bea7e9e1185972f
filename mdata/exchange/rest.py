"""Bitfinex's public REST API over HTTP: one request, one answer, bounded in bytes and in seconds.

Nothing is tried again here; whether and when is decided by the caller and the shared rate budget.
"""

import socket
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from mdata import __version__, tls
from mdata.clock import Clock
from mdata.domain.interval import Range
from mdata.domain.query import Page, Query
from mdata.domain.timeframe import Timeframe
from mdata.errors import BadAnswerError, ConfigurationError, GarbledError, UnreachableError
from mdata.exchange import wire

# httpx imports its own command line, and with it click and rich, wherever those are installed: a third of its
# start-up time, never used here. Its documented fallback for a missing one is taken instead.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

import httpx  # noqa: E402 - after the line above

if TYPE_CHECKING:
    from httpx import Response

# Three times a full page. Nested lists unpack to fifty times their text, which a service of 256 MB must bear.
MAX_BYTES = 3 * 1024 * 1024
_CONNECT_SECONDS = 10.0
# An idle connection is kept for longer than the longest usual wait for a slot: a new one costs a handshake.
_KEPT_SECONDS = 60.0
_CHUNK = 64 * 1024


class Rest:
    """A connection to the REST API at `url`; `warn` is told when the local clock and the exchange's differ.

    An answer may take `most_seconds` from the first byte sent to the last one read, and be silent for
    `silent_seconds`.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        warn: Callable[[str], None],
        *,
        most_seconds: float = 60.0,
        silent_seconds: float = 20.0,
    ) -> None:
        self._url, self._clock, self._warn, self._most_seconds = url.rstrip("/"), clock, warn, most_seconds
        self._socket: socket.socket | None = None
        self._is_late = False
        self._before: Page | None = None
        self._client = httpx.Client(
            follow_redirects=False,
            trust_env=False,
            verify=tls.context(),
            timeout=httpx.Timeout(silent_seconds, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(keepalive_expiry=_KEPT_SECONDS),
            headers={"User-Agent": f"mdata/{__version__}", "Accept-Encoding": "gzip"},
        )

    def candles(self, query: Query, on_send: Callable[[], None]) -> Page:
        """Ask for candles; `on_send` is called at the instant the request leaves."""
        timeframe, (start, end) = query.timeframe, query.range
        parameters = {
            "sort": -1 if query.newest_first else 1,
            "start": start,
            "end": timeframe.previous(end),
            "limit": query.limit,
        }
        if query.is_open:
            del parameters["start"]
        path = f"/candles/trade:{timeframe.name}:{query.symbol}/hist"
        payload, asked_at = self._get(path, parameters, on_send)
        return self._of_its_own(wire.read_page(query, payload, asked_at))

    def first_candle(self, symbol: str, timeframe: Timeframe, on_send: Callable[[], None]) -> Page:
        """Return a page of the oldest candle, or of none."""
        whole = Query(symbol, timeframe, Range(0, 2**53), newest_first=False, limit=1)
        path = f"/candles/trade:{timeframe.name}:{symbol}/hist"
        payload, asked_at = self._get(path, {"sort": 1, "start": 0, "limit": 1}, on_send)
        page = self._of_its_own(wire.read_page(whole, payload, asked_at))
        if page.refused:
            raise BadAnswerError(f"the exchange's first candle of {symbol} {timeframe.name} cannot be one")
        return page

    def pairs(self, on_send: Callable[[], None]) -> set[str]:
        """Return the symbols of all pairs the exchange lists, as candles name them (`tBTCUSD`)."""
        labels = "pub:list:pair:exchange,pub:list:pair:futures"
        payload, _ = self._get(f"/conf/{labels}", {}, on_send)
        if not isinstance(payload, list) or not all(isinstance(listed, list) for listed in payload):
            raise BadAnswerError("the exchange's list of pairs cannot be read")
        pairs = {f"t{pair}" for listed in payload for pair in listed if isinstance(pair, str)}
        if not pairs:
            raise BadAnswerError("the exchange's list of pairs is empty")
        return pairs

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _of_its_own(self, page: Page) -> Page:
        """Return the page; raise BadAnswerError when it is the one before, which was about another pair."""
        symbol, before = page.query.symbol, self._before
        if before is not None and page.candles == before.candles != [] and symbol != before.query.symbol:
            raise BadAnswerError(f"the exchange sent the candles of {before.query.symbol} once more; none was stored")
        self._before = page
        return page

    def _get(self, path: str, parameters: dict[str, int], on_send: Callable[[], None]) -> tuple[Any, int]:
        """Return the decoded answer and the instant it speaks for: the earlier of sending and its date (ms UTC)."""
        sent_at = self._clock.now()
        # Time-outs of sockets are about silence: an answer of a byte a second would never end by them.
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
            raise self._late()  # the end of a body of no known length
        return self._payload(answer, body), min(sent_at, self._date(answer, sent_at))

    def _break_off(self) -> None:
        """End the connection: whoever reads from it sees the end at once."""
        self._is_late = True
        if self._socket is not None:
            with suppress(OSError):
                # Past the methods of a TLS socket, which another thread is using now.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _late(self) -> UnreachableError:
        return UnreachableError(
            f"the exchange's answer was not complete after {self._most_seconds:g} s; it was dropped"
        )

    def _payload(self, answer: "Response", body: bytes) -> Any:
        status = answer.status_code
        retry_after = self._retry_after(answer)
        if 300 <= status < 400:
            raise BadAnswerError(
                f"the exchange answered with a redirect (HTTP status {status}), which is never followed"
            )
        try:
            payload = wire.decode(body)
        except (BadAnswerError, GarbledError):
            if status != 200:
                wire.raise_for_error(None, status, retry_after)
            raise
        wire.raise_for_error(payload, status, retry_after)
        return payload

    def _retry_after(self, answer: "Response") -> float | None:
        """Return the seconds that the Retry-After header asks for, written as a number or as a date; else None."""
        text = answer.headers.get("retry-after", "")
        try:
            return max(0.0, float(text))
        except ValueError:
            date = _instant(text)
        # The answer's own date is the clock that such a date was read from.
        now = _instant(answer.headers.get("date", "")) or self._clock.now()
        return None if date is None else max(0.0, (date - now) / 1000)

    def _date(self, answer: "Response", sent_at: int) -> int:
        date = _instant(answer.headers.get("date", ""))
        if date is None:
            return sent_at
        # Dates have whole seconds: within one, the local clock is the finer witness.
        if abs(date - sent_at) > 30_000:
            self._warn(
                f"the local clock is {abs(date - sent_at) // 1000} s "
                f"{'ahead of' if sent_at > date else 'behind'} the exchange's: check the time synchronisation"
            )
        return sent_at if date > sent_at - 1000 else date

    def _explained(self, error: httpx.HTTPError) -> Exception:
        text = str(error) or type(error).__name__
        if self._is_late:
            return self._late()
        if "CERTIFICATE" in text:
            return ConfigurationError(
                f"{self._url} cannot prove who it is ({text}); {tls.advice('BITFINEX_REST_URL')}"
            )
        if isinstance(error, httpx.UnsupportedProtocol | httpx.DecodingError):
            return BadAnswerError(f"{self._url} answered in a form that cannot be read ({text})")
        if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
            return UnreachableError(f"{self._url} broke off its answer ({text}); nothing of it was stored")
        return UnreachableError(f"{self._url} cannot be reached ({text}); check the network and BITFINEX_REST_URL")


def _read(answer: "Response") -> bytes:
    """Return the body, unpacked; raise when it is too large, or packed in a way not asked for."""
    encoding = answer.headers.get("content-encoding", "identity").lower()
    if encoding not in {"identity", "gzip"}:
        raise BadAnswerError(f"the exchange's answer is packed as {encoding!r}, which was not asked for")
    body = bytearray()
    for chunk in _unpacked(answer) if encoding == "gzip" else answer.iter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BadAnswerError(f"the exchange's answer is larger than {MAX_BYTES >> 20} MiB; it was dropped")
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
        raise GarbledError("the exchange's packed answer is damaged; nothing of it was stored") from error


def _instant(text: str) -> int | None:
    """Return the instant (ms UTC) of an HTTP date, or None if it is none."""
    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
