"""The command line: which subcommands there are."""

import sys
from typing import Annotated

import typer

from mdata.cli.backfill import backfill, update
from mdata.cli.frame import run
from mdata.cli.gaps import detect_gaps, gaps, repair
from mdata.cli.sandbox import sandbox
from mdata.cli.settings import config, init
from mdata.cli.status import status
from mdata.cli.upkeep import cleanup, jobs

__all__ = ["app", "run"]

EPILOG = (
    "Exit codes: 0 done; 1 bug; 2 usage; 3 ended well, work remains; 65 rows refused; 69 exchange unreachable; "
    "74 storage; 75 not now; 76 the exchange answered nonsense; 77 permission; 78 configuration; 129, 130, 143 "
    "ended by a signal, state consistent."
)

app = typer.Typer(
    name="mdata",
    help="Keep a complete local store of Bitfinex candles, and prove that it is complete.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from mdata import __version__
        from mdata.store.engine import SQLITE_VERSION

        python = ".".join(map(str, sys.version_info[:3]))
        typer.echo(f"mdata {__version__} (SQLite {SQLITE_VERSION}, Python {python})")
        raise typer.Exit


@app.callback()
def mdata(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show versions.")
    ] = False,
) -> None:
    """Keep a complete local store of Bitfinex candles, and prove that it is complete."""


app.command("backfill")(backfill)
app.command("update")(update)
app.command("detect-gaps")(detect_gaps)
app.command("repair")(repair)
app.command("cleanup")(cleanup)
app.command("status")(status)
app.command("gaps")(gaps)
app.command("jobs")(jobs)
app.command("config")(config)
app.command("init")(init)
app.command("sandbox")(sandbox)
