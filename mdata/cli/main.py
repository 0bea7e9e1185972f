"""The command line: which subcommands there are, each imported only when it is called."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from mdata.cli.frame import run
from mdata.errors import EXIT_CODES
from mdata.exchange.registry import HOME

if TYPE_CHECKING:
    from typer._click import Command, Context

__all__ = ["app", "run"]

# Subcommand → the module of `mdata.cli` that holds a function of its name, with `_` for `-`.
COMMANDS = {
    "backfill": "backfill",
    "update": "backfill",
    "detect-gaps": "gaps",
    "repair": "gaps",
    "stream": "stream",
    "cleanup": "upkeep",
    "verify": "verify",
    "status": "status",
    "chart": "chart",
    "gaps": "gaps",
    "jobs": "upkeep",
    "export": "export",
    "backup": "backup",
    "restore": "restore",
    "doctor": "doctor",
    "logs": "logs",
    "serve": "serve",
    "config": "settings",
    "init": "settings",
    "symbols": "symbols",
    "timers": "timers",
    "sandbox": "sandbox",
    "notify": "notify",
}
# Started by units, not by people.
HIDDEN = {"notify"}

HELP = {"help_option_names": ["-h", "--help"]}

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:<3}  {meaning}" for code, meaning in EXIT_CODES.items())

# The first line keeps the others as they are.
FIRST_STEPS = """\b
To begin:
  mdata init                  write the settings, and look at SYMBOLS
  mdata backfill --dry-run    see what a first run asks for, and for how long
  mdata backfill              do it
  mdata status                see what is there
  mdata timers install        have it kept up to date
"""


class Commands(TyperGroup):
    """The subcommands by name: a start imports the one that is called, and builds no other's options."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # Their names are all that lists and suggestions need; `get_command` makes the real ones.
        self.commands = {name: TyperCommand(name) for name in COMMANDS}

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        """Import and return the command of this name, or None where there is none."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"mdata.cli.{COMMANDS[cmd_name]}")
        found = getattr(module, cmd_name.replace("-", "_"))
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(cmd_name, context_settings=HELP, hidden=cmd_name in HIDDEN)(found)
        return typer.main.get_command(alone)


app = typer.Typer(
    name="mdata",
    cls=Commands,
    help=f"Keep a complete local store of {HOME.title} candles, and prove that it is complete.\n\n{FIRST_STEPS}",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP,
)


def _version(value: bool) -> None:
    if value:
        from mdata import __version__
        from mdata.commit import commit
        from mdata.store.sqlite import SQLITE_VERSION

        python = ".".join(map(str, sys.version_info[:3]))
        typer.echo(f"mdata {__version__} (commit {commit()}, SQLite {SQLITE_VERSION}, Python {python})")
        raise typer.Exit


@app.callback()
def mdata(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show versions.")
    ] = False,
) -> None:
    """Keep a complete local store of Bitfinex candles, and prove that it is complete."""
