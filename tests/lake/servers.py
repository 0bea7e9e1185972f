"""Object stores on loopback: moto's, npm's s3rver, which ignores conditional puts, and one that misbehaves."""

import http.client
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOTO = ROOT / ".envs/lake/bin/moto_server"
S3RVER = ROOT / ".envs/s3rver/node_modules/.bin/s3rver"
BUCKET = "lake"

needs_moto = pytest.mark.skipif(not MOTO.exists(), reason="moto is not installed: run `make lake`")
needs_s3rver = pytest.mark.skipif(not S3RVER.exists(), reason="s3rver is not installed: run `make s3rver`")


def credentials(port: int) -> dict[str, str]:
    """Return the environment by which engines find the server at `port`."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER",
    }  # fmt: skip


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def started(command: list[str], port: int, folder: Path) -> Iterator[int]:
    """Run a server until the block ends."""
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < end, "the server did not come up"
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def moto(folder: Path) -> Iterator[int]:
    """Run moto's S3 with a bucket, and give its port."""
    port = free_port()
    with started([str(MOTO), "-H", "127.0.0.1", "-p", str(port)], port, folder):
        bucket = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
        urllib.request.urlopen(bucket, timeout=30).close()
        yield port


@contextmanager
def s3rver(folder: Path) -> Iterator[int]:
    """Run s3rver with a bucket, and give its port; what it holds lies below `folder`/root."""
    port, root = free_port(), folder / "root"
    root.mkdir()
    command = [str(S3RVER), "-d", str(root), "-a", "127.0.0.1", "-p", str(port), "--configure-bucket", BUCKET]
    with started(command, port, folder):
        yield port


class Unkind:
    """What stands before a server, and does to its answers what it is told: `how`, to each `every`th request."""

    def __init__(self, behind: int) -> None:
        self.behind, self.how, self.every, self.count = behind, "", 1, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                outer.answer(self)

        for verb in ("GET", "PUT", "POST", "DELETE", "HEAD"):
            setattr(Handler, f"do_{verb}", Handler.answer)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.count += 1
        how = self.how if self.count % self.every == 0 else ""
        if how == "slow":
            time.sleep(0.4)
        if how.isdigit():
            self._send(request, int(how), [], b"<Error><Code>Told</Code></Error>")
            return
        behind = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
        behind.request(request.command, request.path, body, dict(request.headers))
        found = behind.getresponse()
        content = found.read()
        behind.close()
        headers = [(name, value) for name, value in found.getheaders() if name.lower() not in _OURS]
        if how == "cut" and request.command == "GET" and content:
            self._send(request, found.status, headers, content[: len(content) // 2], len(content))
            request.close_connection = True
            return
        if how == "unanswered":
            # What was asked for is done, and nobody hears of it.
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        length = found.getheader("Content-Length") if request.command == "HEAD" else None
        self._send(request, found.status, headers, content, None if length is None else int(length))

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes,
        length: int | None = None,
    ) -> None:  # fmt: skip
        with suppress(OSError):
            request.send_response(status)
            for name, value in headers:
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(content) if length is None else length))
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(content)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


_OURS = {"content-length", "transfer-encoding", "connection", "date", "server"}
