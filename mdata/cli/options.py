"""The options that several subcommands share: one name, one meaning, one help text each."""

from pathlib import Path
from typing import Annotated

import typer

from mdata.cli.completion import complete_symbol, complete_timeframe

# More than anybody has, and a number that SQLite can take.
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
        help="Serve this pair instead of SYMBOLS; repeatable.",
        show_default=False,
        autocompletion=complete_symbol,
    ),
]
These = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SYMBOL]...",
        help="These pairs, and not all of SYMBOLS; the same as --symbol.",
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
        help="Serve this timeframe instead of TIMEFRAMES; repeatable.",
        show_default=False,
        autocompletion=complete_timeframe,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
MaxRuntime = Annotated[
    str | None,
    typer.Option("--max-runtime", metavar="DURATION", help="End after this long (90s, 10m, 2h).", show_default=False),
]
MaxRequests = Annotated[
    int | None,
    typer.Option("--max-requests", metavar="N", min=0, help="End after so many requests.", show_default=False),
]
WaitLock = Annotated[
    str, typer.Option("--wait-lock", metavar="DURATION", help="Wait so long for another run of this command.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]


def both(symbols: list[str] | None, named: list[str] | None) -> list[str] | None:
    """Return the pairs that were given as arguments and by --symbol, or None for those of the settings."""
    return [*(symbols or []), *(named or [])] or None
