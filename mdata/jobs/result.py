"""What a job returns: one frozen result for the table, the JSON, the job's row and the exit code."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mdata.errors import RETRYABLE

if TYPE_CHECKING:
    from mdata.store.jobs import Tally

OUTCOMES = {0: "ok", 3: "partial", 65: "partial", 75: "skipped"}


class JobResult(NamedTuple):
    """How one run of a subcommand ended, and what it did; times are ms UTC."""

    command: str
    exit: int
    outcome: str
    reason: str | None
    started_at: int
    finished_at: int
    job_id: int | None
    tally: "Tally"


def outcome_of(exit_code: int) -> str:
    """Return the word for an exit code: ok, partial, skipped or failed."""
    return OUTCOMES.get(exit_code, "failed")


def envelope(command: str, exit_code: int, reason: str | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object that `--json` prints and HTTP serves: what every command tells, then its own `data`."""
    return {
        "mdata": 1,
        "command": command,
        "outcome": outcome_of(exit_code),
        "exit": exit_code,
        "reason": reason,
        "retryable": exit_code in RETRYABLE,
        **data,
    }
