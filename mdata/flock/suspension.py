"""Ctrl-Z, put off while a lock is held that others wait for."""

import os
import signal
import threading


class Suspension:
    """Ctrl-Z, put off while a lock is held that others wait for: a stopped process would hold it for ever.

    `hold` and `free` surround the holding; `allows` is for the signal's handler, which stops the process inside of
    `guard`, so that no thread takes a lock meanwhile.
    """

    def __init__(self) -> None:
        self.guard = threading.RLock()  # the handler may interrupt whoever has it
        self.is_wanted = False
        self._held = 0

    def hold(self) -> None:
        """Begin to hold a lock, or to wait in the queue for one."""
        with self.guard:
            self._held += 1

    def free(self) -> None:
        """End to hold it; a signal that came meanwhile is sent again."""
        with self.guard:
            self._held -= 1
            is_due = self.is_wanted and not self._held
        if is_due:
            os.kill(os.getpid(), signal.SIGTSTP)

    def allows(self) -> bool:
        """Whether the process may be stopped now; if not, it is as soon as it may."""
        self.is_wanted = bool(self._held)
        return not self._held


SUSPENSION = Suspension()
