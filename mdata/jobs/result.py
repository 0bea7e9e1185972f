"""What a job returns: one frozen result for the table, the JSON, the job's row and the exit code."""

from dataclasses import dataclass

from mdata.store.jobs import Tally

OUTCOMES = {0: "ok", 3: "partial", 65: "partial", 75: "skipped"}


@dataclass(frozen=True, slots=True)
class JobResult:
    """How one run of a subcommand ended, and what it did; times are ms UTC."""

    command: str
    exit: int
    outcome: str
    reason: str | None
    started_at: int
    finished_at: int
    job_id: int | None = None
    tally: Tally = Tally()  # noqa: RUF009 - frozen

    @property
    def retryable(self) -> bool:
        """Whether the same command may get further later."""
        return self.exit in {3, 69, 75}


def outcome_of(exit_code: int) -> str:
    """Return the word for an exit code: ok, partial, skipped or failed."""
    return OUTCOMES.get(exit_code, "failed")
