"""Runs a job from the beginning of its work to its result, whatever happens."""

from collections.abc import Callable
from typing import NamedTuple

from mdata.errors import MdataError, Stopped, StorageError
from mdata.exit_codes import OK, WORK_REMAINS, worst
from mdata.running.job import Job, LimitReachedError
from mdata.running.result import JobResult
from mdata.store import jobs as table


class Remainder(NamedTuple):
    """What a run has left undone: unknown intervals in its scope; if they matter, an exit code and a sentence."""

    intervals: int = 0
    exit_code: int = OK
    reason: str | None = None


def run(job: Job, work: Callable[[Job], None], find_remainder: Callable[[Job], Remainder]) -> JobResult:
    """Do the work of a job and finish it, whatever happens; the caller holds the command's lock.

    Errors of the store end the run at once and are raised, because a row about them could not be written.
    """
    exit_code, reason = OK, None
    try:
        _close_dead_runs(job)
        work(job)
    except LimitReachedError as limit:
        exit_code, reason = WORK_REMAINS, f"{limit}; run `mdata {job.command}` again to continue"
    except StorageError:
        raise
    except Stopped as stop:
        exit_code, reason = stop.exit_code, f"stopped; nothing is lost: run `mdata {job.command}` again to continue"
    except MdataError as error:
        job.has_problem(error)
    job.has_ended_early = exit_code != OK
    remainder = find_remainder(job)
    reason = "; ".join(filter(None, (reason, remainder.reason))) or None
    return job.finish(remainder.intervals, reason, exit_code=worst(exit_code, remainder.exit_code))


def _close_dead_runs(job: Job) -> None:
    store, command = job.context.store, job.command
    if table.has_dead(store.connection, command):
        with store.write() as connection:
            table.interrupt_dead(connection, command, job.context.clock.now())
