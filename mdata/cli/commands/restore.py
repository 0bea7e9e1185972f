"""`mdata restore`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.asking import be_sure
from mdata.cli.entry import Answer, Kit, Options, conduct, duration

if TYPE_CHECKING:
    from mdata.jobs.restore import Offer, Restored
    from mdata.jobs.status import Status


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to restore.", show_default=False)],
    env_file: common.EnvFile = None,
    json: common.Json = False,
    dry_run: common.DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Restore even if FILE is a backup of another store.")
    ] = False,
    wait_lock: Annotated[
        str, typer.Option("--wait-lock", metavar="DURATION", help="Wait up to this long for each running command.")
    ] = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Replace the store by a backup; the old store is kept.

    FILE is copied and read completely before anything is replaced. While a job runs or any program has the store
    open, this ends with 75 and changes nothing. The old store and its log are kept as NAME.before-TIME.
    """
    patience = duration(wait_lock, "--wait-lock")

    def act(kit: Kit) -> Answer:
        return _restore(
            kit, Path(os.path.realpath(file.expanduser())), patience, is_plan=dry_run, is_sure=yes, is_forced=force
        )

    conduct("restore", Options(env_file, json=json, quiet=quiet, verbose=verbose), act)


def _restore(kit: Kit, file: Path, patience: float, *, is_plan: bool, is_sure: bool, is_forced: bool) -> Answer:
    from mdata.cli.job_run import progress
    from mdata.errors import ConfigurationError
    from mdata.jobs.restore import offer, standing
    from mdata.jobs.restore import restore as work
    from mdata.running.context import Progress

    settings = kit.loaded.settings
    offered = offer(settings, file)
    if offered.is_another_store and not is_forced:
        raise ConfigurationError(
            f"{file} is a backup of another store than {settings.database_path}: choose the right file, "
            "or add --force"
        )
    if is_plan:
        return _plan(offered, settings.database_path)
    if offered.replaces and not is_sure:
        be_sure(f"Replace the store {settings.database_path} with the backup {file}?", "restore", "replaced")
    with progress() as report:
        done = work(
            settings,
            file,
            patience,
            kit.clock,
            kit.log.warning,
            lambda pages, of: report(Progress(pages, of, "pages copied", 0.0)),
        )
    return _answer(done, standing(settings, kit.clock.now()))


def _plan(offered: "Offer", database: Path) -> Answer:
    from mdata import render

    text = f"would restore {offered.file} to {database}"
    if offered.replaces:
        text += f", and keep the store that is there as {database.name}.before-TIME"
    return Answer(
        data={"dry_run": True, "file": str(offered.file), "replaces": offered.replaces},
        show=lambda: render.line(text),
    )


def _answer(done: "Restored", state: "Status") -> Answer:
    from dataclasses import asdict

    from mdata import render
    from mdata.cli.commands.backup import doubts, show
    from mdata.exit_codes import OK, WORK_REMAINS

    unknown = sum(one.counts.unknown for one in state.series if not one.is_retired)
    reason = doubts(done.found)

    def say() -> None:
        show(done.found)
        if done.kept is not None:
            render.line(f"the old store is now {done.kept}")
        if unknown:
            render.line(f"{unknown:,} wanted intervals are unknown in it: run `mdata backfill` and `mdata repair`")

    data = {"restored": asdict(done.found), "kept": done.kept and str(done.kept), "unknown": unknown}
    return Answer(WORK_REMAINS if reason else OK, reason, data, say)
