"""`symbols`: what the exchange lists, remembered for a day in the user's cache folder."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mdata.clock import Clock
from mdata.domain import next_attempt
from mdata.domain.priority import Priority
from mdata.domain.timeframe import DAY
from mdata.domain.times import iso
from mdata.domain.venue import Venue
from mdata.errors import BadAnswerError, MdataError, RateLimitedError, UnreachableError
from mdata.exchange import registry
from mdata.exchange.protocols import Exchange
from mdata.files import replace_whole
from mdata.ratelimit import SlotWait
from mdata.running.context import Budget, JobLog
from mdata.store import series as table
from mdata.store.engine import Store


@dataclass(frozen=True, slots=True)
class PairListing:
    """The trading pairs that the exchange at `url` listed at `listed_at` (ms UTC)."""

    url: str
    listed_at: int
    symbols: list[str]


def remembered(cache: Path, url: str, now: int) -> PairListing | None:
    """Return the listing in the file at `cache` if it is less than a day old and can be read."""
    try:
        found = json.loads(cache.read_bytes())
        listing = PairListing(str(found["url"]), int(found["listed_at"]), _sound(found["symbols"]))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return listing if listing.url == url and 0 <= now - listing.listed_at < DAY else None


def remember(cache: Path, listing: PairListing) -> None:
    """Store a listing; if it cannot be stored, the list is requested again next time."""
    with suppress(MdataError):
        replace_whole(cache, json.dumps(asdict(listing)))


def ask(
    venue: Venue, url: str, exchange: Callable[[], Exchange], budget: Budget, clock: Clock, log: JobLog
) -> PairListing:
    """Wait for a slot, then request the list once; if that fails, raise an error that says when to retry."""

    def tell(wait: SlotWait) -> None:
        log.info(f"the next request is possible at {iso(wait.until)}")

    budget.acquire(Priority.UPDATE, lambda: True, on_wait=_once(tell))
    try:
        pairs = exchange().pairs(budget.sent)
    except RateLimitedError as error:
        seconds, now = budget.refused(error.retry_after), clock.now()
        raise RateLimitedError(str(error), next_attempt=next_attempt.at(now + int(seconds * 1000), now)) from error
    except UnreachableError as error:
        free_at = budget.peek().next_request_at
        raise UnreachableError(str(error), next_attempt=next_attempt.at(free_at, clock.now())) from error
    except BadAnswerError as error:
        raise BadAnswerError(f"{error}; run this again later") from error
    budget.answered()
    return PairListing(url, clock.now(), _sound(registry.qualified(venue.name, pair) for pair in pairs))


def stored(store: Store | None) -> dict[str, list[str]]:
    """Return the stored timeframes of each symbol."""
    found: dict[str, list[str]] = {}
    if store is not None:
        with store.read() as connection:
            for series in table.every(connection):
                name = registry.qualified(series.exchange, series.symbol)
                found.setdefault(name, []).append(series.timeframe.name)
    return found


def matches(symbol: str, text: str) -> bool:
    """Whether a person who writes `text` may mean `symbol`: `btc/usd`, `AVAX`, `ust`."""
    return _plain(text) in _plain(symbol)


def _plain(text: str) -> str:
    return text.lower().replace("/", "").replace(":", "")


def _sound(names: object) -> list[str]:
    """Return the names that are trading pairs, in order; other entries of a list are ignored."""
    found = set()
    for name in names if isinstance(names, Iterable) else ():
        with suppress(ValueError):
            if isinstance(name, str) and registry.parse_symbol(name) == name:
                found.add(name)
    return sorted(found)


def _once(tell: Callable[[SlotWait], None]) -> Callable[[SlotWait], None]:
    """Return a function that calls `tell` only for the first long wait."""
    told: list[SlotWait] = []

    def maybe(wait: SlotWait) -> None:
        if wait.seconds > 1 and not told:
            told.append(wait)
            tell(wait)

    return maybe
