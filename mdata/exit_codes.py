"""The codes that mdata ends with, told once: what each means to people, to programs, to systemd and to the log.

`mdata --help`, the reference, the units' SuccessExitStatus=, `retryable` and `outcome` in JSON, the level of a run's
last line and the question which of several codes wins are all derived from this table.
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

    `is_retryable`: the same command may get further later. `is_green`: nobody has to look at it, so a unit that ends
    with it is well, and the run's last line is a notice and no error.
    """

    numbers: tuple[int, ...]
    meaning: str
    outcome: Outcome = "failed"
    is_retryable: bool = False
    is_green: bool = False

    @property
    def text(self) -> str:
        """Return the numbers as they are told: `3`, or `129, 130, 143`."""
        return ", ".join(map(str, self.numbers))

    @property
    def level(self) -> Literal["NOTICE", "ERROR"]:
        """Return how loudly a run says that it ended with this code."""
        return "NOTICE" if self.is_green else "ERROR"


# The later of two rows is the worse one, and wins when both went wrong in one run.
_TABLE = (
    ExitCode((OK,), "done", "ok", is_green=True),
    ExitCode((WORK_REMAINS,), "ended well, work remains", "partial", is_retryable=True, is_green=True),
    ExitCode(
        (NOT_NOW,),
        "not now: another run holds the lock, or the rate limit blocks too long",
        "skipped",
        is_retryable=True,
        is_green=True,
    ),
    ExitCode(
        (UNREACHABLE,), "the exchange cannot be reached, or is in maintenance", is_retryable=True, is_green=True
    ),
    ExitCode((ROWS_REFUSED,), "single rows of an answer were refused; their intervals stay unknown", "partial"),
    ExitCode((BAD_ANSWER,), "the exchange answered nonsense"),
    ExitCode((USAGE,), "wrong usage"),
    ExitCode((CONFIGURATION,), "configuration: a setting, a newer schema, a foreign file"),
    ExitCode((NOT_PERMITTED,), "permission, or a limit of the machine: memory, threads, open files"),
    ExitCode((STORAGE,), "storage: disk full, I/O error, damaged file"),
    ExitCode((BUG,), "a bug in mdata"),
    ExitCode((141,), "whoever read the output has left, as `| head` does"),
    ExitCode((129, 130, 143), "ended by a signal; the state is consistent", is_green=True),
)

# In the order of their numbers, for lists that people read.
EXIT_CODES = tuple(sorted(_TABLE))

_BY_NUMBER = {number: row for row in _TABLE for number in row.numbers}
_RANK = {number: rank for rank, row in enumerate(_TABLE) for number in row.numbers}


def find(number: int) -> ExitCode:
    """Return the row of a code; one that mdata never ends with counts as a bug."""
    return _BY_NUMBER.get(number, _BY_NUMBER[BUG])


def is_known(number: int) -> bool:
    """Whether mdata ends with this code."""
    return number in _BY_NUMBER


def worst(*numbers: int) -> int:
    """Return the code that wins when several things went wrong in one run."""
    return max(numbers, default=OK, key=_RANK.__getitem__)


def green() -> tuple[int, ...]:
    """Return the codes, in order, that fail no unit; 0 is not among them, for systemd knows that one itself."""
    return tuple(sorted(number for number, row in _BY_NUMBER.items() if row.is_green and number != OK))
