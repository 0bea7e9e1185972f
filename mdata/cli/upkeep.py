"""`mdata cleanup` and `mdata jobs`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct, instant
from mdata.cli.words import complete_symbol, complete_timeframe, one_of
from mdata.errors import ConfigurationError
from mdata.jobs import JOBS, RUN_OUTCOMES

if TYPE_CHECKING:
    from mdata.cli.jobs import More
    from mdata.jobs.cleanup import Removed
    from mdata.jobs.context import Context
    from mdata.jobs.result import JobResult


def cleanup(
    symbols: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SYMBOL]...", help="With --all: these pairs.", show_default=False, autocompletion=complete_symbol
        ),
    ] = None,
    env_file: common.EnvFile = None,
    json: common.Json = False,
    dry_run: common.DryRun = False,
    symbol: Annotated[
        list[str] | None,
        typer.Option(
            "--symbol",
            "-s",
            metavar="SYMBOL",
            help="With --all: this pair; repeatable.",
            show_default=False,
            autocompletion=complete_symbol,
        ),
    ] = None,
    timeframe: Annotated[
        list[str] | None,
        typer.Option(
            "--timeframe",
            "-t",
            metavar="TIMEFRAME",
            help="With --all: this timeframe of it only; repeatable.",
            show_default=False,
            autocompletion=complete_timeframe,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Forget all that is stored of --symbol.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    max_runtime: common.MaxRuntime = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Delete what is past its retention, and give space back.

    Candles past RETENTION_DAYS are deleted, and never called missing or fetched again; jobs, closed gaps and
    revisions past JOBS_RETENTION_DAYS. With --symbol and --all: forget a series altogether.
    """
    given = Options(env_file, None, None, json, quiet, verbose)
    symbol = common.both(symbols, symbol)
    if everything != bool(symbol) or (timeframe and not symbol):
        raise typer.BadParameter("--all forgets the series of --symbol (and --timeframe): give both, or neither")
    if symbol:
        from mdata.cli.forget import forget

        if max_runtime is not None:
            raise typer.BadParameter("--all is done in one go: leave --max-runtime out")
        forget(given, symbol, timeframe or [], wait_lock, is_plan=dry_run, is_sure=yes)
    if dry_run:
        conduct("cleanup", given, _plan)
    if not yes:
        need_a_person()
    from mdata.cli.jobs import limits_of, run_job_with_more

    limits = limits_of(max_runtime, None)
    run_job_with_more("cleanup", given, limits, wait_lock, lambda context: _work(context, is_sure=yes), _look)


def _look(frame: Frame) -> None:
    """Ask about a retention that stands in the .env of a folder which one merely happens to be in, --yes or not."""
    if not frame.loaded.strange_retention:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"nothing was deleted: {_strange(frame)}")
    frame.log.warning(_strange(frame))
    be_sure(f"Delete by it from {frame.loaded.settings.database_path}?")


def _strange(frame: Frame) -> str:
    names, env_file = frame.loaded.strange_retention, frame.loaded.env_file
    return (
        f"{' and '.join(names)} stand{'' if names[1:] else 's'} in {env_file}, which was merely found in this folder "
        f"and names no DATABASE_PATH; if that is meant, give `--env-file {env_file}`, else run this in another folder"
    )


def _work(context: "Context", *, is_sure: bool) -> "tuple[JobResult, More]":
    from mdata.jobs.cleanup import cleanup as work
    from mdata.jobs.cleanup import plan

    if not is_sure:
        found = plan(context.settings, context.store, context.clock.now())
        be_sure(f"Delete {found.candles} candles past RETENTION_DAYS, and what is old of jobs, gaps and revisions?")
    result, removed = work(context)
    return result, tell(removed)


def tell(removed: "Removed") -> "More":
    """Return what a run that removed something tells of it."""
    from dataclasses import asdict

    from mdata.cli.jobs import More

    words = f"removed_candles={removed.candles} freed_bytes={removed.bytes}"
    return More(words, {"removed": asdict(removed)})


def need_a_person() -> None:
    """Refuse to go on without a terminal to ask at."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("nothing was deleted; without a terminal `mdata cleanup` wants --yes")


def be_sure(question: str) -> None:
    """Ask a person at the terminal; anything but yes is a usage error, and nothing has happened."""
    need_a_person()
    try:
        is_sure = typer.confirm(question, err=True)
    except typer.Abort:
        is_sure = False
    if not is_sure:
        raise typer.BadParameter("nothing was deleted")


def _plan(frame: Frame) -> Answer:
    from dataclasses import asdict

    from mdata.jobs.cleanup import Removed, plan
    from mdata.store.engine import open_for_reading

    if frame.loaded.strange_retention:
        frame.log.warning(_strange(frame))
    store = open_for_reading(frame.loaded.settings.database_path, frame.log.info)
    found = Removed()
    if store is not None:
        with store:
            found = plan(frame.loaded.settings, store, frame.clock.now())
    return Answer(data={"dry_run": True, "removed": asdict(found)}, show=lambda: _show(found))


def _show(found: "Removed") -> None:
    from mdata import render

    render.line(
        f"{found.candles} candles (about {found.bytes / 1e6:.1f} MB), {found.jobs} jobs, {found.gaps} closed gaps, "
        f"{found.revisions} revisions are due"
    )


def jobs(
    env_file: common.EnvFile = None,
    json: common.Json = False,
    command: Annotated[
        str | None, typer.Option(help="Only runs of this command.", show_default=False, **one_of(JOBS, "COMMAND"))
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(help="Only runs that ended so.", show_default=False, **one_of(RUN_OUTCOMES, "OUTCOME")),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Only runs that began after this.", show_default=False)
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=common.MOST, help="At most so many, the newest.")
    ] = 50,
) -> None:
    """List the runs of all jobs, newest first."""
    conduct("jobs", Options(env_file, json=json), lambda frame: _jobs(frame, command, outcome, since, limit))


def _jobs(frame: Frame, command: str | None, outcome: str | None, since: str | None, limit: int) -> Answer:
    from mdata import shapes

    start = instant(since, "--since", frame.clock)
    rows = shapes.find_jobs(frame.loaded.settings, command, start, limit, outcome, frame.log.info)
    if rows is None:
        frame.log.warning("nothing has run yet: run `mdata backfill`")
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
    from mdata.domain.moment import human_duration, parse_instant

    if row["finished_at"] is None:
        return ""
    return human_duration((parse_instant(row["finished_at"], 0) - parse_instant(row["started_at"], 0)) / 1000)
