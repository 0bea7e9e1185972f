"""What every job gets: the settings, what is outside of mdata (behind Protocols), and the limits of the run."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from mdata.clock import Clock
from mdata.config import Settings
from mdata.domain.priority import Priority
from mdata.domain.venue import Venue
from mdata.store.engine import Store
from mdata.store.jobs import Origin

if TYPE_CHECKING:
    from mdata.exchange.protocols import Exchange
    from mdata.ratelimit import BudgetView, SlotWait

T = TypeVar("T")


class Budget(Protocol):
    """The rate budget of one exchange, which all processes of this machine share."""

    def acquire(
        self,
        priority: Priority,
        plan: Callable[[], T | None],
        deadline: float | None = None,
        on_wait: "Callable[[SlotWait], None] | None" = None,
    ) -> T | None:
        """Wait for a slot, then return the request of `plan`; if that is None, the slot is given back."""
        ...

    def sent(self) -> None:
        """Record that the request leaves now."""
        ...

    def refused(self, retry_after: float | None) -> float:
        """Record a rate-limit refusal; no process sends for the returned number of seconds."""
        ...

    def answered(self) -> None:
        """Record any other answer."""
        ...

    def failed(self) -> None:
        """Record that a request failed and is retried one delay later."""
        ...

    def connect(self) -> None:
        """Wait until a WebSocket may connect; connects have their own budget."""
        ...

    def peek(self) -> "BudgetView":
        """Return the budget as it is; nothing is changed."""
        ...


class JobLog(Protocol):
    """Where a job writes messages for people; data goes into its result."""

    def debug(self, text: str) -> None:
        """Log a detail for debugging."""
        ...

    def info(self, text: str) -> None:
        """Log progress."""
        ...

    def warning(self, text: str) -> None:
        """Log something that needs attention."""
        ...


class Limits(NamedTuple):
    """How long a run may last (seconds) and how many requests it may send; None: no limit.

    The time counts from `since` (seconds of boot time), or from when the job begins if `since` is None.
    """

    max_runtime: float | None = None
    max_requests: int | None = None
    since: float | None = None


class Progress(NamedTuple):
    """How far a run is: requests sent and expected in all, what it works on, and seconds until it may be done."""

    done: int
    expected: int
    at: str
    seconds_left: float


class Context(NamedTuple):
    """Everything a job works with.

    `budget` returns the rate budget of an exchange, and `exchange` a connection to it.
    """

    settings: Settings
    clock: Clock
    store: Store
    budget: Callable[[Venue], Budget]
    exchange: "Callable[[Venue], Exchange]"
    log: JobLog
    origin: Origin
    limits: Limits = Limits()
    report: Callable[[Progress], None] = lambda _: None

    @property
    def settle(self) -> int:
        """For how long an interval must have been closed to be final, ms."""
        return self.settings.settle
