"""Signals: the first one ends the run in an orderly way, a second one ends it at once, Ctrl-Z waits for locks.

Python runs a handler only between two steps of the main thread, and one step can take long: a host name lookup, or an
SQLite statement. The interpreter also writes the number of each signal into a pipe as it arrives. A thread that reads
this pipe therefore ends the process on the second signal, whatever the main thread does. Committed work is safe; a
transaction that was not committed has no effect.
"""

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

from mdata import waiting
from mdata.errors import Stopped
from mdata.flock.suspension import SUSPENSION

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

_SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides the cursor
_writer = -1  # the end of the pipe that the interpreter writes to


def heed() -> None:
    """Let signals end this process, and let Ctrl-Z stop it as soon as it holds no lock that others wait for."""
    for number in ENDING:
        signal.signal(number, _stop)
    # A shell without job control sets it to ignored.
    if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
        signal.signal(signal.SIGTSTP, _suspend)
    global _writer
    before = _writer
    reader, _writer = os.pipe()
    os.set_blocking(_writer, False)
    signal.set_wakeup_fd(_writer, warn_on_full_buffer=False)
    if before >= 0:
        os.close(before)  # this ends the thread that reads it
    with suppress(RuntimeError):  # the system has no more threads
        threading.Thread(target=_watch, args=(reader,), daemon=True).start()


def _stop(number: int, _: FrameType | None) -> None:
    # Only the watching thread handles a second signal; the handler of the first must not raise twice.
    for other in ENDING:
        signal.signal(other, _leave_to_the_watching_thread)
    waiting.hurry(number)
    raise Stopped(number)


def _leave_to_the_watching_thread(_: int, __: FrameType | None) -> None:
    pass


def _watch(reader: int) -> None:
    first = True
    while numbers := os.read(reader, 64):
        for number in numbers:
            if number not in ENDING:
                continue
            if not first:
                _end_at_once(number)
            first = False
            # This also ends the waits of other threads if the main thread does not react.
            waiting.hurry(number)
    os.close(reader)


def _end_at_once(number: int) -> None:
    import select

    if sys.stderr.isatty() and select.select([], [2], [], 0)[1]:
        os.write(2, _SHOW_CURSOR)
    os._exit(128 + number)


def _suspend(number: int, _: FrameType | None) -> None:
    with SUSPENSION.guard:
        if not SUSPENSION.allows():
            return
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # stops here until it is continued
        signal.signal(number, _suspend)
