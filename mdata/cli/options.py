"""Options of several subcommands: one name, one meaning, one help text each."""

from pathlib import Path
from typing import Annotated

import typer

from mdata.cli.completion import complete_symbol, complete_timeframe

# More rows than anybody has, and within SQLite's integer range.
MOST = 10**9

EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", metavar="FILE", help="Read settings from this file.", show_default=False),
]
Symbols = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol",
        "-s",
        metavar="SYMBOL",
        help="Use this pair instead of SYMBOLS; repeatable.",
        show_default=False,
        autocompletion=complete_symbol,
    ),
]
These = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SYMBOL]...",
        help="Pairs to use instead of SYMBOLS; the same as --symbol.",
        show_default=False,
        autocompletion=complete_symbol,
    ),
]
Timeframes = Annotated[
    list[str] | None,
    typer.Option(
        "--timeframe",
        "-t",
        metavar="TIMEFRAME",
        help="Use this timeframe instead of TIMEFRAMES; repeatable.",
        show_default=False,
        autocompletion=complete_timeframe,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done without doing it.")]
MaxRuntime = Annotated[
    str | None,
    typer.Option(
        "--max-runtime", metavar="DURATION", help="Stop after this time (90s, 10m, 2h).", show_default=False
    ),
]
MaxRequests = Annotated[
    int | None,
    typer.Option("--max-requests", metavar="N", min=0, help="Stop after N requests.", show_default=False),
]
WaitLock = Annotated[
    str, typer.Option("--wait-lock", metavar="DURATION", help="Wait up to this long if another run holds the lock.")
]
Lake = Annotated[
    str | None,
    typer.Argument(
        metavar="[LAKE]", help="A folder, or s3://bucket/folder; instead of LAKE_URL.", show_default=False
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print more details.")]


def lake_url(given: str | None) -> str | None:
    """Return the lake that an argument names, or None if none was given.

    Raise a usage error if the argument cannot be a lake.
    """
    from mdata.config.values import optional_lake

    try:
        return None if given is None else optional_lake(given)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="LAKE") from error


def both(symbols: list[str] | None, named: list[str] | None) -> list[str] | None:
    """Return the pairs that were given as arguments and by --symbol, or None for those of the settings."""
    return [*(symbols or []), *(named or [])] or None
