"""Which requests go first, if several processes wait for the shared rate budget."""

from enum import IntEnum


class Priority(IntEnum):
    """The classes of requests; the lower number goes first."""

    UPDATE = 0
    REPAIR = 1
    BACKFILL = 2
    RECHECK = 3
