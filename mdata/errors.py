"""What can go wrong, as one tree; each class carries the exit code that `mdata` ends with.

    MdataError
    ├── UsageError            2   what was asked for cannot be
    ├── IncompleteError       3   an interval is unknown, and completeness was demanded
    ├── NotThereError         3   there is no store, or nothing is stored of a series
    ├── RowsRefusedError     65   single candles of an answer were refused
    ├── UnreachableError     69   the exchange cannot be reached, or is in maintenance
    ├── StorageError         74   disk full, I/O error, damaged database
    ├── NotNowError          75   a lock is held, or the rate limit blocks for too long
    ├── BadAnswerError       76   the exchange answered nonsense
    ├── NotPermittedError    77   a file or folder may not be read or written
    └── ConfigurationError   78   a setting, a newer schema, a foreign file, an unsafe URL

Anything that is no MdataError is a bug and ends with 1.

A message says what, where, why, and what to do next; it is shown without a traceback.
"""

from typing import ClassVar

OK = 0
BUG = 1
USAGE = 2
WORK_REMAINS = 3

# With these the same command may get further later; the sentence then says when, in these words.
RETRYABLE = frozenset({WORK_REMAINS, 69, 75})
NEXT_ATTEMPT = "the next attempt may be made"

# Every code that mdata ends with, told once: for `mdata --help`, the README and the reference.
EXIT_CODES = {
    "0": "done",
    "1": "a bug in mdata",
    "2": "wrong usage",
    "3": "ended well, work remains",
    "65": "single rows of an answer were refused; their intervals stay unknown",
    "69": "the exchange cannot be reached, or is in maintenance",
    "74": "storage: disk full, I/O error, damaged file",
    "75": "not now: another run holds the lock, or the rate limit blocks too long",
    "76": "the exchange answered nonsense",
    "77": "permission, or a limit of the machine: memory, threads, open files",
    "78": "configuration: a setting, a newer schema, a foreign file",
    "129, 130, 143": "ended by a signal; the state is consistent",
    "141": "whoever read the output has left, as `| head` does",
}

# The worst of several exit codes wins; signals (above 128) are worse than all of these.
SEVERITY = (0, 3, 75, 69, 65, 76, 78, 77, 74, 1)


class MdataError(Exception):
    """Anything mdata reports in one sentence."""

    exit_code: ClassVar[int] = BUG


class UsageError(MdataError, ValueError):
    """What was asked for cannot be: a misspelt symbol, an end before its start, a file of no known kind."""

    exit_code = USAGE


class IncompleteError(MdataError):
    """Candles that are not all there, where all were demanded; `ranges` are those that lack, ms UTC."""

    exit_code = WORK_REMAINS

    def __init__(self, message: str, ranges: tuple[tuple[int, int], ...] = ()) -> None:
        super().__init__(message)
        self.ranges = ranges


class NotThereError(MdataError):
    """There is no store, or nothing is stored of a series; a backfill brings it."""

    exit_code = WORK_REMAINS


class RowsRefusedError(MdataError):
    """Single candles of an answer were refused and kept aside; their intervals stay unknown."""

    exit_code = 65


class UnreachableError(MdataError):
    """The exchange cannot be reached, or is in maintenance, after all retries."""

    exit_code = 69


class StorageError(MdataError):
    """The store cannot be read or written: full disk, I/O error, damaged file."""

    exit_code = 74


class NotNowError(MdataError):
    """A lock is held or the rate limit blocks for longer than the run may last."""

    exit_code = 75


class BadAnswerError(MdataError):
    """The exchange answered something that cannot be an answer to what was asked."""

    exit_code = 76


class NotPermittedError(MdataError):
    """A file or folder may not be read or written by this user, or the system grants no more threads or memory."""

    exit_code = 77


class ConfigurationError(MdataError):
    """A setting is wrong, the file is not ours, or its schema is newer than this program."""

    exit_code = 78


class MissingExtraError(ConfigurationError):
    """A library is not installed that what was asked for needs."""


class RateLimitedError(NotNowError):
    """The exchange refused a request because there were too many; `retry_after` is its own wish in seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SlotLostError(NotNowError):
    """A request that had a slot was not ready to leave in time; it needs another slot."""


class GarbledError(BadAnswerError):
    """An answer could not be read at all: cut short, or not JSON; a second one may be better."""


class Stopped(BaseException):
    """A signal asked the process to end; the exit code is 128 and the signal's number."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.exit_code = 128 + signal


def worst(*exit_codes: int) -> int:
    """Return the exit code that wins when several things went wrong in one run."""
    return max(exit_codes, default=OK, key=lambda code: code if code > 128 else SEVERITY.index(code) / 100)
