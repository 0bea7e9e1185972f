"""What a job returns: one frozen result for the table, the JSON, the job's row and the exit code."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mdata import exit_codes

if TYPE_CHECKING:
    from mdata.store.jobs import Tally


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


def envelope(command: str, exit_code: int, reason: str | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object that `--json` prints and HTTP serves: the common envelope, then the command's own `data`."""
    meant = exit_codes.find(exit_code)
    return {
        "mdata": 1,
        "command": command,
        "outcome": meant.outcome,
        "exit": exit_code,
        "reason": reason,
        "retryable": meant.is_retryable,
        **data,
    }
