"""Texts that try to harm a terminal or a page, a check that a text is harmless, and a server that sends them."""

import json
import threading
import unicodedata
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def is_harmless(text: str) -> bool:
    return all(character in "\n\t" or unicodedata.category(character) not in UNSEEN - {"Cn"} for character in text)


class Hostile:
    """An exchange that answers every request with the same bytes."""

    def __init__(self) -> None:
        self.body, self.status, self.headers = b"[]", 200, dict[str, str]()
        hostile = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(hostile.status)
                for name, value in hostile.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(hostile.body)))
                self.end_headers()
                self.wfile.write(hostile.body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v2"


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    exchange = Hostile()
    thread = threading.Thread(target=exchange.server.serve_forever, args=(0.02,))
    thread.start()
    yield exchange
    exchange.server.shutdown()
    thread.join()
    exchange.server.server_close()


def as_error(text: str) -> bytes:
    return json.dumps(["error", 10020, text]).encode()


def as_row(text: str) -> bytes:
    return json.dumps([[text, text, text, text, text, text]]).encode()


# One of each family; what all of them become is tested above, without processes.
FEW = "\x1b[31mred\x1b]0;t\x07\x9b31m\u202e\u2028\ud800\x00[/x]"
