"""Delays Ctrl-Z while a lock is held that others wait for."""

import os
import signal
import threading


class Suspension:
    """Delays Ctrl-Z while a lock is held that others wait for, because a stopped process would hold it for ever.

    `hold` and `free` enclose the use of a lock; `allows` is for the signal handler, which stops the process inside
    `guard`, so that no thread takes a lock meanwhile.
    """

    def __init__(self) -> None:
        self.guard = threading.RLock()  # reentrant: the handler may interrupt the thread that holds it
        self.is_wanted = False
        self._held = 0

    def hold(self) -> None:
        """Start to hold a lock, or to wait in the queue for one."""
        with self.guard:
            self._held += 1

    def free(self) -> None:
        """Stop holding a lock, and resend a signal that arrived meanwhile."""
        with self.guard:
            self._held -= 1
            is_due = self.is_wanted and not self._held
        if is_due:
            os.kill(os.getpid(), signal.SIGTSTP)

    def allows(self) -> bool:
        """Whether the process may be stopped now; if not, it is stopped as soon as possible."""
        self.is_wanted = bool(self._held)
        return not self._held


SUSPENSION = Suspension()
