"""`publish`: writes proven whole months and their proofs into a lake, and again after they have changed."""

from collections import Counter
from zlib import crc32

from mdata.domain.next_attempt import AT_ONCE
from mdata.domain.priority import Priority
from mdata.domain.publication import (
    Author,
)
from mdata.domain.timeframe import DAY
from mdata.errors import ConfigurationError, StorageError
from mdata.exit_codes import OK, WORK_REMAINS
from mdata.publisher import Published, Publisher, key_of
from mdata.running.context import Context, Progress
from mdata.running.job import Job
from mdata.running.result import JobResult
from mdata.running.run import Remainder, run
from mdata.store import identity
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.engine import Store

COMMAND = "publish"


def publish(context: Context, url: str) -> tuple[JobResult, Published]:
    """Publish everything in the store that is due; the caller holds the command's lock."""
    until = context.clock.now() - context.settings.publish_after_days * DAY
    publishers: list[Publisher] = []

    def work(job: Job) -> None:
        store = context.store
        with store.read() as connection:
            origin, every = _origin(connection, context.origin.host, context.origin.version), table.every(connection)
        publisher = Publisher(store, url, until, origin)
        publishers.append(publisher)
        # Start elsewhere in the list on each host, so that hosts with the same series do not work on the same one at
        # once.
        first = crc32(origin.store.encode()) % max(1, len(every))
        every = [*every[first:], *every[:first]]
        for number, series in enumerate(every):
            job.check_time()
            context.report(Progress(number, len(every), series.name, 0.0))
            publisher.publish(job, series)
        publisher.publish_series()

    def told() -> Published:
        return publishers[0].told if publishers else Published()

    result = run(Job(COMMAND, context, Priority.BACKFILL), work, lambda _: Remainder(0, *_verdict(told())))
    return result, told()


def plan(store: Store, url: str, until: int) -> Published:
    """Return what a run would do about the months that are over at `until` (ms UTC); nothing is changed."""
    with store.read() as connection:
        origin, every = _origin(connection, "", ""), table.every(connection)
    publisher = Publisher(store, url, until, origin)
    for series in every:
        wish = publisher.wish(series, publisher.look(key_of(series)), publisher.left)
        publisher.count["remaining"] += len(wish.months)
    return publisher.told


def url_of(given: str | None, setting: str | None) -> str:
    """Return the lake's address; raise ConfigurationError if neither the command nor the settings give one."""
    if not (given or setting):
        raise ConfigurationError(
            "no lake is given: choose a folder or an address (s3://bucket/folder), or set LAKE_URL"
        )
    return given or setting or ""


def _origin(connection: Connection, host: str, version: str) -> Author:
    mark = identity.read(connection)
    if mark is None:
        raise StorageError("the store no longer contains its identity: run `mdata doctor --fix`")
    return Author(mark.id, host, version)


def _verdict(found: Published) -> tuple[int, str | None]:
    told = []
    if found.left:
        reasons = Counter(one.reason for one in found.left)
        told += [f"{count} months were not published: {reason}" for reason, count in reasons.items()]
    if found.withdrawn:
        told.append(f"{found.withdrawn} months of the lake are damaged and cannot be published from here")
    if found.remaining:
        told.append(f"{found.remaining} months can still be published; {AT_ONCE}")
    return (WORK_REMAINS if found.remaining else OK), "; ".join(told) or None
