"""A thread of a run besides the main one."""

import threading
from abc import ABC, abstractmethod

from mdata.clock import Halted


class Worker(ABC):
    """Works in a thread of its own; an exception there is kept in `failure`, and the main thread raises it."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        # A thread that hangs while it waits for an answer must not delay the end of the process.
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait until the work has ended, for at most `seconds` of real time."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    @abstractmethod
    def work(self) -> None:
        """Do the work; it ends when a sleep raises Halted."""

    def _run(self) -> None:
        try:
            self.work()
        except Halted:
            pass
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self.failure = error
