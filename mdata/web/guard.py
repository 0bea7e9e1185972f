"""What is refused before Datasette sees it, and the headers that every answer carries."""

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mdata.domain.quote import quote
from mdata.jobs.context import Log

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Longer than any query that a person writes, and short enough to be read at once.
MOST_BYTES = 8192

# Scripts and styles inside a page are Datasette's own; nothing is loaded from, or sent to, anywhere else.
_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]


class Guard:
    """Stands before `app`: lets through what reads, asks briefly, and names this server by a name it has.

    `names` are host names that a request may be for beside addresses and localhost; None lets every name through.
    Without them a page elsewhere could point its own name at this machine and read the store in a visitor's browser.
    """

    def __init__(self, app: App, names: frozenset[str] | None, log: Log) -> None:
        self._app, self._names, self._log = app, names, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the server beneath do it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._log.debug(f"{message['status']} {scope['method']} {scope['raw_path'].decode('latin-1')}")
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, told)
            return
        status, sentence = refusal
        text = [
            (b"content-type", b"text/plain; charset=utf-8"),
            *([(b"allow", b"GET, HEAD")] if status == 405 else []),
        ]
        await told({"type": "http.response.start", "status": status, "headers": text})
        await told({"type": "http.response.body", "body": f"{sentence}\n".encode()})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if scope["method"] not in {"GET", "HEAD"}:
            return 405, "The store is served for reading only: GET and HEAD are answered."
        if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_BYTES:
            return 414, f"The address is longer than {MOST_BYTES} bytes; ask for less at once."
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if self._names is not None and not (len(hosts) == 1 and _is_known(hosts[0], self._names)):
            name = quote(hosts[0]) if hosts else "no name"
            return 421, f"This server does not answer to {name}; `mdata serve --allow-host NAME` lets it."
        return None


def _is_known(host: str, names: frozenset[str]) -> bool:
    """Whether the Host of a request is an address, localhost, or one of `names`; a port may follow."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower() in {"localhost", *names}
    return True
