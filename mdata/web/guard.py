"""Rejects requests before Datasette sees them, and adds the headers of every answer."""

import asyncio
import base64
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from mdata.domain.escape import quote
from mdata.running.context import JobLog
from mdata.web.workers import Lane, lane

Scope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Longer than any query that a person writes, and short enough to be read in one piece.
MOST_BYTES = 8192

# Nothing is loaded from, or sent to, another site; only Datasette's own pages have inline scripts.
_POLICY = (
    "default-src 'self'; script-src 'self'{}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_NAME_OF_POLICY = "content-security-policy"
_FOR_PAGES_OF_DATASETTE = (_NAME_OF_POLICY.encode(), _POLICY.format(" 'unsafe-inline'").encode())
# The policy of our own pages, which have no inline scripts.
STRICT = {_NAME_OF_POLICY: _POLICY.format("")}
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]
_MORE_HEADERS = {
    401: [(b"www-authenticate", b'Basic realm="mdata", charset="UTF-8"')],
    405: [(b"allow", b"GET, HEAD")],
}


@dataclass(frozen=True, slots=True)
class Access:
    """Which requests are answered.

    `names` are the host names that are valid besides addresses and localhost; None allows every name. Without this
    check, another site could point its own name at this machine and read the store in a visitor's browser. `token`
    must be in every request; None needs no token.
    """

    names: frozenset[str] | None = None
    token: str | None = None

    def knows_host(self, headers: Headers) -> bool:
        """Whether the host name of a request is valid."""
        hosts = _values(headers, b"host")
        return self.names is None or (len(hosts) == 1 and _is_known(hosts[0], self.names))

    def knows_token(self, headers: Headers) -> bool:
        """Whether a request contains the token, as a program sends it (Bearer) or as a browser does (Basic)."""
        if self.token is None:
            return True
        given = [_token(value) for value in _values(headers, b"authorization")]
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self.token.encode())


class Guard:
    """Wraps `app`: lets through only requests that are short, authorised, and only read (GET, HEAD)."""

    def __init__(self, app: App, access: Access, log: JobLog) -> None:
        self._app, self._access, self._log = app, access, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on to the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        leaving: asyncio.Task[None] | None = None

        async def told(message: AsgiMessage) -> None:
            nonlocal leaving
            if message.get("more_body"):
                # A long answer: nothing else notices that its reader has disconnected.
                leaving = leaving or asyncio.get_running_loop().create_task(_left(receive))
                if leaving.done():
                    raise _ReaderHasLeft
            if message["type"] == "http.response.start":
                self._log.debug(f"{message['status']} {scope['method']} {scope['raw_path'].decode('latin-1')}")
                message = {**message, "headers": _completed(message.get("headers", ()))}
            await send(message)

        lane.set(_lane(scope))
        refusal = self._refusal(scope)
        if refusal is None:
            try:
                await self._app(scope, receive, told)
            except _ReaderHasLeft:
                pass
            finally:
                if leaving is not None:
                    leaving.cancel()
            return
        status, sentence = refusal
        text = [
            (b"content-type", b"text/plain; charset=utf-8"),
            *_MORE_HEADERS.get(status, ()),
        ]
        await told({"type": "http.response.start", "status": status, "headers": text})
        await told({"type": "http.response.body", "body": f"{sentence}\n".encode()})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if scope["method"] not in {"GET", "HEAD"}:
            return 405, "The store is read-only: only GET and HEAD are allowed."
        if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_BYTES:
            return 414, f"The URL is longer than {MOST_BYTES} bytes; use a shorter query."
        headers = scope["headers"]
        if not self._access.knows_host(headers):
            hosts = _values(headers, b"host")
            name = quote(hosts[0]) if hosts else "(none)"
            return 421, (
                f"This server does not answer requests for the host {name}; "
                "`mdata serve --allow-host NAME` allows one more name."
            )
        if _is_part_of_a_foreign_page(headers):
            return 403, "Pages of other sites may link to this page, but not embed it or send requests."
        if not self._access.knows_token(headers):
            return 401, "The token is missing or wrong: send it as `Authorization: Bearer TOKEN`, or as a password."
        return None


def _completed(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer with ours; our own pages already have a policy."""
    given = list(headers)
    if not any(name.lower() == _FOR_PAGES_OF_DATASETTE[0] for name, _ in given):
        given.append(_FOR_PAGES_OF_DATASETTE)
    return [*given, *_HEADERS]


class _ReaderHasLeft(BaseException):
    """Ends an answer that nobody reads any more; a BaseException, so that Datasette does not catch it."""


async def _left(receive: Receive) -> None:
    """Wait until the visitor has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _values(headers: Headers, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _token(authorization: str) -> str:
    """Return the token in an Authorization header, an empty text if there is none."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        _, _, password = base64.b64decode(given, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return password


def _is_part_of_a_foreign_page(headers: Headers) -> bool:
    """Whether the browser says that a page of another site embeds this as an image, a script or a frame.

    That page could not read the answer, but it could make a visitor run SQL here without knowing.
    """
    is_foreign = _values(headers, b"sec-fetch-site") == ["cross-site"]
    return is_foreign and _values(headers, b"sec-fetch-dest") != ["document"]


def _lane(scope: Scope) -> Lane:
    """Return the visitor (according to a proxy in front), and whether they sent their own SQL."""
    client = scope.get("client")
    names = {part.partition(b"=")[0] for part in scope["query_string"].split(b"&")}
    return client[0] if client else "", not names.isdisjoint({b"sql", b"_where"})


def _is_known(host: str, names: frozenset[str]) -> bool:
    """Whether the Host of a request is an address, localhost, or one of `names`; a port may follow."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower() in {"localhost", *names}
    return True
