"""`mdata logs`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.completion import one_of
from mdata.cli.entry import Answer, Kit, Options, conduct
from mdata.running.commands import JOBS

if TYPE_CHECKING:
    from mdata.timers.owner import Marker


def logs(
    command: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(JOBS)}; by default the most recent one.",
            show_default=False,
            **one_of(JOBS, "[COMMAND]"),
        ),
    ] = None,
    env_file: common.EnvFile = None,
    json: common.Json = False,
) -> None:
    """Show the log of a job's last run."""
    conduct("logs", Options(env_file, json=json), lambda kit: _logs(kit, command, is_json=json))


def _logs(kit: Kit, command: str | None, *, is_json: bool) -> Answer:
    from mdata import lookups
    from mdata.timers import owner

    settings = kit.loaded.settings
    rows = lookups.find_jobs(settings, command, None, 1)
    if not rows:
        kit.log.warning(
            f"{command or 'no job'} has {'not ' if command else ''}run yet: run `mdata {command or 'backfill'}`"
        )
        return Answer(data={"job": None, "lines": None})
    (row,) = rows
    if row["invocation_id"] is None:
        kit.log.notice(
            f"the last run of {row['command']} was started by hand: its messages went to that terminal, and only "
            "this record is left"
        )
        return Answer(data={"job": row, "lines": None}, show=lambda: _show(row))
    return _journal(kit, row, owner.read(settings.database_path), is_json=is_json)


def _journal(kit: Kit, row: dict[str, Any], who: "Marker | None", *, is_json: bool) -> Answer:
    from mdata.timers import manager

    call = manager.journal_of_run(who.manager if who else None, row["invocation_id"])
    if not is_json:
        kit.log.debug(" ".join(call))
        manager.open_journal(call)
    return Answer(data={"job": row, "lines": manager.lines_of(call)})


def _show(row: dict[str, Any]) -> None:
    from mdata import render

    render.table(["key", "value"], [[name, value] for name, value in row.items()])
