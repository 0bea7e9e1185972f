"""An exchange that cannot prove who it is (expired, another name, vouched for by nobody): said once, sent nothing.

Real TLS servers on this machine, with certificates made by a real authority.
"""

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import Folder
from websockets.sync.server import serve as serve_websocket

_CONFIGURATION = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
certificate = {folder}/authority.pem
private_key = {folder}/authority.key
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


class Authority:
    """Vouches for servers; made by openssl, as everybody's own is."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.certificate = folder, folder / "authority.pem"
        (folder / "ca.cnf").write_text(_CONFIGURATION.format(folder=folder))
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01\n")
        self.openssl(
            "req", "-x509", *self.key("authority"), "-out", self.certificate, "-days", "9", "-subj", "/CN=own"
        )

    def server(self, name: str, address: str, start: str, end: str) -> ssl.SSLContext:
        request, certificate = self.folder / f"{name}.csr", self.folder / f"{name}.pem"
        alternative = f"subjectAltName={address}"
        self.openssl("req", *self.key(name), "-out", request, "-subj", f"/CN={name}", "-addext", alternative)
        times = ["-startdate", start, "-enddate", end]
        self.openssl(
            "ca", "-batch", "-notext", "-config", self.folder / "ca.cnf", *times, "-in", request, "-out", certificate
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, self.folder / f"{name}.key")
        return context

    def key(self, name: str) -> list[str | Path]:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        return [*curve, "-nodes", "-keyout", self.folder / f"{name}.key"]

    def openssl(self, *arguments: str | Path) -> None:
        made = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"openssl makes no certificates here: {made.stderr[-300:]}")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


Contexts = dict[str, ssl.SSLContext]


@pytest.fixture(scope="module")
def contexts(authority: Authority) -> Contexts:
    past, present = ("20200101000000Z", "20200201000000Z"), ("20200101000000Z", "20991231235959Z")
    return {
        "good": authority.server("good", "IP:127.0.0.1", *present),
        "expired": authority.server("expired", "IP:127.0.0.1", *past),
        "of another name": authority.server("another", "DNS:exchange.example", *present),
    }


@contextmanager
def https(context: ssl.SSLContext) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers every request with no candles; what it was sent, once the connection stood, is kept."""
    connections: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                connections.append(b"")
                with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
                    while asked := wrapped.recv(65_536):
                        connections[-1] += asked
                        wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}/v2", connections
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextmanager
def wss(context: ssl.SSLContext) -> Iterator[tuple[str, list[bytes]]]:
    connections: list[bytes] = []

    def talk(line: object) -> None:
        connections.extend(str(frame).encode() for frame in line)  # type: ignore[attr-defined]

    with serve_websocket(talk, "127.0.0.1", 0, ssl=context) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"wss://127.0.0.1:{server.socket.getsockname()[1]}/ws/2", connections
        server.shutdown()
        thread.join(5)


WRONG = [
    ("expired", True, "certificate has expired"),
    ("of another name", True, "IP address mismatch"),
    ("good", False, "unable to get local issuer certificate"),
]


@pytest.mark.parametrize(("kind", "is_trusted", "why"), WRONG)
def test_a_rest_api_that_cannot_prove_who_it_is_is_asked_nothing(
    folder: Folder,
    authority: Authority,
    contexts: Contexts,
    kind: str,
    is_trusted: bool,
    why: str,
    record_property: Callable[[str, object], None],
) -> None:
    trust = {"SSL_CERT_FILE": str(authority.certificate)} if is_trusted else {}
    with https(contexts[kind]) as (url, connections):
        ended = folder.run("backfill", "--json", BITFINEX_REST_URL=url, **trust)
    assert ended.exit == 78, ended.err
    assert why in ended.json["reason"]
    assert "check BITFINEX_REST_URL and the clock" in ended.json["reason"]
    record_property("connections", len(connections))
    assert connections == [b""], "one handshake, no second try, and not a byte of a request"


@pytest.mark.parametrize(("kind", "is_trusted", "why"), WRONG)
def test_a_stream_that_cannot_prove_who_it_is_is_sent_nothing(
    folder: Folder, authority: Authority, contexts: Contexts, kind: str, is_trusted: bool, why: str
) -> None:
    trust = {"SSL_CERT_FILE": str(authority.certificate)} if is_trusted else {}
    with wss(contexts[kind]) as (url, frames):
        ended = folder.run("stream", "--for", "5s", "--json", BITFINEX_WS_URL=url, BACKFILL_DAYS="0", **trust)
    assert ended.exit == 78, ended.err
    assert why in ended.json["reason"]
    assert frames == []


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_rest_and_stream_believe_the_same_authority(
    folder: Folder, authority: Authority, contexts: Contexts, variable: str, tmp_path: Path, wait: Callable[..., None]
) -> None:
    believed = authority.certificate
    if variable == "SSL_CERT_DIR":
        believed = tmp_path / "authorities"
        believed.mkdir()
        (believed / "own.pem").write_bytes(authority.certificate.read_bytes())
        subprocess.run(["openssl", "rehash", believed], check=True)
    with https(contexts["good"]) as (url, connections):
        ended = folder.run("backfill", "--json", BITFINEX_REST_URL=url, **{variable: str(believed)})
    assert ended.exit in {0, 3, 76}, ended.err
    assert connections[0].startswith(b"GET /v2/candles/")
    with wss(contexts["good"]) as (url, frames):
        streaming = folder.start("stream", "--for", "60s", BITFINEX_WS_URL=url, **{variable: str(believed)})
        wait(lambda: bool(frames), seconds=30)
        streaming.terminate()
        streaming.communicate(timeout=30)
    assert json.loads(frames[0])["event"] == "conf"


def test_the_monitor_is_believed_by_the_same_authority(
    folder: Folder, authority: Authority, contexts: Contexts
) -> None:
    with https(contexts["good"]) as (url, connections):
        folder.run("status", "--check", PING_URL=f"{url}/ping", SSL_CERT_FILE=str(authority.certificate))
        ended = folder.run("status", "--check", PING_URL=f"{url}/ping")
    assert connections[0].startswith(b"GET /v2/ping/3")
    assert connections[1] == b""
    assert "could not ping the monitor at PING_URL" in ended.err
