"""`mdata backup`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct

if TYPE_CHECKING:
    from mdata.jobs.backup import Copied


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)],
    env_file: common.EnvFile = None,
    json: common.Json = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is an older backup.")] = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Copy the store into one file without stopping anything.

    The copy shows the store at one moment. Exit code 0 means that the copy is on the disk, was read back and agrees
    with its ledger; 3 means that it is an exact copy, but the store itself does not agree with its ledger: run `mdata
    verify`. `mdata restore` restores it.
    """
    conduct(
        "backup", Options(env_file, json=json, quiet=quiet, verbose=verbose), lambda one: _backup(one, file, force)
    )


def _backup(kit: Kit, file: Path, force: bool) -> Answer:
    from dataclasses import asdict

    from mdata.cli.job_run import progress
    from mdata.errors import ConfigurationError
    from mdata.exit_codes import OK, WORK_REMAINS
    from mdata.jobs.backup import backup as work
    from mdata.running.context import Progress
    from mdata.store.opening import open_for_reading

    path = kit.loaded.settings.database_path
    store = open_for_reading(path, kit.log.info)
    if store is None:
        raise ConfigurationError(f"nothing is stored in {path} yet: run `mdata backfill` first")
    with store, progress() as report:
        found = work(
            store,
            Path.cwd() / file.expanduser(),
            lambda done, of: report(Progress(done, of, "pages copied", 0.0)),
            force=force,
        )
    reason = doubts(found)
    return Answer(WORK_REMAINS if reason else OK, reason, {"backup": asdict(found)}, lambda: show(found))


def doubts(found: "Copied") -> str | None:
    """Return a message if a copy does not contain what its ledger says."""
    from mdata.domain.next_attempt import AT_ONCE

    if not found.doubts:
        return None
    return f"{found.doubts} covered ranges differ from what was recorded: run `mdata verify`; {AT_ONCE}"


def show(found: "Copied") -> None:
    """Print what a copy contains."""
    from mdata import render

    render.line(
        f"{found.path}: {found.candles:,} candles in {found.series} series, {found.bytes / 1e6:,.1f} MB, "
        f"generation {found.generation} of store {found.id[:8]}"
    )
