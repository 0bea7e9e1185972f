"""What a person at a terminal is asked and shown, and what happens where nobody can answer."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest
from conftest import DAY, MDATA, Folder, stored


def at_a_terminal(folder: Folder, *arguments: str, answer: str = "", **settings: str) -> tuple[int, str]:
    """Run the command line at a terminal of its own, and answer its question; return exit code and screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [MDATA, *arguments], env=folder.environ(TERM="xterm", COLUMNS="120", **settings), cwd=folder.path,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen = bytearray()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            seen += os.read(ours, 4096) if select.select([ours], [], [], 1)[0] else b""
        except OSError:
            break
        if b"[y/N]" in seen and answer == "Ctrl-C":
            # Again, if need be: between the question and the waiting for an answer Python may not notice it.
            process.send_signal(signal.SIGINT)
        elif b"[y/N]" in seen and answer:
            os.write(ours, answer.encode())
            answer = ""
    os.close(ours)
    return process.wait(60), seen.decode()


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 1), ("n\n", 2, 2), ("\n", 2, 2), ("Ctrl-C", 130, 2)])
def test_cleanup_asks_a_person_and_takes_no_for_an_answer(folder: Folder, answer: str, code: int, left: int) -> None:
    folder.settings.update(BACKFILL_DAYS="2", RETENTION_DAYS="0")
    folder.run("backfill")
    ended, screen = at_a_terminal(folder, "cleanup", answer=answer, RETENTION_DAYS="1")
    assert ended == code, screen
    assert "Delete 1440 candles past RETENTION_DAYS" in screen
    now = folder.sandbox.clock.now()
    assert stored(folder.database, "tBTCUSD", "1m")[0][0] == now - now % DAY - left * DAY


def test_cleanup_without_a_terminal_wants_yes(folder: Folder) -> None:
    ended = folder.run("cleanup", "--json")
    assert ended.exit == 2
    assert "needs --yes" in ended.err
    assert not folder.database.exists()


@pytest.mark.parametrize("name", ["RETENTION_DAYS", "RETENTION_DAYS_BY_TIMEFRAME", "JOBS_RETENTION_DAYS"])
def test_a_retention_that_lies_about_in_a_folder_deletes_from_no_store_elsewhere(folder: Folder, name: str) -> None:
    folder.settings["BACKFILL_DAYS"] = "3"
    folder.run("backfill")
    before = stored(folder.database, "tBTCUSD", "1m")
    lying_about = folder.path / ".env"
    value = "1m=1" if name.endswith("TIMEFRAME") else "1"
    lying_about.write_text(f"{name}={value}\n")
    ended = folder.run("cleanup", "--yes")
    assert ended.exit == 78
    assert f"nothing was deleted: {name} is set in {lying_about}, which was only found" in ended.err
    assert f"`--env-file {lying_about}`" in ended.err
    assert "only found because it is in this folder" in folder.run("cleanup", "--dry-run").err
    code, screen = at_a_terminal(folder, "cleanup", "--yes", answer="n\n")
    assert code == 2, screen
    assert stored(folder.database, "tBTCUSD", "1m") == before
    # Said otherwise, it is meant.
    assert folder.run("cleanup", "--yes", **{name: value}).exit == 0
    lying_about.write_text(f"{name}={value}\nDATABASE_PATH={folder.database}\n")
    assert folder.run("cleanup", "--yes").exit == 0
    lying_about.write_text(f"{name}={value}\n")
    assert folder.run("cleanup", "--yes", "--env-file", ".env").exit == 0
    lying_about.write_text("RETENTION_DAYS=0\nJOBS_RETENTION_DAYS=30\n")
    assert folder.run("cleanup", "--yes").exit == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_retention_that_another_user_wrote_is_not_followed_even_if_it_names_the_store(folder: Folder) -> None:
    folder.settings["BACKFILL_DAYS"] = "3"
    folder.run("backfill")
    before = stored(folder.database, "tBTCUSD", "1m")
    theirs = folder.path / ".env"
    theirs.write_text(f"RETENTION_DAYS=1\nDATABASE_PATH={folder.database}\n")
    os.chown(theirs, 60_001, 60_001)
    ended = folder.run("cleanup", "--yes")
    assert ended.exit == 78
    assert f"RETENTION_DAYS is set in {theirs}" in ended.err
    assert "which belongs to another user" in ended.err
    assert stored(folder.database, "tBTCUSD", "1m") == before


def test_a_person_may_take_a_retention_that_lies_about(folder: Folder) -> None:
    folder.settings["BACKFILL_DAYS"] = "3"
    folder.run("backfill")
    (folder.path / ".env").write_text("RETENTION_DAYS=1\n")
    code, screen = at_a_terminal(folder, "cleanup", "--yes", answer="y\n")
    assert code == 0, screen
    assert f"Delete candles from {folder.database} by this retention?" in screen
    assert len(stored(folder.database, "tBTCUSD", "1m")) <= 2 * 1440


def test_a_person_sees_how_far_a_run_is_and_a_pipe_does_not(folder: Folder) -> None:
    settings = {"RATE_LIMIT_DELAY": "0.4"}
    code, screen = at_a_terminal(folder, "backfill", **settings)
    assert code == 0
    # 31 days are 44,640 minutes: five pages.
    assert re.search(r"\d/5 requests, about \d+ s left", screen), screen
    assert "tBTCUSD 1m" in screen
    code, screen = at_a_terminal(folder, "backfill", BACKFILL_DAYS="40", NO_COLOR="1")
    assert code == 0
    assert "requests, about" not in screen
    assert "\x1b[" not in screen
    ended = folder.run("backfill", BACKFILL_DAYS="50")
    assert "\x1b" not in ended.out + ended.err
    assert json.loads(folder.run("status", "--json").out)["series"][0]["complete"]
