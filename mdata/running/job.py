"""One run of one subcommand: its row in the database, its counters, its requests, and how it ends."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, TypeVar

from mdata.domain import next_attempt
from mdata.domain.priority import Priority
from mdata.domain.retries import GARBLED_TRIES
from mdata.domain.times import iso
from mdata.domain.venue import Venue
from mdata.errors import (
    GarbledError,
    MdataError,
    RateLimitedError,
    SlotLostError,
    UnreachableError,
)
from mdata.exchange import registry
from mdata.exit_codes import BAD_ANSWER, NOT_NOW, OK, ROWS_REFUSED, find, worst
from mdata.running.context import Context
from mdata.running.result import JobResult
from mdata.store import jobs as table
from mdata.store.connection import Connection
from mdata.store.jobs import Ending, Tally

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from mdata.exchange.protocols import Exchange
    from mdata.ratelimit import SlotWait

T = TypeVar("T")
R = TypeVar("R")

# What to do about an answer that was not stored, or only in part.
_ADVICE = {
    ROWS_REFUSED: "rejected rows are kept in the table rejected_rows; "
    "`mdata detect-gaps` and `mdata repair` fetch their intervals again",
    BAD_ANSWER: "run this again later; if it keeps failing, the exchange's API has changed and mdata needs an update",
}

# How long (s) a run waits for others without a message.
_LONG_WAIT = 10.0


class LimitReachedError(Exception):
    """The run has used up its time or its requests; work remains."""


class _Progress:
    """How far a run is: what all of its threads share, and the lock that makes them take turns."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.problems: list[MdataError] = []
        self.id: int | None = None
        self.blocked_until = 0  # the end of the newest block that was logged, ms UTC
        self.has_said_others = False
        self.venues: set[str] = set()  # exchanges to which the run wanted to send requests
        self.guard = threading.RLock()


class Job:
    """A run of `command`. Its row appears with its first write; a run without work writes once, at its end."""

    def __init__(self, command: str, context: Context, priority: Priority) -> None:
        self.command, self.context, self.priority = command, context, priority
        self.started_at = context.clock.now()
        self._progress = _Progress()
        self._skipped: str | None = None
        self._not_before = 0
        self.has_ended_early = False  # by a limit or a signal
        limit, since = context.limits.max_runtime, context.limits.since
        self._deadline = None if limit is None else (context.clock.boottime() if since is None else since) + limit

    def beside(self, context: Context) -> "Job":
        """Return the same run for another thread, with that thread's own store."""
        other = copy(self)
        other.context = context
        return other

    @property
    def tally(self) -> Tally:
        """Return what the run has done so far."""
        return self._progress.tally

    @property
    def problems(self) -> list[MdataError]:
        """Return what has gone wrong so far."""
        return self._progress.problems

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection inside a write transaction, which also stores the job's progress."""
        progress = self._progress
        with progress.guard, self.context.store.write() as connection:
            began, tally = progress.id, progress.tally
            if progress.id is None:
                progress.id = table.begin(connection, self.command, self.started_at, self.context.origin)
            try:
                yield connection
                table.progress(connection, progress.id, progress.tally)
            except BaseException:
                progress.id, progress.tally = began, tally
                raise

    def count(self, **gains: int) -> None:
        """Add to the counters."""
        with self._progress.guard:
            tally = self._progress.tally
            self._progress.tally = tally._replace(
                **{name: getattr(tally, name) + gain for name, gain in gains.items()}
            )

    def has_problem(self, problem: MdataError) -> None:
        """Record what went wrong with a part of the work; the rest continues."""
        self.context.log.warning(str(problem))
        self.problems.append(problem)

    def skip(self, reason: str) -> None:
        """Record that a part of the work was left out on purpose: the outcome is skipped, and the exit code 0."""
        self._skipped = reason

    def of_no_use_before(self, instant: int) -> None:
        """Record that another run cannot make progress before `instant` (ms UTC)."""
        self._not_before = instant

    def check_time(self) -> None:
        """Raise LimitReachedError if the run has lasted as long as it may."""
        if self._deadline is not None and self.context.clock.boottime() >= self._deadline:
            raise LimitReachedError(f"the time limit of {self.context.limits.max_runtime:.0f} s was reached")

    def ask(
        self, venue: Venue, plan: Callable[[], T | None], send: "Callable[[Exchange, T, Callable[[], None]], R]"
    ) -> R | None:
        """Wait for a slot of an exchange, plan, send, and return the answer, retrying if that may help.

        Return None if the plan finds nothing to request. Raise LimitReachedError if the run's limit is reached, and
        the error of the last try if all tries fail.
        """
        # Imported here: a run with nothing due never needs it.
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        tries = Retrying(
            retry=retry_if_exception(self._is_worth_another_try),
            stop=stop_after_attempt(self.context.settings.rate_limit_max_retries + 1),
            # The shared budget decides when to retry.
            sleep=lambda _: None,
            before_sleep=self._say_that_it_is_tried_again,
            reraise=True,
        )
        self._garbled = 0
        return tries(self._try_once, venue, plan, send)

    def _say_that_it_is_tried_again(self, state: "RetryCallState") -> None:
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, RateLimitedError):  # a rate limit was logged already
            self.context.log.info(f"{error}; retrying")

    def _is_worth_another_try(self, error: BaseException) -> bool:
        if isinstance(error, GarbledError):
            self._garbled += 1
            return self._garbled < GARBLED_TRIES
        return isinstance(error, UnreachableError | RateLimitedError)

    def _try_once(
        self, venue: Venue, plan: Callable[[], T | None], send: "Callable[[Exchange, T, Callable[[], None]], R]"
    ) -> R | None:
        while (request := self._slot(venue, plan)) is not None:
            self.count(requests=1)
            try:
                return self._send(venue, request, send)
            except SlotLostError:
                self.count(requests=-1)
        return None

    def _send(self, venue: Venue, request: T, send: "Callable[[Exchange, T, Callable[[], None]], R]") -> R:
        budget = self.context.budget(venue)
        try:
            answer = send(self.context.exchange(venue), request, budget.sent)
        except RateLimitedError as error:
            seconds = budget.refused(error.retry_after)
            self._progress.blocked_until = self.context.clock.now() + int(seconds * 1000)
            self.context.log.warning(f"{error}; all mdata processes pause for {seconds:.0f} s")
            raise
        except (UnreachableError, GarbledError):
            budget.failed()
            raise
        budget.answered()
        return answer

    def _slot(self, venue: Venue, plan: Callable[[], T | None]) -> T | None:
        limits = self.context.limits
        if limits.max_requests is not None and self.tally.requests >= limits.max_requests:
            plural = "" if limits.max_requests == 1 else "s"
            raise LimitReachedError(f"the limit of {limits.max_requests} request{plural} was reached")
        self.check_time()
        # Slow preparations happen before the slot is granted, so that the request is sent at once.
        self.context.exchange(venue)
        self._progress.venues.add(venue.name)
        try:
            return self.context.budget(venue).acquire(self.priority, plan, self._deadline, self._say_why)
        except TimeoutError as error:
            raise LimitReachedError(
                f"the time limit of {limits.max_runtime:.0f} s would be exceeded; {error}"
            ) from error

    def _say_why(self, wait: "SlotWait") -> None:
        """Log until when all processes pause (once per block), and that other processes go first (once per run)."""
        progress, log = self._progress, self.context.log
        if wait.is_blocked:
            # The same instant is calculated a few milliseconds differently each time.
            if wait.until > progress.blocked_until + 1000:
                log.info(f"the exchange's rate limit blocks all requests until {iso(wait.until)}; waiting")
            progress.blocked_until = max(progress.blocked_until, wait.until)
        elif wait.lasts > _LONG_WAIT and wait.ahead and not progress.has_said_others:
            progress.has_said_others = True
            log.info(
                f"{wait.ahead} other processes are waiting to send requests; the next request is possible at "
                f"{iso(wait.until)}"
            )

    def finish(self, remaining: int = 0, reason: str | None = None, *, exit_code: int = OK) -> JobResult:
        """Store how the run ended and return it; the worst of `exit_code` and all problems wins."""
        finished_at = self.context.clock.now()
        code = worst(exit_code, *(problem.exit_code for problem in self.problems))
        more = [sentence for sentence in (self._skipped, reason) if sentence]
        sentences = [*dict.fromkeys(str(problem) for problem in self.problems), *more]
        text = "; ".join(sentences) or None
        if text and code in _ADVICE:
            text += f"; {_ADVICE[code]}"
        is_said = any(problem.next_attempt for problem in self.problems)
        if (find(code).is_retryable or self._not_before) and not is_said:
            text = "; ".join(filter(None, (text, self._when(finished_at))))
        self._progress.tally = self.tally._replace(remaining=remaining)
        outcome = self._outcome(code)
        ending = Ending("interrupted" if code > 128 else outcome, code, text)
        with self.write() as connection:
            table.finish(connection, self._progress.id or 0, self.tally, finished_at, ending)
        job_id = self._progress.id
        return JobResult(self.command, code, outcome, text, self.started_at, finished_at, job_id, self.tally)

    def _outcome(self, code: int) -> str:
        if code == OK and self._skipped:
            return "skipped"
        has_done_something = self.tally.candles_written or self.tally.candles_changed
        return "partial" if code == NOT_NOW and has_done_something else find(code).outcome

    def _when(self, now: int) -> str:
        """Return the words that say when to run the same command again."""
        free = [self.context.budget(venue).peek().next_request_at or 0 for venue in self._asked_of()]
        return next_attempt.at(max(self._not_before, min(free)), now)

    def _asked_of(self) -> list[Venue]:
        """Return the exchanges to which this run wanted to send requests; if none, those of its settings."""
        named = dict.fromkeys(registry.resolve(name)[0] for name in self.context.settings.symbols)
        return [venue for venue in named if venue.name in self._progress.venues] or [*named]
