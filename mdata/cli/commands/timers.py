"""`mdata timers install`, `uninstall` and `show`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct, perform

if TYPE_CHECKING:
    from mdata.config import Settings
    from mdata.logs import StderrLog
    from mdata.timers.install import Changes

# More files than this are counted instead of listed.
_MANY = 10

timers = typer.Typer(
    name="timers",
    help="Let systemd run the jobs on the schedule in the settings.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

User = Annotated[bool, typer.Option("--user", help="Use your user's systemd (the default, unless you are root).")]
System = Annotated[bool, typer.Option("--system", help="Use the system's systemd; jobs run as the user mdata.")]


@timers.command("install")
def install(
    env_file: common.EnvFile = None,
    user: User = False,
    system: System = False,
    json: common.Json = False,
    dry_run: common.DryRun = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Install systemd units and timers, and enable those that the settings turn on.

    Run this again after changing settings: it only changes what differs.
    """
    manager = _manager(user=user, system=system)
    given = Options(env_file, json=json, quiet=quiet, verbose=verbose)
    conduct("timers", given, lambda kit: _install(kit, manager, dry_run=dry_run))


@timers.command("uninstall")
def uninstall(
    user: User = False, system: System = False, json: common.Json = False, quiet: common.Quiet = False
) -> None:
    """Stop and remove units and timers; keep data and settings."""
    manager = _manager(user=user, system=system)
    perform("timers", Options(json=json, quiet=quiet), lambda log: _uninstall(log, manager))


@timers.command("show")
def show(
    env_file: common.EnvFile = None,
    json: common.Json = False,
    cron: Annotated[bool, typer.Option("--cron", help="Print a crontab with the same schedule.")] = False,
) -> None:
    """Show when each job runs next, and how its last run ended.

    Also shows the command for its log. With --cron, prints a crontab with the same schedule instead.
    """
    conduct("timers", Options(env_file, json=json), _crontab if cron else _table)


def _manager(*, user: bool, system: bool) -> str:
    import os

    if user and system:
        raise typer.BadParameter("use either --user or --system, not both")
    return "system" if system or (not user and os.geteuid() == 0) else "user"


def _install(kit: Kit, manager: str, *, dry_run: bool) -> Answer:
    from mdata.errors import ConfigurationError
    from mdata.timers import install as installer
    from mdata.timers import manager as systemd
    from mdata.timers import preflight
    from mdata.timers.timetable import timetable

    if not dry_run:
        preflight.refuse_without_root(manager, "install")
    version = systemd.systemd_version(manager)
    if version is None:
        if not dry_run:
            raise ConfigurationError(systemd.no_answer(manager))
        kit.log.warning(systemd.no_answer(manager))
    seen = preflight.settings_in_units(kit.loaded, manager)
    table = timetable(seen)
    where = preflight.place_of(manager, kit.loaded, seen, version)
    folder = preflight.unit_folder(manager)
    if version is not None and not systemd.searches(manager, folder):
        raise ConfigurationError(
            f"your systemd does not read units from {folder}; is XDG_CONFIG_HOME only set in this terminal?"
        )
    _warn(kit, seen)
    kit.log.info(f"settings from {where.env_file or 'the defaults: there is no env file, `mdata init` writes one'}")
    changes = installer.install(where, table, folder, dry_run=dry_run)
    if manager == "user" and not systemd.is_lingering():
        remedy = f"`loginctl enable-linger {systemd.current_user()}`"
        kit.log.warning(f"lingering is off: the timers stop when you log out; {remedy} keeps them running")
    data = {"manager": manager, "unit_folder": str(folder), "env_file": where.env_file and str(where.env_file)}
    listing = "" if dry_run else systemd.list_timers(manager)
    return Answer(
        data={**data, "dry_run": dry_run, **_changes(changes)},
        show=lambda: _show_changes(changes, folder, listing, dry_run=dry_run),
    )


def _warn(kit: Kit, seen: "Settings") -> None:
    from mdata.timers.timetable import warnings

    here_only = [name for name, origin in kit.loaded.origins.items() if origin == "environment"]
    if here_only:
        kit.log.warning(f"the units do not see variables that are only set in this terminal: {', '.join(here_only)}")
    for sentence in warnings(seen):
        kit.log.warning(sentence)


def _uninstall(log: "StderrLog", manager: str) -> Answer:
    from mdata.timers import install as installer
    from mdata.timers import preflight

    preflight.refuse_without_root(manager, "uninstall")
    folder = preflight.unit_folder(manager)
    changes = installer.uninstall(manager, folder)
    if not changes.removed:
        log.notice(f"there are no units of mdata in {folder}")
    for path in changes.kept:
        log.notice(f"not changed, because it is your file: {path}")
    data = {"manager": manager, "unit_folder": str(folder), **_changes(changes)}
    return Answer(data=data, show=lambda: _show_changes(changes, folder))


def _changes(changes: "Changes") -> dict[str, list[str]]:
    return {
        "written": list(map(str, changes.written)),
        "removed": list(map(str, changes.removed)),
        "enabled": changes.enabled,
        "disabled": changes.disabled,
        "kept": list(map(str, changes.kept)),
    }


def _show_changes(changes: "Changes", folder: Path, listing: str = "", *, dry_run: bool = False) -> None:
    from mdata import render

    found = _changes(changes)
    for word in ("written", "removed", "enabled", "disabled"):
        names = found[word]
        if dry_run:
            names = [f"would have {word} {one}" for one in names]
        elif len(names) > _MANY:
            names = [f"{word} {len(names)} files in {folder}"]
        else:
            names = [f"{word} {one}" for one in names]
        for line in names:
            render.line(line)
    if not any(found.values()):
        render.line("nothing to change")
    for line in listing.splitlines():
        render.line(line)


def _crontab(kit: Kit) -> Answer:
    from mdata.timers.cron import crontab
    from mdata.timers.preflight import this_program
    from mdata.timers.timetable import timetable

    text = crontab(this_program(), kit.loaded.env_file, timetable(kit.loaded.settings))
    return Answer(data={"crontab": text}, show=lambda: typer.echo(text, nl=False))


def _table(kit: Kit) -> Answer:
    from mdata.cli.timers_table import table

    return table(kit)
