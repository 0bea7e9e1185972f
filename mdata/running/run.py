"""Runs a job from the beginning of its work to its result, whatever happens."""

from collections.abc import Callable

from mdata.errors import MdataError, Stopped, StorageError
from mdata.exit_codes import OK, WORK_REMAINS, worst
from mdata.running.job import Job, LimitReachedError
from mdata.running.result import JobResult
from mdata.store import jobs as table


def _nothing_more(_: Job) -> tuple[int, str | None]:
    return OK, None


def run(
    job: Job,
    work: Callable[[Job], None],
    remaining: Callable[[Job], int],
    verdict: Callable[[Job], tuple[int, str | None]] = _nothing_more,
) -> JobResult:
    """Do the work of a job and finish it, whatever happens; the caller holds the command's lock.

    `remaining` counts the intervals still unknown in the job's scope. Errors of the store end the run at once
    and are raised, because a row about them could not be written.
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
    left = remaining(job)
    more_code, more = verdict(job)
    exit_code, reason = worst(exit_code, more_code), "; ".join(filter(None, (reason, more))) or None
    return job.finish(left, reason, exit_code=exit_code)


def _close_dead_runs(job: Job) -> None:
    store, command = job.context.store, job.command
    if table.has_dead(store.connection, command):
        with store.write() as connection:
            table.interrupt_dead(connection, command, job.context.clock.now())
