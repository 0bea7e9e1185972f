"""Every exit code, defined once: what it means to people, to programs, to systemd and to the log.

`mdata --help`, the reference, the units' SuccessExitStatus=, `retryable` and `outcome` in JSON, the level of a run's
last line, and which of several codes wins, are all derived from this table.
"""

from typing import Final, Literal, NamedTuple

OK: Final = 0
WORK_REMAINS: Final = 3
ROWS_REFUSED: Final = 65
UNREACHABLE: Final = 69
STORAGE: Final = 74
NOT_NOW: Final = 75
BAD_ANSWER: Final = 76
USAGE: Final = 2
CONFIGURATION: Final = 78
NOT_PERMITTED: Final = 77
BUG: Final = 1

Outcome = Literal["ok", "partial", "skipped", "failed"]


class ExitCode(NamedTuple):
    """One code, or several that mean the same.

    `is_retryable`: a later run of the same command may make progress. `is_green`: nobody needs to act, so a unit that
    ends with it has not failed, and the run's last line is a notice instead of an error.
    """

    numbers: tuple[int, ...]
    meaning: str
    outcome: Outcome = "failed"
    is_retryable: bool = False
    is_green: bool = False

    @property
    def text(self) -> str:
        """Return the numbers as text: `3`, or `129, 130, 143`."""
        return ", ".join(map(str, self.numbers))

    @property
    def level(self) -> Literal["NOTICE", "ERROR"]:
        """Return the log level of the last line of a run that ended with this code."""
        return "NOTICE" if self.is_green else "ERROR"


# From least to most severe: if a run meets several of these, the last one wins.
_TABLE = (
    ExitCode((OK,), "done", "ok", is_green=True),
    ExitCode((WORK_REMAINS,), "done in part; work remains", "partial", is_retryable=True, is_green=True),
    ExitCode(
        (NOT_NOW,),
        "not now: another run holds the lock, or a rate-limit block lasts too long",
        "skipped",
        is_retryable=True,
        is_green=True,
    ),
    ExitCode(
        (UNREACHABLE,), "the exchange cannot be reached, or is in maintenance", is_retryable=True, is_green=True
    ),
    ExitCode((ROWS_REFUSED,), "some rows of an answer were rejected; their intervals stay unknown", "partial"),
    ExitCode((BAD_ANSWER,), "the exchange sent an invalid answer"),
    ExitCode((USAGE,), "invalid command line"),
    ExitCode((CONFIGURATION,), "configuration problem: a setting, a newer schema, another program's file"),
    ExitCode((NOT_PERMITTED,), "no permission, or a limit of the machine: memory, threads, open files"),
    ExitCode((STORAGE,), "storage problem: disk full, I/O error, damaged file"),
    ExitCode((BUG,), "a bug in mdata"),
    ExitCode((141,), "the reader of the output closed the pipe, as `| head` does"),
    ExitCode((129, 130, 143), "stopped by a signal; the store is consistent", is_green=True),
)

# Sorted by number, for people.
EXIT_CODES = tuple(sorted(_TABLE))

_BY_NUMBER = {number: row for row in _TABLE for number in row.numbers}
_RANK = {number: rank for rank, row in enumerate(_TABLE) for number in row.numbers}


def find(number: int) -> ExitCode:
    """Return the row of a code; an unknown code counts as a bug."""
    return _BY_NUMBER.get(number, _BY_NUMBER[BUG])


def is_known(number: int) -> bool:
    """Whether this is an exit code of mdata."""
    return number in _BY_NUMBER


def worst(*numbers: int) -> int:
    """Return the most severe of the codes."""
    return max(numbers, default=OK, key=_RANK.__getitem__)


def green() -> tuple[int, ...]:
    """Return the codes, in order, that do not fail a unit; without 0, which systemd knows itself."""
    return tuple(sorted(number for number, row in _BY_NUMBER.items() if row.is_green and number != OK))
