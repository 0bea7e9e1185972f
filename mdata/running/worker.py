"""A thread of a run, beside the main one."""

import threading
from abc import ABC, abstractmethod

from mdata.clock import Halted


class Worker(ABC):
    """Does its work in a thread of its own; what goes wrong there is kept in `failure`, for the main one to raise."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        # A thread that hangs in an answer must not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait until the work has ended, for at most `seconds` of life."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    @abstractmethod
    def work(self) -> None:
        """Do the work; a sleep that is ended by Halted ends it."""

    def _run(self) -> None:
        try:
            self.work()
        except Halted:
            pass
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self.failure = error
