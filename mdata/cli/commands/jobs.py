"""`mdata jobs`."""

import sys
from typing import Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.completion import one_of
from mdata.cli.entry import Answer, Kit, Options, conduct, instant
from mdata.running.commands import JOBS, RUN_OUTCOMES


def jobs(
    env_file: common.EnvFile = None,
    json: common.Json = False,
    command: Annotated[
        str | None,
        typer.Option(help="Show only runs of this command.", show_default=False, **one_of(JOBS, "COMMAND")),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(help="Show only runs with this outcome.", show_default=False, **one_of(RUN_OUTCOMES, "OUTCOME")),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Show only runs that started after this instant.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=common.MOST, help="Show the newest N.")] = 50,
) -> None:
    """List the runs of all jobs, newest first."""
    conduct("jobs", Options(env_file, json=json), lambda kit: _jobs(kit, command, outcome, since, limit))


def _jobs(kit: Kit, command: str | None, outcome: str | None, since: str | None, limit: int) -> Answer:
    from mdata import lookups

    start = instant(since, "--since", kit.clock)
    rows = lookups.find_jobs(kit.loaded.settings, command, start, limit, outcome, kit.log.info)
    if rows is None:
        kit.log.warning("no job has run yet: run `mdata backfill`")
        return Answer(data={"jobs": []})
    return Answer(data={"jobs": rows}, show=lambda: _show_jobs(rows))


def _show_jobs(rows: list[dict[str, Any]]) -> None:
    from mdata import render

    if not sys.stdout.isatty():
        columns = [
            "id",
            "command",
            "started_at",
            "finished_at",
            "outcome",
            "exit",
            "requests",
            "candles_written",
            "error",
        ]
        render.table(columns, [[row[column] for column in columns] for row in rows])
        return
    columns = ["id", "command", "started (UTC)", "took", "outcome", "exit", "requests", "candles"]
    keys = ("outcome", "exit", "requests", "candles_written")
    cells = [[row["id"], row["command"], row["started_at"], _took(row), *map(row.get, keys)] for row in rows]
    render.listing(columns, cells, [row["error"] for row in rows])


def _took(row: dict[str, Any]) -> str:
    from mdata.domain.times import human_duration, parse_instant

    if row["finished_at"] is None:
        return ""
    return human_duration((parse_instant(row["finished_at"], 0) - parse_instant(row["started_at"], 0)) / 1000)
