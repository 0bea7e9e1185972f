"""The newest run of each command, found without reading the others."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from mdata.store.connection import Connection


class LastRun(NamedTuple):
    """The newest run of a command, and the newest successful one (ms UTC).

    `exit` is the exit code of the newest run that has ended; `requests` counts those of the newest run, so far.
    """

    started_at: int
    outcome: str
    finished_at: int | None
    success_at: int | None
    exit: int | None
    requests: int


def last_runs(connection: Connection) -> dict[str, LastRun]:
    """Return the newest run of every command that has one, without reading the others."""
    return {command: _last_run(connection, command) for command in _commands(connection)}


def _commands(connection: Connection) -> Iterator[str]:
    command = ""
    while True:
        (command,) = connection.execute(
            "SELECT min(command) FROM ingestion_jobs WHERE command > ?", (command,)
        ).fetchone()
        if command is None:
            return
        yield command


def _last_run(connection: Connection, command: str) -> LastRun:
    def newest(column: str, condition: str = "1") -> Any:
        row = connection.execute(
            f"SELECT {column} FROM ingestion_jobs WHERE command = ? AND {condition} "
            "ORDER BY started_at DESC, id DESC LIMIT 1",
            (command,),
        ).fetchone()
        return row[0] if row else None

    return LastRun(
        started_at=newest("started_at"),
        outcome=newest("outcome"),
        finished_at=newest("finished_at"),
        success_at=newest("finished_at", "outcome IN ('ok', 'partial')"),
        exit=newest("exit", "exit IS NOT NULL"),
        requests=newest("requests"),
    )
