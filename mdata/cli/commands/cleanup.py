"""`mdata cleanup`."""

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mdata import config
from mdata.cli import options as common
from mdata.cli.asking import be_sure, need_a_person
from mdata.cli.completion import complete_symbol, complete_timeframe
from mdata.cli.entry import Answer, Kit, Options, conduct
from mdata.errors import ConfigurationError

if TYPE_CHECKING:
    from mdata.cli.job_run import More
    from mdata.jobs.cleanup import Removed
    from mdata.running.context import Context
    from mdata.running.result import JobResult


def cleanup(
    symbols: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SYMBOL]...",
            help="Pairs to delete with --all.",
            show_default=False,
            autocompletion=complete_symbol,
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
            help="Pair to delete with --all; repeatable.",
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
            help="With --all, delete only this timeframe of it; repeatable.",
            show_default=False,
            autocompletion=complete_timeframe,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete everything that is stored of --symbol.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    max_runtime: common.MaxRuntime = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Delete data past its retention, and return the disk space.

    Deletes candles past RETENTION_DAYS and their revisions; these candles are then neither reported as missing nor
    fetched again. Also deletes finished jobs and closed gaps past JOBS_RETENTION_DAYS. With --symbol and --all,
    deletes a whole series.
    """
    given = Options(env_file, None, None, json, quiet, verbose)
    symbol = common.both(symbols, symbol)
    if everything != bool(symbol) or (timeframe and not symbol):
        raise typer.BadParameter(
            "--all deletes the series of --symbol (and --timeframe): give both --all and --symbol, or neither"
        )
    if symbol and max_runtime is not None:
        raise typer.BadParameter("--all runs in one step: leave --max-runtime out")
    if symbol:
        from mdata.cli.forget import forget

        forget(given, symbol, timeframe or [], wait_lock, is_plan=dry_run, is_sure=yes)
    elif dry_run:
        conduct("cleanup", given, _plan)
    else:
        _clean_up(given, max_runtime, wait_lock, is_sure=yes)


def _clean_up(given: Options, max_runtime: str | None, wait_lock: str, *, is_sure: bool) -> NoReturn:
    from mdata.cli.job_run import limits_of, run_job_with_more

    if not is_sure:
        need_a_person("cleanup", "deleted")
    limits = limits_of(max_runtime, None)
    run_job_with_more("cleanup", given, limits, wait_lock, lambda context: _work(context, is_sure=is_sure), _look)


def _look(kit: Kit) -> None:
    """Ask for confirmation, even with --yes, if a .env that was only found in the current folder sets a retention."""
    if not kit.loaded.strange_retention:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"nothing was deleted: {_strange(kit)}")
    kit.log.warning(_strange(kit))
    be_sure(f"Delete candles from {kit.loaded.settings.database_path} by this retention?", "cleanup", "deleted")


def _strange(kit: Kit) -> str:
    names, env_file = kit.loaded.strange_retention, kit.loaded.env_file
    is_theirs = env_file is not None and config.is_foreign(env_file)
    why = "belongs to another user" if is_theirs else "does not set DATABASE_PATH"
    return (
        f"{' and '.join(names)} {'are' if names[1:] else 'is'} set in {env_file}, which was only found because it is "
        f"in this folder, and which {why}; if you mean it, add `--env-file {env_file}`, otherwise run this in "
        "another folder"
    )


def _work(context: "Context", *, is_sure: bool) -> "tuple[JobResult, More]":
    from mdata.cli.forget import tell
    from mdata.jobs.cleanup import cleanup as work
    from mdata.jobs.cleanup import plan

    if not is_sure:
        found = plan(context.settings, context.store, context.clock.now())
        question = f"Delete {found.candles} candles past RETENTION_DAYS, and old jobs, gaps and revisions?"
        be_sure(question, "cleanup", "deleted")
    result, removed = work(context)
    return result, tell(removed)


def _plan(kit: Kit) -> Answer:
    from dataclasses import asdict

    from mdata.jobs.cleanup import Removed, plan
    from mdata.store.opening import open_for_reading

    if kit.loaded.strange_retention:
        kit.log.warning(_strange(kit))
    store = open_for_reading(kit.loaded.settings.database_path, kit.log.info)
    found = Removed()
    if store is not None:
        with store:
            found = plan(kit.loaded.settings, store, kit.clock.now())
    return Answer(data={"dry_run": True, "removed": asdict(found)}, show=lambda: _show(found))


def _show(found: "Removed") -> None:
    from mdata import render

    render.line(
        f"{found.candles} candles (about {found.bytes / 1e6:.1f} MB), {found.jobs} jobs, {found.gaps} closed gaps "
        f"and {found.revisions} revisions would be deleted"
    )
