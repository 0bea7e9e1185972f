"""The command line: which subcommands there are, each imported only when it is called, and the process around it."""

import io
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from mdata.cli.failures import unforeseen
from mdata.exchange.registry import HOME
from mdata.exit_codes import BUG, EXIT_CODES, STORAGE
from mdata.logs import StderrLog

if TYPE_CHECKING:
    from typer._click import Command, Context

# Each subcommand has a module of the same name in `mdata.cli.commands` (with `_` for `-`), and this module has a
# function of the same name.
COMMANDS = (
    "backfill",
    "update",
    "detect-gaps",
    "repair",
    "stream",
    "cleanup",
    "verify",
    "status",
    "chart",
    "gaps",
    "jobs",
    "export",
    "publish",
    "lake",
    "backup",
    "restore",
    "doctor",
    "logs",
    "serve",
    "config",
    "init",
    "symbols",
    "timers",
    "sandbox",
    "notify",
)
# Started by units, not by people.
HIDDEN = {"notify"}

HELP = {"help_option_names": ["-h", "--help"]}

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {one.text:<3}  {one.meaning}" for one in EXIT_CODES)

# The first line (\b) keeps the formatting of the other lines.
FIRST_STEPS = """\b
To begin:
  mdata init                  write a settings file; then check SYMBOLS in it
  mdata backfill --dry-run    show what a first run fetches, and how long it takes
  mdata backfill              fetch it
  mdata status                show what is stored and what is missing
  mdata timers install        keep it up to date automatically
"""


class Commands(TyperGroup):
    """The subcommands by name: only the called one is imported and gets its options built."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # Lists and suggestions only need the names; `get_command` creates the real ones.
        self.commands = {name: TyperCommand(name) for name in COMMANDS}

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        """Import and return the command of this name, or None if there is none."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        name = cmd_name.replace("-", "_")
        found = getattr(import_module(f"mdata.cli.commands.{name}"), name)
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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show version information.")
    ] = False,
) -> None:
    """Keep a complete local store of Bitfinex candles, and prove that it is complete."""


def run() -> NoReturn:
    """Run the command line and exit; any remaining exception is reported as a bug."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # With an ASCII stdout (LC_ALL=C) other characters become escapes, as on Python's stderr.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = BUG
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else BUG
    except OSError as error:
        # The output that failed was help or the version; `perform` handles the output of commands.
        StderrLog(None, "ERROR", priorities=False).error(f"could not write to stdout: {error.strerror}")
        code = STORAGE
    except Exception as error:  # noqa: BLE001 - what goes wrong outside of `perform`
        code, _ = unforeseen(StderrLog(None, "ERROR", priorities=False), error)
    _end(code)


def _open_closed_streams() -> None:
    """Reopen streams that the caller closed (`>&-`), so that no file gets their numbers.

    Writing to a reopened stdout must fail.
    """
    for name, flags, mode in (
        ("stdin", os.O_RDONLY, "r"),
        ("stdout", os.O_RDONLY, "w"),
        ("stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            # `open` returns the lowest free number, which is that of the closed stream.
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8"))


def _end(code: int) -> NoReturn:
    """Exit at once: all files are closed, and tearing down Python would take as long as the work itself."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)
