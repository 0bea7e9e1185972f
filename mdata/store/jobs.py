"""The table `ingestion_jobs`: one row per run of a subcommand."""

from collections.abc import Iterable
from typing import NamedTuple

from mdata.store.connection import Connection


class Tally(NamedTuple):
    """What a run has done so far: the counters of a job's row."""

    requests: int = 0
    candles_written: int = 0
    candles_changed: int = 0
    gaps_opened: int = 0
    gaps_repaired: int = 0
    gaps_empty: int = 0
    gaps_failed: int = 0
    remaining: int = 0


class Origin(NamedTuple):
    """The process that runs a job: enough to find its log, and to decide whether it may still be running."""

    pid: int
    host: str
    boot_id: str
    invocation_id: str | None
    version: str


class Ending(NamedTuple):
    """How a run ended: outcome, exit code, and the sentence that says why."""

    outcome: str
    exit: int
    error: str | None


_COUNTED = Tally._fields
_SET_COUNTED = ", ".join(f"{column} = ?" for column in _COUNTED)


def begin(connection: Connection, command: str, started_at: int, origin: Origin) -> int:
    """Insert the row of a run that has begun, and return its id."""
    cursor = connection.execute(
        """INSERT INTO ingestion_jobs (command, started_at, outcome, pid, host, boot_id, invocation_id, version)
           VALUES (?, ?, 'running', ?, ?, ?, ?, ?)""",
        (command, started_at, origin.pid, origin.host, origin.boot_id, origin.invocation_id, origin.version),
    )
    return int(cursor.lastrowid or 0)


def progress(connection: Connection, job_id: int, tally: Tally) -> None:
    """Store how far a run has come; part of each page's transaction."""
    connection.execute(f"UPDATE ingestion_jobs SET {_SET_COUNTED} WHERE id = ?", (*tally, job_id))


def finish(connection: Connection, job_id: int, tally: Tally, finished_at: int, ending: Ending) -> None:
    """Store how a run ended."""
    connection.execute(
        f"UPDATE ingestion_jobs SET {_SET_COUNTED}, finished_at = ?, outcome = ?, exit = ?, error = ? WHERE id = ?",
        (*tally, finished_at, ending.outcome, ending.exit, ending.error, job_id),
    )


def interrupt_dead(connection: Connection, command: str, now: int) -> int:
    """Close the rows of runs that never finished; return how many there were.

    Call this only while holding the command's lock: then the process of such a row must have ended.
    """
    cursor = connection.execute(
        """UPDATE ingestion_jobs SET outcome = 'interrupted', finished_at = ?, error = 'the process ended abruptly'
           WHERE command = ? AND finished_at IS NULL""",
        (now, command),
    )
    return cursor.rowcount


def has_dead(connection: Connection, command: str) -> bool:
    """Whether a run of this command never finished; the caller's own run must not have a row yet."""
    row = connection.execute(
        "SELECT 1 FROM ingestion_jobs WHERE command = ? AND finished_at IS NULL LIMIT 1", (command,)
    ).fetchone()
    return row is not None


class JobRow(NamedTuple):
    """A run as `mdata jobs` shows it; instants are ms UTC."""

    id: int
    command: str
    started_at: int
    finished_at: int | None
    outcome: str
    exit: int | None
    requests: int
    candles_written: int
    error: str | None
    invocation_id: str | None
    pid: int
    host: str
    boot_id: str


# A run that never finished was interrupted, unless its command is running now (`?5`, commands between commas).
_OUTCOME = "iif(outcome = 'running' AND instr(?5, ',' || command || ',') = 0, 'interrupted', outcome)"
_LISTED = ", ".join(_OUTCOME if column == "outcome" else column for column in JobRow._fields)


def listed(
    connection: Connection,
    command: str | None,
    since: int | None,
    limit: int,
    outcome: str | None = None,
    at_work: Iterable[str] = (),
) -> list[JobRow]:
    """Return the newest runs, of one command or all, with one outcome or any; `at_work` are the running commands."""
    rows = connection.execute(
        f"""SELECT {_LISTED} FROM ingestion_jobs
            WHERE (?1 IS NULL OR command = ?1) AND (?2 IS NULL OR started_at > ?2)
              AND (?4 IS NULL OR {_OUTCOME} = ?4)
            ORDER BY id DESC LIMIT ?3""",
        (command, since, limit, outcome, f",{','.join(at_work)},"),
    )
    return [JobRow(*row) for row in rows.fetchall()]
