"""A machine that grants no more memory, threads, open files or bytes: a sentence, the right code, the store sound."""

import gzip
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import DAY, Folder, stored, truth
from killing import assert_sound, has_tables

from mdata.sandbox.server import Sandbox

Record = Callable[[str, object], None]

COMMANDS = [
    ["backfill"], ["update"], ["detect-gaps"], ["repair"], ["verify"], ["cleanup", "--yes"], ["status"], ["export"],
    ["stream", "--for", "1s"],
]  # fmt: skip
ALLOWED = {0, 3, 69, 74, 75, 77, 78}

pytestmark = pytest.mark.skipif(shutil.which("prlimit") is None, reason="there is no prlimit here")


def limited(folder: Folder, limit: str, *arguments: str) -> int:
    """Run a command under a limit of the kernel's; return its exit code, which is one that is told in a sentence."""
    folder.before = ["prlimit", limit]
    ended = folder.run(*arguments, RATE_LIMIT_MAX_RETRIES="0")
    folder.before = []
    where = (limit, arguments, ended.err[-2000:])
    # Where memory ends inside of Python's own clean-up, Python ends the process itself: nothing can be told then.
    if "Cannot recover from MemoryErrors" in ended.err:
        return 0
    assert "Traceback" not in ended.err, where
    assert "bug" not in ended.err, where
    assert ended.exit in ALLOWED, where
    assert ended.exit == 0 or ended.err, where
    return ended.exit


def assert_goes_on(folder: Folder, days: int) -> None:
    """With the limit gone the same command gets all there is."""
    now = folder.sandbox.clock.now()
    assert folder.run("backfill").exit == 0
    assert_sound(folder)
    start = now - now % DAY - days * DAY
    assert stored(folder.database, "tBTCUSD", "1h") == truth(folder.sandbox, "tBTCUSD", "1h", start, now)


@pytest.mark.parametrize(
    ("limit", "steps"),
    [
        # Below the first ones Python itself does not come up, or what it loads fails without a word.
        ("--as", range(56_000_000, 104_000_000, 16_000_000)),
        ("--nofile", (6, 9, 13)),
        ("--fsize", (1, 20_000, 100_000)),
    ],
)
def test_whatever_the_machine_does_not_grant_is_told(
    folder: Folder, limit: str, steps: range, record_property: Record
) -> None:
    folder.settings.update(TIMEFRAMES="1h", BACKFILL_DAYS="20")
    tried, codes = 0, set()
    for step in steps:
        for arguments in COMMANDS:
            codes.add(limited(folder, f"{limit}={step}", *arguments))
            tried += 1
        if has_tables(folder):
            assert_sound(folder)
    assert codes - {0, 3}, "none of the limits was low enough to be met"
    record_property("runs", tried)
    record_property("exit codes", sorted(codes))
    assert_goes_on(folder, 20)


@pytest.fixture
def of_nobody(live: Sandbox) -> Iterator[Folder]:
    """A folder of a user who has no other process, and may read the program wherever that is."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as path:
        os.chown(path, 54_321, 54_321)
        yield Folder(Path(path), live)


def test_no_more_threads_are_told(of_nobody: Folder, record_property: Record) -> None:
    folder = of_nobody
    folder.settings.update(TIMEFRAMES="1h", BACKFILL_DAYS="20")
    rights = "-all,+dac_override"
    become = ["setpriv", "--reuid=54321", "--clear-groups", "--inh-caps", rights, "--ambient-caps", rights]
    codes = []
    for arguments in (["backfill"], ["stream", "--for", "1s"], ["status", "--watch"], ["status", "--check"]):
        folder.before = [*become, "prlimit", "--nproc=1"]
        ended = folder.run(*arguments, PING_URL=f"{folder.sandbox.rest_url}/ping")
        assert "Traceback" not in ended.err, ended.err
        assert "bug" not in ended.err
        codes.append(ended.exit)
        if arguments[0] != "status":
            assert "has no more threads (ulimit -u" in ended.err
    assert codes[:2] == [77, 77]
    folder.before = become
    record_property("exit codes", codes)
    assert_goes_on(folder, 20)


def test_a_run_that_the_kernel_ends_for_its_time_leaves_the_store_sound(folder: Folder) -> None:
    folder.settings.update(TIMEFRAMES="1m,1h", BACKFILL_DAYS="60")
    for _ in range(3):
        folder.before = ["prlimit", "--cpu=1:1"]
        ended = folder.run("backfill")
        assert "Traceback" not in ended.err
        if has_tables(folder):
            assert_sound(folder)
    folder.before = []
    assert_goes_on(folder, 60)


def test_a_bomb_is_dropped_long_before_memory_is(folder: Folder, record_property: Record) -> None:
    """A quarter of a gigabyte in an answer of 260 kB is refused within the memory that a service has."""
    body = gzip.compress(b"[" + b" " * 256 * 1024 * 1024 + b"]", 9)

    def answer(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
                try:
                    connection.sendall(head.encode() + body)
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v2"
        folder.before = ["prlimit", "--as=150000000"]
        ended = folder.run("backfill", BITFINEX_REST_URL=url, RATE_LIMIT_MAX_RETRIES="0")
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert ended.exit == 76, ended.err
    assert "larger than 3 MiB" in ended.err
    record_property("address space, MB", 150)
