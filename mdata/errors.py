"""What can go wrong, as one tree; each class carries the exit code that `mdata` ends with (`exit_codes.py`).

    MdataError
    ├── UsageError         the request is impossible
    ├── IncompleteError    an interval is unknown, but completeness was required
    ├── NotThereError      there is no store, or no candle of a series in it
    ├── RowsRefusedError   some rows of an answer were rejected
    ├── UnreachableError   the exchange cannot be reached, or is in maintenance
    ├── StorageError       disk full, I/O error, damaged database
    ├── NotNowError        a lock is held, or the rate limit blocks for too long
    ├── BadAnswerError     the exchange sent an invalid answer
    ├── NotPermittedError  a file or folder may not be read or written
    └── ConfigurationError a setting, a newer schema, another program's file, an unsafe URL

Any other exception is a bug and ends with 1.

A message says what, where, why, and what to do next; it is shown without a traceback.
"""

from typing import ClassVar

from mdata import exit_codes


class MdataError(Exception):
    """Anything mdata reports in one sentence; `next_attempt`, if given, is appended: when to try again."""

    exit_code: ClassVar[int] = exit_codes.BUG

    def __init__(self, message: str = "", *, next_attempt: str | None = None) -> None:
        super().__init__(message if next_attempt is None else f"{message}; {next_attempt}")
        self.next_attempt = next_attempt

    def __init_subclass__(cls) -> None:
        # Each kind of error needs a code of its own: only bugs end with 1, and an error without a code would look
        # like a bug.
        if cls.exit_code == exit_codes.BUG or not exit_codes.is_known(cls.exit_code):
            raise TypeError(f"{cls.__name__} has no exit code of the table in mdata/exit_codes.py")


class UsageError(MdataError, ValueError):
    """An impossible request: a misspelt symbol, an end before its start, an unknown file type."""

    exit_code = exit_codes.USAGE


class IncompleteError(MdataError):
    """Complete candles were required, but some are missing; `ranges` are the missing ones, ms UTC."""

    exit_code = exit_codes.WORK_REMAINS

    def __init__(self, message: str, ranges: tuple[tuple[int, int], ...] = ()) -> None:
        super().__init__(message)
        self.ranges = ranges


class NotThereError(MdataError):
    """There is no store, or nothing stored of a series; a backfill fetches it."""

    exit_code = exit_codes.WORK_REMAINS


class RowsRefusedError(MdataError):
    """Some rows of an answer were rejected and set aside; their intervals stay unknown."""

    exit_code = exit_codes.ROWS_REFUSED


class UnreachableError(MdataError):
    """The exchange cannot be reached, or is in maintenance, after all retries."""

    exit_code = exit_codes.UNREACHABLE


class StorageError(MdataError):
    """The store cannot be read or written: full disk, I/O error, damaged file."""

    exit_code = exit_codes.STORAGE


class NotNowError(MdataError):
    """A lock is held or the rate limit blocks for longer than the run may last."""

    exit_code = exit_codes.NOT_NOW


class BadAnswerError(MdataError):
    """The exchange's answer cannot be an answer to the request."""

    exit_code = exit_codes.BAD_ANSWER


class NotPermittedError(MdataError):
    """A file or folder may not be read or written by this user, or the system grants no more threads or memory."""

    exit_code = exit_codes.NOT_PERMITTED


class ConfigurationError(MdataError):
    """A setting is wrong, the file is not ours, or its schema is newer than this program."""

    exit_code = exit_codes.CONFIGURATION


class MissingExtraError(ConfigurationError):
    """A library that the request needs is not installed."""


class RateLimitedError(NotNowError):
    """The exchange refused a request because there were too many; `retry_after` (s) is the wait it asks for."""

    def __init__(self, message: str, retry_after: float | None = None, *, next_attempt: str | None = None) -> None:
        super().__init__(message, next_attempt=next_attempt)
        self.retry_after = retry_after


class SlotLostError(NotNowError):
    """A request that had a slot was not ready to leave in time; it needs another slot."""


class GarbledError(BadAnswerError):
    """An answer could not be read at all: cut short, or not JSON; a second answer may be better."""


class Stopped(BaseException):
    """A signal asked the process to end; the exit code is 128 and the signal's number."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.exit_code = 128 + signal
