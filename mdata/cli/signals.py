"""What signals do: the first one ends the run in order, a second one ends it at once, and Ctrl-Z waits for a moment.

Python runs a handler between two steps of its main thread, which may be a long time off: in a look-up of a host's
name, in one statement of SQLite. A thread that reads from a pipe, into which the interpreter writes each signal's
number as it comes, therefore ends the process on the second signal, whatever the main thread does; what was committed
is safe, and what was not has not happened.
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

_SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it
_writer = -1  # the end of the pipe that the interpreter writes to


def heed() -> None:
    """Have signals end this process, and have Ctrl-Z stop it when nobody waits for a lock of it."""
    for number in ENDING:
        signal.signal(number, _stop)
    # A shell without job control has it ignored.
    if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
        signal.signal(signal.SIGTSTP, _suspend)
    global _writer
    before = _writer
    reader, _writer = os.pipe()
    os.set_blocking(_writer, False)
    signal.set_wakeup_fd(_writer, warn_on_full_buffer=False)
    if before >= 0:
        os.close(before)  # the thread at its other end ends
    with suppress(RuntimeError):  # the system has no thread left
        threading.Thread(target=_watch, args=(reader,), daemon=True).start()


def _stop(number: int, _: FrameType | None) -> None:
    # A second signal is for the watching thread alone: the answer to the first must not be raised out of twice.
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
            # Whatever other threads wait for ends, too, if the main one cannot be reached.
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
        signal.raise_signal(number)  # stands still here until it is continued
        signal.signal(number, _suspend)
