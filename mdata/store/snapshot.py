"""One look at the store: opened, read in one transaction, closed.

Nothing stays open between two looks, so that threads and forked processes share nothing, and no reader keeps others
from emptying the log.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mdata.domain.retries import READ_TRIES
from mdata.errors import NotNowError, NotThereError
from mdata.store.connection import Connection
from mdata.store.opening import open_for_reading, unheard

T = TypeVar("T")


def look(path: Path, read: Callable[[Connection], T], told: Callable[[str], None] = unheard) -> T:
    """Return the result of `read` in one consistent state of the store; raise NotThereError if there is none.

    If the store is read without locks (`reading`; `told` is called with a message) and another process has written in
    the meantime, it is read again.
    """
    looks = 0
    while True:
        looks += 1
        store = open_for_reading(path, told)
        if store is None:
            raise NotThereError(
                f"there is no store at {path}; `mdata backfill` creates one, and DATABASE_PATH sets its place"
            )
        try:
            with store, store.read() as connection:
                return read(connection)
        except NotNowError:
            if looks == READ_TRIES or store.detour is None or store.detour.is_copy:
                raise
