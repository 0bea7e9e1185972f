"""One WebSocket connection kept open in a thread of its own: what its channels show, ready to be stored.

The thread only listens: messages go straight into the channels' bounded state, so that a slow disk neither loses nor
delays any, and no queue can grow. The storing thread takes what is due when it has time.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mdata.clock import Clock
from mdata.domain.budget import reconnect_delay
from mdata.domain.candle import Candle
from mdata.domain.claim import Claim, Faulty
from mdata.domain.retries import TOO_MANY_CONNECTS
from mdata.domain.venue import Channels, Venue
from mdata.errors import ConfigurationError, MdataError, RateLimitedError, UnreachableError
from mdata.exchange.adapter import StreamAdapter
from mdata.exchange.protocols import Line, OpenSession, Refusal, ShownChannel
from mdata.fetching.wanted import Target
from mdata.running.context import Context
from mdata.running.worker import Worker

# How many ended connections are kept until their last claims are stored. If a series cannot be stored yet, they must
# not pile up.
_MOST_ENDED = 4
# Clocks this far apart (ms) for this long (s) cause a warning.
_APART, _APART_SECONDS = 30_000, 60.0
# If a frame's timestamp is more than this much (ms) further ahead than the earlier ones, it is only believed once all
# frames have shown the same leap for this long (s): one wrong timestamp must not make a forming candle look closed.
_LEAP, _LEAP_SECONDS = 10_000, 10.0
# A channel without a snapshot for this long (s) will not get one.
_SNAPSHOT_SECONDS = 15.0
# Seconds, at least, between two log lines about a lost connection.
_SAY_EVERY = 60.0
# How often (s) a thread that receives nothing checks whether the run is over.
_LOOK_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class StreamSource:
    """An exchange's stream as a run uses it: its limits, its protocol, and how a connection is opened."""

    venue: Venue
    limits: Channels
    spoken: StreamAdapter
    connect: Callable[[], AbstractContextManager[Line]]


class ExchangeTime:
    """The exchange's time (ms UTC): the local clock, corrected by its last known difference to the exchange's."""

    def __init__(self, clock: Clock, warn: Callable[[str], None]) -> None:
        self._clock, self._warn = clock, warn
        self._ahead: int | None = None
        # Whether two frames have agreed on the difference; a larger one that waits to be believed, and since when.
        self._is_agreed = False
        self._leap: tuple[int, float] | None = None
        self._wrong_since: float | None = None
        self._has_warned = False

    def at(self) -> int:
        """Return the time at which a frame that comes now was sent."""
        return self._clock.now() + (self._ahead or 0)

    def now(self) -> int:
        """Return the exchange's time; until two frames agree on it, the earlier of the two clocks' times."""
        return self.at() if self._is_agreed else self._clock.now() + min(self._ahead or 0, 0)

    def seen(self, stamp: int) -> None:
        """Record what the exchange's clock says now, and warn if the two clocks have been far apart for a minute."""
        ahead, boottime = stamp - self._clock.now(), self._clock.boottime()
        if self._is_doubtful(ahead, boottime):
            return
        self._is_agreed |= self._ahead is not None and abs(ahead - self._ahead) <= _LEAP
        self._ahead, self._leap = ahead, None
        if abs(ahead) <= _APART:
            self._wrong_since = None
            return
        # A buffered frame has an old timestamp, so a single one says nothing about the clock.
        self._wrong_since = self._wrong_since if self._wrong_since is not None else boottime
        if boottime - self._wrong_since > _APART_SECONDS and not self._has_warned:
            self._has_warned = True
            side = "behind" if ahead > 0 else "ahead of"
            self._warn(
                f"the local clock is {abs(ahead) // 1000} s {side} the exchange's clock: check the time "
                "synchronisation"
            )

    def _is_doubtful(self, ahead: int, boottime: float) -> bool:
        """Whether a difference is larger than the last one, and has not been so for long enough to be believed."""
        if self._ahead is None or ahead <= self._ahead + _LEAP:
            return False
        if self._leap is None or abs(ahead - self._leap[0]) > _LEAP:
            self._leap = ahead, boottime
        return boottime - self._leap[1] < _LEAP_SECONDS


@dataclass(frozen=True, slots=True)
class Due:
    """What one channel has shown that is not stored yet."""

    target: Target
    channel: ShownChannel
    claims: list[Claim]
    refused: list[Faulty]


@dataclass(frozen=True, slots=True)
class Sight:
    """A series as its channel shows it now: the newest candle, usually the forming one; None: none was shown."""

    target: Target
    newest: Candle | None


class Feed(Worker):
    """The connection for some targets (by their keys), reopened whenever it is lost, until `halt` is set."""

    def __init__(
        self,
        targets: dict[str, Target],
        source: StreamSource,
        context: Context,
        time: ExchangeTime,
        jitter: Callable[[float, float], float],
        halt: threading.Event,
    ) -> None:
        super().__init__()
        self.targets, self._source, self._context, self._time = targets, source, context, time
        self._jitter, self._halt = jitter, halt
        self._guard = threading.Lock()
        self._session: OpenSession | None = None
        self._ended: list[OpenSession] = []
        self._reached: set[str] = set()
        self._said_at = -_SAY_EVERY
        self._opened_at: float | None = None
        # For display: any thread may read these values, but only the thread of this feed writes them. Instants are
        # seconds of boot time.
        self.connects = 0
        self.was_subscribed = False
        self.tried_at: float | None = None
        self.heard_at: float | None = None
        self.refused: dict[str, Refusal] = {}
        self.unanswered: set[str] = set()  # subscriptions that had no answer in time
        self.trouble: MdataError | None = None

    def due(self, now: int) -> list[Due]:
        """Return what to store at `now` (the exchange's time), first from connections that have ended."""
        with self._guard:
            found = [
                Due(self.targets[key], channel, channel.due_at_its_end(now), list(channel.refused))
                for session in self._ended
                for key, channel in session.channels.items()
            ]
            for key, channel in self._session.channels.items() if self._session else ():
                found.append(Due(self.targets[key], channel, channel.due(now), list(channel.refused)))
        return [due for due in found if due.claims or due.refused]

    def stored(self, dues: list[Due]) -> None:
        """Record that this is stored, and forget the ended connections of which everything is stored."""
        with self._guard:
            for due in dues:
                due.channel.mark(due.claims)
                del due.channel.refused[: len(due.refused)]
            self._ended = [session for session in self._ended if session.has_more(self._time.now())]

    def reaches(self) -> list[tuple[Target, int]]:
        """Return from when on (ms UTC) each channel vouches for its series; each channel once per connection."""
        boottime = self._context.clock.boottime()
        with self._guard:
            if self._session is None:
                return []
            is_late = boottime - self._session.opened_at > _SNAPSHOT_SECONDS
            found = {
                key: channel.start
                for key, channel in self._session.channels.items()
                if key not in self._reached and channel.start is not None and (channel.has_snapshot or is_late)
            }
            self._reached |= found.keys()
        return [(self.targets[key], start) for key, start in found.items()]

    def sights(self) -> list[Sight]:
        """Return what the channels that are now subscribed to show."""
        with self._guard:
            if self._session is None:
                return []
            return [Sight(self.targets[key], self._session.channels[key].newest) for key in self._session.subscribed]

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to listen to: the exchange refuses every channel."""
        return self.refused.keys() == self.targets.keys()

    def work(self) -> None:
        """Keep the connection open."""
        try:
            self._keep_open()
        finally:
            self._end_session()

    def _keep_open(self) -> None:
        clock, failures, pause = self._context.clock, 0, 0.0
        while not self.is_over and not self._halt.is_set():
            clock.sleep(pause)
            self._context.budget(self._source.venue).connect()
            self.connects += 1
            self._opened_at = None
            try:
                self._listen()
            except ConfigurationError:
                raise
            except MdataError as error:
                self.trouble = error
            # A connection that delivered data resets the count of consecutive failures.
            failures = 0 if self._end_session() else failures + 1
            ended_at = self.tried_at = clock.boottime()
            lasted = 0.0 if self._opened_at is None else ended_at - self._opened_at
            pause = reconnect_delay(failures, lasted, self._source.limits.spacing, self._jitter)
            if isinstance(self.trouble, RateLimitedError):
                pause += TOO_MANY_CONNECTS
            self._say_lost(ended_at, pause, failures)

    def _listen(self) -> None:
        """Open the connection, subscribe, and receive messages until it is lost or the run is over."""
        with self._source.connect() as line:
            self._opened_at = self.tried_at = boottime = self._context.clock.boottime()
            keys = [key for key in self.targets if key not in self.refused]
            session = self._source.spoken.session({key: self.targets[key].timeframe for key in keys}, boottime)
            with self._guard:
                self._session, self._reached = session, set()
            line.subscribe(keys)
            while not self._halt.is_set() and not self.is_over:
                self._hear(line, session)

    def _hear(self, line: Line, session: OpenSession) -> None:
        message = line.receive(self._context.clock.real(_LOOK_EVERY))
        boottime = self._context.clock.boottime()
        if message is not None:
            stamp = self._source.spoken.stamp_of(message)
            if stamp is not None:
                self._time.seen(stamp)
            was_answered = session.is_answered
            with self._guard:
                session.take(message, self._time.at(), boottime)
            if session.is_answered and not was_answered:
                self._answered(session)
            self.heard_at = session.heard_at if session.heard_at is not None else self.heard_at
        fault = session.fault(boottime)
        if fault is not None:
            if not session.is_answered:
                self.unanswered |= session.channels.keys()
            raise UnreachableError(fault)

    def _answered(self, session: OpenSession) -> None:
        self.was_subscribed |= bool(session.subscribed)
        self.refused = {**self.refused, **session.refused}
        self._context.log.info(f"subscribed to {len(session.subscribed)} channels")

    def _end_session(self) -> bool:
        """Keep what the connection has shown until it is stored; return whether it has shown anything."""
        with self._guard:
            ended, self._session = self._session, None
            if ended is None:
                return False
            self._ended = [*self._ended, ended][-_MOST_ENDED:]
        self.refused = {**self.refused, **ended.refused}
        self.unanswered -= {*ended.refused, *ended.subscribed}
        return ended.heard_at is not None

    def _say_lost(self, now: float, pause: float, failures: int) -> None:
        if self.trouble is None or now - self._said_at < _SAY_EVERY or self._halt.is_set():
            return
        self._said_at = now
        # A connection is lost now and then; one that cannot be reopened deserves attention.
        say = self._context.log.info if failures < 2 else self._context.log.warning
        say(f"{self.trouble}; reconnecting in {pause:.0f} s")
