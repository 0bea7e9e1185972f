"""What a stream shows and prints, and that nobody who looks at it can hold it up."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from conftest import MDATA, Folder, stored
from streams import fast

__all__ = ["fast"]


def candles(folder: Folder) -> int:
    if not folder.database.exists() or folder.rows("SELECT count(*) FROM sqlite_master") == [(0,)]:
        return 0
    found: int = folder.rows("SELECT count(*) FROM candles")[0][0]
    return found


def test_a_reader_that_leaves_does_not_stop_the_stream(fast: Folder, wait: Callable[..., None]) -> None:
    process = fast.start("stream", "--for", "10m", "--lines")
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["symbol"] in {"tBTCUSD", "tSPAUSD"}
    process.stdout.close()
    process.stdout = None
    gone = "the reader of the lines has gone"
    with process.stderr as err:
        assert any(gone in line for line in err)
        before = candles(fast)
        wait(lambda: candles(fast) > before, seconds=30)
        process.send_signal(signal.SIGINT)
        rest = err.read()
    assert process.wait(60) == 130
    assert gone not in rest
    assert "Traceback" not in rest


def test_a_reader_that_stalls_does_not_stop_the_stream(fast: Folder) -> None:
    # A snapshot has far more candles than a pipe takes lines, and nobody reads them until the stream has ended.
    fast.run("backfill", TIMEFRAMES="1m,5m,15m")
    for table in ("coverage", "candles", "lost_candles"):
        fast.rows(f"DELETE FROM {table}")
    process = fast.start("stream", "--for", "2m", "--lines", "--json", TIMEFRAMES="1m,5m,15m")
    assert process.stdout is not None
    assert process.wait(60) == 0
    out, err = process.communicate()
    assert err.count("the reader of the lines did not read the last of them") == 1
    lines = out.splitlines()
    assert len(lines) > 100
    assert all(json.loads(line)["symbol"] for line in lines[:100])
    assert len(stored(fast.database, "tBTCUSD", "1m")) > 240


def screen(folder: Folder, *arguments: str, until: str, **settings: str) -> tuple[str, int]:
    """Run a command on a terminal of its own until its screen shows something; return all it wrote, and its exit."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [MDATA, *arguments], env=folder.environ(TERM="xterm", COLUMNS="110", LINES="30", **settings), cwd=folder.path,
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen, end = b"", time.monotonic() + 30
    is_told = False
    try:
        while chunk := os.read(ours, 65_536):
            seen += chunk
            if not is_told and (re.search(until.encode(), seen, re.DOTALL) or time.monotonic() > end):
                process.send_signal(signal.SIGINT)
                is_told = True
    except OSError:  # the other side has closed: Linux's way to say end of file
        pass
    os.close(ours)
    return seen.decode(), process.wait(30)


def test_a_terminal_gets_a_live_table(fast: Folder) -> None:
    seen, code = screen(fast, "stream", "--for", "10h", until="tSPAUSD 1m +[0-9.]+ .*2 of 2 channels, last candle 20")
    assert code == 130
    for word in ("series", "price", "last closed candle", "lag", "tBTCUSD 1m", "0 reconnects"):
        assert word in seen
    assert "\x1b[" in seen
    assert re.search(r"mdata: stream: .* candles in .*; stopped; nothing is lost: run `mdata stream` again", seen)


@pytest.mark.parametrize("settings", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_no_table_where_it_is_not_wanted(fast: Folder, settings: dict[str, str]) -> None:
    environment = {"TERM": "xterm", **settings}
    ours, theirs = pty.openpty()
    finished = subprocess.run(
        [MDATA, "stream", "--for", "1m"], env={**fast.environ(), **environment}, cwd=fast.path, timeout=60,
        stdin=theirs, stdout=theirs, stderr=theirs, check=False,
    )  # fmt: skip
    seen = os.read(ours, 65_536)
    os.close(theirs)
    os.close(ours)
    assert finished.returncode == 0
    assert b"\x1b" not in seen
    assert re.search(rb"mdata: stream: [0-9,]+ candles in \d+ requests?; 0 of 2 series complete", seen)


def test_a_held_terminal_does_not_hold_the_stream(fast: Folder, wait: Callable[..., None]) -> None:
    """Nobody reads the terminal, as after Ctrl-S: its buffer fills up, and the candles come in all the same."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [MDATA, "stream", "--for", "10h"], env=fast.environ(TERM="xterm"), cwd=fast.path,
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    wait(lambda: candles(fast) > 240, seconds=30)
    before = candles(fast)
    # A table of 600 bytes four times a second fills the terminal's few KiB within seconds.
    wait(lambda: candles(fast) > before + 8, seconds=60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.close(ours)
