"""Scenario 63: visitors of `mdata serve` who mean harm, or are many."""

import base64
import http.client
import os
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import UNPRIVILEGED, Folder
from serving import Served

Wait = Callable[..., None]

# One call of one function: minutes of work in which SQLite looks at nothing else.
ENDLESS = "SELECT instr(printf('%.*c', 9000000, 'a'), printf('%.*c', 4500000, 'a') || 'b')"
TABLES = ["/mdata/series.json", "/mdata/coverage.json", "/mdata/latest.json", "/mdata/ingestion_jobs.json"]


@pytest.fixture
def small(folder: Folder) -> Folder:
    """A folder whose store holds three days of hours."""
    folder.settings |= {"BACKFILL_DAYS": "3", "TIMEFRAMES": "1h"}
    assert folder.run("backfill").exit == 0
    return folder


def workers(server: Served) -> list[int]:
    """Return the processes for queries that have been started."""
    pids = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(pid) for pid in pids if "mdata.web.worker" in Path(f"/proc/{pid}/cmdline").read_text()]


def took(server: Served, target: str) -> float:
    """Return how long a page took that was answered well."""
    begin = time.monotonic()
    assert server.ask(target).status == 200, target
    return time.monotonic() - begin


def figure(text: str) -> None:
    print(f"\n{text}")  # noqa: T201 - the figures of docs/serving.md


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_statement_inside_of_one_function_ends_with_its_time(small: Folder, wait: Wait) -> None:
    with Served(small) as server:
        wait(lambda: len(workers(server)) == 4)
        before = set(workers(server))
        longest = 0.0
        for _ in range(6):
            begin = time.monotonic()
            refused = server.sql(ENDLESS)
            longest = max(longest, time.monotonic() - begin)
            assert (refused.status, "too long" in refused.text) == (400, True)
        assert longest < 4  # a second for the statement, a quarter until it is ended; the rest is a busy machine
        assert server.sql("SELECT 1").json["rows"] == [[1]]
        wait(lambda: len(workers(server)) == 4)
        assert before - set(workers(server))  # whichever had it was ended, and another started
        code, err = server.end()
    assert (code, "Traceback" in err) == (143, False)
    figure(f"longest statement {longest:.2f} s")


def test_who_asks_for_too_much_stops_nobody_else(small: Folder, wait: Wait) -> None:
    """Twelve visitors ask for endless statements without a pause; tables, queries and health are answered on."""
    done = threading.Event()
    with Served(small) as server:

        def ask_for_too_much() -> None:
            while not done.is_set():
                assert server.sql(ENDLESS).status in {400, 503}

        with ThreadPoolExecutor(12) as pool:
            hostile = [pool.submit(ask_for_too_much) for _ in range(12)]
            wait(lambda: server.sql("SELECT 1").status in {200, 503})
            waited = [took(server, target) for _ in range(10) for target in (*TABLES, "/status", "/")]
            done.set()
            for one in hostile:
                one.result(timeout=60)
        assert server.sql("SELECT 1").json["rows"] == [[1]]
        pids = workers(server)
        code, err = server.end()
    wait(lambda: not any(map(exists, pids)))
    assert (code, "Traceback" in err) == (143, False)
    figure(f"pages beside 12 endless statements: longest {max(waited):.2f} s")
    assert max(waited) < 5


def half_sent(server: Served, number: int, text: bytes) -> list[socket.socket]:
    """Open so many connections, and begin a request on each.

    Once their heads are complete they are answered, and take as long as answers take: these come from elsewhere.
    """
    source = "127.0.0.2" if b"\r\n\r\n" in text else "127.0.0.1"
    opened = []
    for _ in range(number):
        connection = socket.create_connection(("127.0.0.1", server.port or 0), 60, (source, 0))
        connection.sendall(text)
        opened.append(connection)
    return opened


HALF = {
    "no byte": b"",
    "half a head": b"GET /status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    "half a body": b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx",
}


@pytest.mark.parametrize("what", HALF)
def test_a_thousand_requests_that_never_get_complete_stop_nobody(small: Folder, what: str) -> None:
    with Served(small) as server:
        opened = half_sent(server, 1000, HALF[what])
        waited = [took(server, target) for target in TABLES for _ in range(5)]
        assert all(server.ask(target).status == 200 for target in ("/status", "/", *TABLES))
        figure(f"pages beside 1,000 times {what}: longest {max(waited):.2f} s")
        assert max(waited) < 5
        # Those that had a place lose it: the last ones after the time that a request may take.
        begin = time.monotonic()
        for connection in opened:
            with connection:
                received = b""
                try:
                    while part := connection.recv(65536):
                        received += part
                except ConnectionResetError:
                    pass
                assert received[:12] in {b"", b"HTTP/1.1 408", b"HTTP/1.1 200", b"HTTP/1.1 503"}, received[:200]
        assert time.monotonic() - begin < 15
        _, err = server.end()
    assert "Traceback" not in err


def test_who_takes_nothing_of_an_answer_loses_the_connection(small: Folder) -> None:
    small.settings["TIMEFRAMES"] = "1m"
    small.settings["BACKFILL_DAYS"] = "60"
    assert small.run("backfill").exit == 0
    with Served(small) as server:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port or 0))
        with connection:
            connection.sendall(b"GET /mdata/ohlcv.csv?_stream=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"
            connection.settimeout(60)
            gone = time.monotonic() + 45
            # What is in flight stays to be read; a further request would be answered by a reset.
            while True:
                assert time.monotonic() < gone
                assert server.ask("/status").status == 200
                try:
                    connection.sendall(b"x")
                except OSError:
                    break
                time.sleep(0.2)
        _, err = server.end()
    assert "Traceback" not in err, err


@pytest.mark.parametrize("target", ["/health", "/mdata/series.json", "/mdata.json?sql=select+count(*)+from+candles"])
def test_a_thousand_visitors_at_once_get_their_answers(small: Folder, target: str) -> None:
    """Each from an address of its own, all at one instant; connections are made first, and then everyone asks."""
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    with Served(small) as server:
        assert server.ask(target).status in {200, 503}
        visitors = []
        for number in range(1000):
            visitor = socket.socket()
            visitor.settimeout(120)
            visitor.bind((f"127.1.{number // 250}.{number % 250 + 1}", 0))
            visitor.connect(("127.0.0.1", server.port))
            visitors.append(visitor)
        begin = time.monotonic()
        for visitor in visitors:
            visitor.sendall(request)
        statuses: dict[bytes, int] = {}
        ends = []
        for visitor in visitors:
            with visitor:
                received = b""
                while part := visitor.recv(65536):
                    received += part
                ends.append(time.monotonic() - begin)
                statuses[received[9:12]] = statuses.get(received[9:12], 0) + 1
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
        _, err = server.end()
    figure(f"1,000 visitors, {target}: {statuses}, last after {max(ends):.2f} s, {peak:.0f} MiB")
    # The store is days old by the real clock or fresh: /health may say either, but says it to all.
    answered = statuses.get(b"200", 0) if target != "/health" else sum(statuses.values())
    assert answered + statuses.get(b"503", 0) == 1000
    assert answered >= 900
    assert peak < 250
    assert "Traceback" not in err


def test_a_worker_that_was_stopped_is_replaced(small: Folder, wait: Wait) -> None:
    with Served(small) as server:
        wait(lambda: len(workers(server)) == 4)
        stopped = workers(server)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        refused = server.sql("SELECT 1")
        assert refused.status in {400, 503}
        wait(lambda: server.sql("SELECT 1").status == 200, 30)
        server.end()
    wait(lambda: not any(map(exists, stopped)))


def test_no_worker_outlives_a_server_that_was_killed(small: Folder, wait: Wait) -> None:
    with Served(small) as server:
        wait(lambda: len(workers(server)) == 4)
        pids = workers(server)

        def ask() -> None:
            with pytest.raises((OSError, http.client.HTTPException)):
                server.sql(ENDLESS)

        asking = threading.Thread(target=ask)
        asking.start()
        server.process.kill()
        asking.join()
    wait(lambda: not any(map(exists, pids)))


def test_a_module_that_lies_about_in_the_folder_is_not_run(small: Folder) -> None:
    (small.path / "json.py").write_text("import pathlib\npathlib.Path('run').touch()\nraise SystemExit\n")
    with Served(small) as server:
        assert server.sql("SELECT 1").json["rows"] == [[1]]
    assert not (small.path / "run").exists()


def test_names_that_are_given_hold_on_every_address(folder: Folder) -> None:
    with Served(folder, "--host", "0.0.0.0", "--allow-host", "Store.example.org") as server:
        for host in ("127.0.0.1", "store.example.org:8001", "localhost"):
            assert server.ask("/status", Host=host).status == 200, host
        for host in ("evil.example", "store.example.org.evil.example"):
            assert server.ask("/status", Host=host).status == 421, host


def test_a_page_of_another_site_can_have_nothing_run(small: Folder) -> None:
    foreign: dict[str, Any] = {"Sec-Fetch-Site": "cross-site"}
    with Served(small) as server:
        for kind in ("image", "empty", "script", "iframe"):
            assert server.ask("/mdata?sql=select+1", **{**foreign, "Sec-Fetch-Dest": kind}).status == 403
        assert server.ask("/mdata", **{**foreign, "Sec-Fetch-Dest": "document"}).status == 200
        own: dict[str, Any] = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}
        assert server.ask("/mdata", **own).status == 200


TOKEN = "0123456789abcdef0123456789abcdef"


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_only_who_sends_the_token_is_answered(small: Folder) -> None:
    file = small.path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    with Served(small, "--token-file", str(file)) as server:
        for target in ("/", "/health", "/status", "/mdata", "/-/mdata/mdata.css", "/-/versions.json"):
            refused = server.ask(target)
            assert refused.status == 401, target
            assert refused.headers["www-authenticate"].startswith("Basic ")
            assert TOKEN not in refused.text
            for given in (f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(f":{TOKEN}"), basic(f"anybody:{TOKEN}")):
                assert server.ask(target, Authorization=given).status in {200, 503}, (target, given)
        for wrong in (
            TOKEN,
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            "Bearer",
            "Basic !",
            basic(TOKEN),
            basic("é:é"),
            "é",
        ):
            assert server.ask("/status", Authorization=wrong).status == 401, wrong
        _, err = server.end()
    assert "to everyone who has the token" in err
    assert TOKEN not in err


@pytest.mark.parametrize(
    ("text", "mode", "code", "words"),
    [
        (TOKEN, 0o644, 78, "chmod 600"), ("short", 0o600, 78, "openssl rand"), ("", 0o600, 78, "openssl rand"),
        ("two words, which are long enough", 0o600, 78, "openssl rand"),        (None, 0, 78, "cannot read"),
    ],
)  # fmt: skip
def test_a_token_that_protects_nothing_is_refused(
    folder: Folder, text: str | None, mode: int, code: int, words: str
) -> None:
    file = folder.path / "token"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    folder.before = list(UNPRIVILEGED)
    refused = folder.run("serve", "--port", "0", "--token-file", str(file))
    assert (refused.exit, refused.out) == (code, "")
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1


class OverSocket(http.client.HTTPConnection):
    """Speaks HTTP to a socket file."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def asked(path: Path, target: str, **headers: str) -> tuple[int, bytes]:
    connection = OverSocket(path)
    try:
        connection.request("GET", target, headers={name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture
def over_socket(small: Folder) -> Iterator[tuple[Served, Path]]:
    path = small.path / "serve.sock"
    with Served(small, "--socket", str(path)) as server:
        assert server.url == f"unix:{path}"
        yield server, path


def test_a_socket_file_answers_to_its_user_alone(over_socket: tuple[Served, Path], small: Folder) -> None:
    server, path = over_socket
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for target in ("/", "/status", "/mdata/series", f"/mdata.json?sql={quote('SELECT 1')}"):
        assert asked(path, target)[0] == 200, target
    assert asked(path, "/", X_Forwarded_For="192.0.2.1", X_Forwarded_Proto="https", Host="any.example")[0] == 200
    if os.geteuid() == 0:
        small.path.chmod(0o755)
        stranger = subprocess.run(
            ["setpriv", "--reuid", "65534", "--clear-groups", "curl", "-sS", "--unix-socket", path, "http://localhost/"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert stranger.returncode != 0
        assert stranger.stdout == ""
    second = small.run("serve", "--socket", str(path))
    assert second.exit == 75
    assert "another process listens on" in second.err
    code, err = server.end()
    assert (code, path.exists()) == (143, False)
    assert f"to everyone who may open {path}" in err


def test_what_a_killed_server_left_is_replaced_and_nothing_else(
    over_socket: tuple[Served, Path], small: Folder
) -> None:
    server, path = over_socket
    server.end(signal.SIGKILL)
    assert path.exists()
    with Served(small, "--socket", str(path), "--allow-host", "a.example") as again:
        assert asked(path, "/status")[0] == 200
        assert asked(path, "/status", Host="b.example")[0] == 421
        again.end()
    path.write_text("something of mine")
    refused = small.run("serve", "--socket", str(path))
    assert (refused.exit, path.read_text()) == (2, "something of mine")
    assert small.run("serve", "--socket", str(path), "--port", "1").exit == 2
    assert small.run("serve", "--socket", "x" * 200).exit == 2
    assert small.run("serve", "--socket", str(small.path / "no" / "folder")).exit == 2
