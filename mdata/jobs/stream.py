"""`stream`: closed candles by WebSocket, for a limited time; only what was seen is covered.

A thread per connection listens (`feed`), and another one requests by REST what snapshots do not reach (`catch_up`). A
few times a second the main thread stores what is due, reports activity to the service manager, and shows the state.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from mdata.domain import planning
from mdata.domain.candle import Candle
from mdata.domain.escape import quote
from mdata.domain.priority import Priority
from mdata.domain.venue import Venue
from mdata.errors import (
    BadAnswerError,
    ConfigurationError,
    MdataError,
    NotNowError,
    RowsRefusedError,
    StorageError,
    UnreachableError,
)
from mdata.exchange import registry
from mdata.exchange.protocols import Line
from mdata.fetching.ledger import covered_before, stored_ledgers
from mdata.fetching.wanted import Target, find, targets
from mdata.running.context import Context
from mdata.running.job import Job
from mdata.running.result import JobResult
from mdata.running.run import Remainder, run
from mdata.running.worker import Worker
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.pages import apply_live, keep_refused
from mdata.streaming.catch_up import CatchUp
from mdata.streaming.feed import Due, ExchangeTime, Feed, StreamSource
from mdata.streaming.stream_view import Standing, StreamView

COMMAND = "stream"

# Real seconds between two checks of what is due. A candle waits at most this long for a check.
_LOOK_EVERY = 0.2
# Within how many seconds the first connection must be subscribed, and how long a run may last without any data.
_READY_SECONDS, _NO_DATA_SECONDS = 45.0, 300.0
# Seconds, at least, between two reports to the service manager that the stream is alive.
_TELL_EVERY = 5.0
# Seconds, at least, between two log lines that the database cannot be written to.
_COMPLAIN_EVERY = 60.0
# How long (real seconds) threads have to end; a thread that still waits for an answer is then abandoned.
_END_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Outside:
    """What a stream uses besides the exchange and the store; `halt` wakes all sleeping threads.

    `connect` opens a connection to the stream of an exchange.
    """

    connect: Callable[[Venue], AbstractContextManager[Line]]
    jitter: Callable[[float, float], float]
    halt: threading.Event
    notify: Callable[..., None] = lambda *_: None
    show: Callable[[StreamView], None] = lambda _: None
    tell: Callable[[Target, tuple[Candle, ...]], None] = lambda *_: None


def stream(context: Context, outside: Outside, seconds: float) -> JobResult:
    """Listen for `seconds` to all series of the settings; the caller holds the command's lock.

    `context.clock` is a HaltingClock on `outside.halt`.
    """
    job = Job(COMMAND, context, Priority.UPDATE)
    return run(job, _Stream(job, outside, seconds).work, _find_remainder)


class _Stream:
    """One run: its connections, and what has been stored and reported."""

    def __init__(self, job: Job, outside: Outside, seconds: float) -> None:
        self._job, self._context, self._outside = job, job.context, outside
        self._time = ExchangeTime(job.context.clock, job.context.log.warning)
        wanted = targets(job.context.settings)
        self._feeds = self._feeds_of(wanted)
        self._catch_up = CatchUp(job, outside.halt)
        self._workers: list[Worker] = [self._catch_up, *self._feeds]
        self._standing = Standing(wanted)
        self._started_at = job.context.clock.boottime()
        self._until = self._started_at + seconds
        self._is_ready = False
        self._life_at = self._told_at = self._started_at
        self._held_up_at = -_COMPLAIN_EVERY
        self._complained: set[str] = set()

    def _feeds_of(self, wanted: list[Target]) -> list[Feed]:
        """Return the connections for these series, each with as many channels as its exchange allows."""
        feeds = []
        for venue in dict.fromkeys(one.venue for one in wanted):
            limits, open_stream = venue.stream, registry.adapter(venue).open_stream
            if limits is None or open_stream is None:
                self._job.context.log.warning(
                    f"{venue.title} has no stream of candles; `mdata update` fetches them by REST"
                )
                continue
            spoken, here = open_stream(), [one for one in wanted if one.venue == venue]
            source = StreamSource(venue, limits, spoken, partial(self._outside.connect, venue))
            for first in range(0, len(here), limits.per_connection):
                part = here[first : first + limits.per_connection]
                targets = {spoken.key_of(one.symbol, one.timeframe.name): one for one in part}
                feeds.append(
                    Feed(targets, source, self._context, self._time, self._outside.jitter, self._outside.halt)
                )
        return feeds

    def work(self, _: Job) -> None:
        """Listen until the time is over, a signal comes, or no connection is left."""
        is_storable = True
        try:
            for worker in self._workers:
                worker.start()
            while self._context.clock.boottime() < self._until and not all(feed.is_over for feed in self._feeds):
                self._look()
                self._outside.halt.wait(_LOOK_EVERY)
        except StorageError:
            is_storable = False
            raise
        finally:
            self._end()
            if is_storable:
                self._store()
        self._complain()
        self._complain_of_unanswered()
        for trouble in self._catch_up.troubles.values():
            self._job.has_problem(trouble)

    def _look(self) -> None:
        """Do everything that is due: store, request what is missing before snapshots, check for activity, report."""
        for worker in self._workers:
            if worker.failure is not None:
                raise worker.failure
        try:
            self._store()
        except NotNowError as error:
            # Another program has locked the database: received candles stay in memory, and none is lost.
            now = self._context.clock.boottime()
            if now - self._held_up_at > _COMPLAIN_EVERY:
                self._held_up_at = now
                self._context.log.warning(f"{error}; closed candles are kept in memory and stored later")
        for feed in self._feeds:
            for target, before in feed.reaches():
                self._catch_up.want(target, before)
        self._complain()
        self._judge()
        self._tell()

    def _end(self) -> None:
        self._outside.notify("STOPPING=1", "STATUS=ending")
        self._outside.halt.set()
        for worker in self._workers:
            worker.join(_END_SECONDS)

    def _store(self) -> None:
        """Commit what all channels have shown and is not stored yet, in one transaction."""
        dues = [(feed, due) for feed in self._feeds for due in feed.due(self._time.now())]
        # A series that is new is introduced first; until then its channel keeps what it has shown.
        dues = [(feed, due) for feed, due in dues if find(self._context.store, due.target)]
        if not dues:
            return
        with self._job.write() as connection:
            written = [(due.target, self._apply(connection, due)) for _, due in dues]
        for feed in self._feeds:
            feed.stored([due for other, due in dues if other is feed])
        for _, due in dues:
            self._standing.note(due)
            for row in due.refused[:1]:
                self._problem(due.target.name, RowsRefusedError, f"a row was rejected: {row.reason}: {row.text}")
        for target, rows in written:
            self._outside.tell(target, rows)

    def _apply(self, connection: Connection, due: Due) -> tuple[Candle, ...]:
        """Store what one channel has shown, and return the candles that are new or different."""
        series, now = table.find(connection, *due.target), self._context.clock.now()
        if series is None:
            return ()
        applied = apply_live(connection, series, due.claims, now)
        keep_refused(connection, series, due.refused, now, COMMAND)
        self._job.count(candles_written=applied.written, gaps_repaired=applied.repaired, gaps_empty=applied.empty)
        return applied.rows

    def _complain(self) -> None:
        """Record the channels that the exchange refuses; the others continue."""
        for feed in self._feeds:
            for key, refusal in feed.refused.items():
                kind = ConfigurationError if refusal.is_unknown else UnreachableError
                advice = "; correct SYMBOLS" if refusal.is_unknown else ""
                text = f"the exchange refused the channel: {quote(refusal.text)} (code {refusal.code}){advice}"
                self._problem(feed.targets[key].name, kind, text)

    def _complain_of_unanswered(self) -> None:
        """Record the channels that the exchange has neither opened nor refused, although it had time to."""
        for feed in self._feeds:
            for key in sorted(feed.unanswered):
                self._problem(
                    feed.targets[key].name, UnreachableError, "the exchange has not answered the subscription"
                )

    def _problem(self, name: str, kind: type[MdataError], text: str) -> None:
        """Record only the first problem of each kind per series, because a failing stream repeats it all day."""
        if f"{name} {kind}" not in self._complained:
            self._complained.add(f"{name} {kind}")
            self._job.has_problem(kind(f"{name}: {text}"))

    def _judge(self) -> None:
        """Report the service ready as soon as it is; give up if no data come."""
        now = self._context.clock.boottime()
        is_late = now - self._started_at > _READY_SECONDS
        # If some channels are not answered in time, continue with the others.
        can_begin = any(feed.was_subscribed or (is_late and feed.heard_at is not None) for feed in self._feeds)
        if not self._is_ready and can_begin:
            self._is_ready = True
            self._outside.notify("READY=1", f"STATUS={self._view().summary}")
        if not self._is_ready and is_late:
            self._end_for_lack(f"could not subscribe to any channel within {_READY_SECONDS:.0f} s")
        heard_at = max(self._started_at, *(feed.heard_at or 0 for feed in self._feeds))
        if now - heard_at > _NO_DATA_SECONDS:
            self._end_for_lack(f"received no data for {_NO_DATA_SECONDS / 60:.0f} minutes")

    def _end_for_lack(self, text: str) -> NoReturn:
        trouble = next((feed.trouble for feed in self._feeds if feed.trouble is not None), None)
        kind = type(trouble) if isinstance(trouble, BadAnswerError) else UnreachableError
        raise kind(text if trouble is None else f"{text}: {trouble}")

    def _tell(self) -> None:
        """Display the state, and report activity to the service manager if there was any."""
        view, now = self._view(), self._context.clock.boottime()
        self._outside.show(view)
        if now - self._told_at < _TELL_EVERY:
            return
        life_at = max(max(feed.heard_at or 0, feed.tried_at or 0) for feed in self._feeds)
        alive = ("WATCHDOG=1",) if life_at > self._life_at else ()
        self._life_at, self._told_at = max(life_at, self._life_at), now
        self._outside.notify(*alive, f"STATUS={view.summary}")

    def _view(self) -> StreamView:
        left = self._until - self._context.clock.boottime()
        return self._standing.view(self._feeds, self._time.now(), self._job.tally.candles_written, left)


def _find_remainder(job: Job) -> Remainder:
    """Count what is unknown of the settled intervals that a stream would catch up with."""
    context, left = job.context, 0
    lookback = context.settings.ws_catchup_lookback
    for ledger in stored_ledgers(context):
        series = ledger.series
        before = series.timeframe.closed_end(ledger.now, ledger.settle)
        covered = covered_before(context.store, series, before, lookback)
        left += sum(series.timeframe.count(*part) for part in planning.behind(ledger, covered, before, lookback))
    return Remainder(left)
