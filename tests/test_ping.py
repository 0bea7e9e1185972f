"""The ping to a monitor: whom it tells what, and that neither it nor its address ever gets in the way."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import Folder

from mdata import ping

SECRET = "3fa1c9d2-secret"


class Monitor(ThreadingHTTPServer):
    """A monitor on loopback that remembers what it was told, and answers as it is set to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.told: list[str] = []
        self.status = 200
        self.answer_now = threading.Event()
        self.answer_now.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{SECRET}"


class Handler(BaseHTTPRequestHandler):
    server: Monitor

    def do_GET(self) -> None:
        self.server.told.append(self.path)
        self.server.answer_now.wait(30)
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with Monitor() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.answer_now.set()
        server.shutdown()
        thread.join()


def test_success_and_failure_are_told_apart_by_the_exit_code(folder: Folder, monitor: Monitor) -> None:
    folder.settings["PING_URL"] = monitor.url
    assert folder.run("status", "--check").exit == 3
    folder.run("backfill", BACKFILL_DAYS="1")
    assert folder.run("status", "--check").exit == 0
    folder.database.write_bytes(b"no database at all" * 1000)
    assert folder.run("status", "--check", "--json").exit == 74
    assert monitor.told == [f"/{SECRET}/3", f"/{SECRET}", f"/{SECRET}/74"]


def test_only_the_health_check_pings(folder: Folder, monitor: Monitor) -> None:
    folder.settings["PING_URL"] = monitor.url
    for arguments in (["backfill"], ["status"], ["status", "--json"], ["config"], ["detect-gaps"], ["gaps"]):
        folder.run(*arguments, BACKFILL_DAYS="1")
    assert monitor.told == []


def test_a_query_stays_behind_the_exit_code(monitor: Monitor) -> None:
    warned: list[str] = []
    ping.send(f"{monitor.url}/?create=1", 3, warned.append)
    ping.send(f"{monitor.url}?create=1", 0, warned.append)
    assert monitor.told == [f"/{SECRET}/3?create=1", f"/{SECRET}?create=1"]
    assert warned == []


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_monitor_that_does_not_take_it_is_only_warned_about(folder: Folder, monitor: Monitor, status: int) -> None:
    monitor.status = status
    ended = folder.run("status", "--check", "--json", "-v", PING_URL=monitor.url)
    assert (ended.exit, ended.json["exit"]) == (3, 3)
    assert ended.err.count("PING_URL") == 1
    assert f"HTTP status {status}" in ended.err
    assert len(monitor.told) == 1
    assert SECRET not in ended.out + ended.err


def test_a_monitor_that_is_not_there_is_only_warned_about(folder: Folder) -> None:
    with socket.socket() as taken:  # bound but not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        folder.run("backfill", BACKFILL_DAYS="1")
        ended = folder.run("status", "--check", "-v", PING_URL=f"http://127.0.0.1:{port}/{SECRET}")
    assert (ended.exit, ended.out) == (0, "healthy\n")
    assert "could not ping the monitor at PING_URL: it cannot be reached" in ended.err
    assert SECRET not in ended.out + ended.err
    assert str(port) not in ended.err


def test_a_monitor_that_does_not_answer_is_left_after_a_while(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ping, "SECONDS", 0.3)
    monitor.answer_now.clear()
    warned: list[str] = []
    began = time.monotonic()
    ping.send(monitor.url, 0, warned.append)
    assert 0.2 < time.monotonic() - began < 10
    (sentence,) = warned
    assert sentence.startswith("could not ping the monitor at PING_URL")
    assert SECRET not in sentence


def test_a_monitor_that_drips_is_left_after_a_while(
    wait: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ping, "SECONDS", 0.5)
    before = set(threading.enumerate())
    stop = threading.Event()
    warned: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                while not stop.wait(0.1):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        ping.send(f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}", 0, warned.append)
        stop.set()
        thread.join()
    assert warned == ["could not ping the monitor at PING_URL: it did not answer within 0 s"]
    # The thread that was left behind ends with the connection.
    wait(lambda: before.issuperset(threading.enumerate()))


def test_a_faulty_address_is_refused_without_being_repeated(folder: Folder) -> None:
    for address in (f"ftp://h/{SECRET}", f"https://user:{SECRET}@h/", f"http://example.org/{SECRET}", f"{SECRET}"):
        ended = folder.run("status", "--check", "--json", PING_URL=address)
        assert ended.exit == 78
        assert "PING_URL" in ended.json["reason"]
        assert SECRET not in ended.out + ended.err


def test_nothing_shows_the_address(folder: Folder) -> None:
    (folder.path / ".env").write_text(f"PING_URL=https://127.0.0.1:1/{SECRET}\n")
    for arguments in (
        ["config"],
        ["config", "--json"],
        ["status", "-v"],
        ["status", "--json"],
        ["status", "--check"],
    ):
        ended = folder.run(*arguments)
        assert SECRET not in ended.out + ended.err
