"""REST beside the stream: adds new series and fetches what a snapshot does not reach, in a thread of its own.

Waiting for a slot of the shared budget may take minutes; the stream continues in the meantime.
"""

import threading

from mdata.domain.retries import CATCH_UP_AGAIN
from mdata.errors import MdataError, StorageError
from mdata.fetching.passes import Passes
from mdata.fetching.wanted import Target
from mdata.running.context import Context
from mdata.running.job import Job
from mdata.running.worker import Worker
from mdata.store.opening import open_store


class CatchUp(Worker):
    """Processes requested ranges one at a time until `halt` is set; failures are in `troubles`."""

    def __init__(self, job: Job, halt: threading.Event) -> None:
        super().__init__()
        self._job, self._context, self._halt = job, job.context, halt
        # Target → up to when (ms UTC) to fetch, and the boot time (s) before which not to begin.
        self._wishes: dict[Target, tuple[int, float]] = {}
        self._changed = threading.Condition()
        self.troubles: dict[Target, MdataError] = {}
        self.unknown: set[Target] = set()

    def want(self, target: Target, before: int) -> None:
        """Add a series if it is new, and fetch what is missing before `before` (ms UTC)."""
        with self._changed:
            self._wishes[target] = (before, 0.0)
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Wait until the work has ended, for at most `seconds` of real time."""
        with self._changed:
            self._changed.notify()
        super().join(seconds)

    def work(self) -> None:
        """Fulfil the wishes as they come, with a store of its own."""
        with open_store(self._context.store.path) as store:
            context = self._context._replace(store=store, report=lambda _: None)
            passes = Passes(self._job.beside(context), lambda: 0)
            while (wish := self._next()) is not None:
                self._fulfil(passes, context, *wish)

    def _next(self) -> tuple[Target, int] | None:
        """Wait for a wish that is due; return None if the run is over."""
        clock = self._context.clock
        with self._changed:
            while not self._halt.is_set():
                now = clock.boottime()
                for target, (before, not_before) in self._wishes.items():
                    if not_before <= now:
                        del self._wishes[target]
                        return target, before
                soonest = min((at for _, at in self._wishes.values()), default=None)
                self._changed.wait(None if soonest is None else clock.real(soonest - now))
        return None

    def _fulfil(self, passes: Passes, context: Context, target: Target, before: int) -> None:
        lookback = context.settings.ws_catchup_lookback
        try:
            series = passes.introduce(target)
            if series is None:
                self.unknown.add(target)
            elif lookback:
                passes.catch_up(series, before, lookback)
            self.troubles.pop(target, None)
        except StorageError:
            raise
        except MdataError as error:
            self.troubles[target] = error
            context.log.warning(f"{target.name}: {error}; the stream continues without the candles before its start")
            with self._changed:
                self._wishes.setdefault(target, (before, context.clock.boottime() + CATCH_UP_AGAIN))
