"""Ctrl-Z at a terminal: the command stops within a moment, and never while it holds what others wait for."""

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import MDATA, Folder
from holding import held, holds, is_stopped
from killing import assert_sound

Record = Callable[[str, object], None]
Wait = Callable[..., None]

SUSPENSIONS = 20


class Shell:
    """A shell with job control, at a terminal of its own."""

    def __init__(self, folder: Folder) -> None:
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"], stdin=theirs, stdout=theirs, stderr=theirs,
            env=folder.environ(TERM="dumb", PS1="$ "), cwd=folder.path,
        )  # fmt: skip
        os.close(theirs)
        os.set_blocking(self._terminal, False)
        self.seen = b""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def shows(self, text: str) -> bool:
        with suppress(BlockingIOError):
            self.seen += os.read(self._terminal, 65_536)
        return text.encode() in self.seen

    def child(self) -> int | None:
        """Return the process that the shell has started, once it is `mdata` itself."""
        pids = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return next((int(pid) for pid in pids if "mdata" in Path(f"/proc/{pid}/cmdline").read_text()), None)

    def end(self) -> None:
        child = self.child()
        if child is not None:
            os.kill(child, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.fixture
def shell(folder: Folder) -> Iterator[Shell]:
    """A folder with things to delete, and a shell in it."""
    folder.settings["BACKFILL_DAYS"] = "180"
    assert folder.run("backfill").exit == 0
    folder.settings["RETENTION_DAYS"] = "1"
    opened = Shell(folder)
    yield opened
    opened.end()


def running(shell: Shell, wait: Wait) -> int:
    wait(lambda: shell.child() is not None)
    pid = shell.child()
    assert pid is not None
    return pid


def test_cleanup_stops_when_nobody_waits_for_it(
    shell: Shell, folder: Folder, wait: Wait, record_property: Record
) -> None:
    gate = folder.path / "mdata.db.write.lock"
    shell.type(f"{MDATA} cleanup --yes; echo ended $?\n")
    pid = running(shell, wait)
    stops, longest = 0, 0.0
    while stops < SUSPENSIONS and not shell.shows("\nended 0"):
        wait(lambda: holds(pid, gate) or shell.shows("\nended 0"))
        pressed = time.monotonic()
        shell.type("\x1a")
        wait(lambda: shell.shows("\nended 0") or is_stopped(pid))
        if shell.shows("\nended 0"):
            break
        longest = max(longest, time.monotonic() - pressed)
        stops += 1
        assert not holds(pid, gate)
        told = folder.run("detect-gaps", "--max-runtime", "5s")
        assert told.exit == 0, told.err
        shell.type("fg; echo ended $?\n")
        wait(lambda: not is_stopped(pid))
    wait(lambda: shell.shows("\nended 0"), 60)
    record_property("times that Ctrl-Z was pressed while it wrote, and it stopped without the lock", stops)
    record_property("longest wait for Ctrl-Z (s)", round(longest, 3))
    assert stops >= 5
    assert longest <= 1
    assert_sound(folder)


def test_a_command_that_waits_for_a_lock_can_be_stopped(shell: Shell, folder: Folder, wait: Wait) -> None:
    gate = folder.path / "mdata.db.write.lock"
    with held(gate) as holder:
        shell.type(f"{MDATA} cleanup --yes; echo ended $?\n")
        pid = running(shell, wait)
        wait(lambda: shell.shows("waiting for"))
        shell.type("\x1a")
        wait(lambda: is_stopped(pid), 1)
        holder.send_signal(signal.SIGCONT)
        holder.communicate("")
        assert folder.run("detect-gaps", "--max-runtime", "30s").exit == 0, "it stands in no line while it is stopped"
        shell.type("fg; echo ended $?\n")
    wait(lambda: shell.shows("\nended 0"), 60)
    assert_sound(folder)
