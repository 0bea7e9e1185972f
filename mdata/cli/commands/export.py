"""`mdata export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mdata.cli import options as common
from mdata.cli.completion import one_of
from mdata.cli.entry import Answer, Kit, Options, conduct, instant
from mdata.exit_codes import OK, WORK_REMAINS
from mdata.reading.kinds import FORMATS

if TYPE_CHECKING:
    from mdata.domain.timeframe import Timeframe
    from mdata.jobs.export import Exported, Selection

_ADVICE = "to fetch them, run `mdata backfill` (with --since for older ones), `mdata detect-gaps` and `mdata repair`"


class _Wish(NamedTuple):
    """The parsed options of one call."""

    since: str | None
    until: str | None
    output: Path | None
    is_folder: bool
    format: str | None
    resample: str | None
    fill: bool


def export(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Start here instead of at the wanted start.", show_default=False),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="End here instead of at the newest answer.", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE|FOLDER/", help="Write this file, or a file per series into this folder.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", help=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}; default: as the file name says.",
            show_default=False, **one_of(FORMATS, "FORMAT"),
        ),
    ] = None,
    resample: Annotated[
        str | None,
        typer.Option(metavar="TIMEFRAME", help="Aggregate to coarser candles: 10m, 4h, 1D, 1W, 1M.",
                     show_default=False),
    ] = None,
    fill: Annotated[
        bool, typer.Option("--fill", help="Add flat candles where it is proven that nobody traded.")
    ] = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:  # fmt: skip
    """Export candles, and say whether they are complete.

    Ends with 3 if an interval of the range is unknown. Writes one row per candle, oldest first, with the columns of
    the view `ohlcv`. An interval without trades has no row, unless --fill adds one.

    The file name selects the format: .csv, .jsonl (optionally followed by .gz or .zst), .parquet, .feather. Without
    --output, CSV goes to stdout. A file is written completely or not at all. For freqtrade, give its data folder
    (datadir).
    """
    if output == "-":
        output = None
    if json and output is None:
        raise typer.BadParameter("--json describes the file that --output writes: give both")
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    file = None if output is None else Path(output)
    # `Path` drops a trailing slash; the shell's completion adds one to existing folders.
    is_folder = file is not None and (str(output).endswith("/") or _is_dir(file))
    wish = _Wish(since, until, file, is_folder, format_, resample, fill)
    conduct("export", given, lambda kit: _export(kit, wish))


def _export(kit: Kit, wish: _Wish) -> Answer:
    from mdata.cli.export_files import into_file, into_folder, row, to_stdout
    from mdata.fetching.wanted import targets

    asked, wanted = _asked(kit, wish), targets(kit.loaded.settings)
    if wish.output is None and wish.format != "freqtrade":
        found = to_stdout(kit, wish.format, asked, wanted)
        return Answer(*_verdict(kit, found))
    if wish.output is None or wish.is_folder or wish.format == "freqtrade":
        found = into_folder(kit, wish.output, wish.format, asked, wanted)
    else:
        found = into_file(kit, wish.output, wish.format, asked, wanted)
    return Answer(*_verdict(kit, found), {"output": str(wish.output), "series": [row(one) for one in found]})


def _asked(kit: Kit, wish: _Wish) -> "Selection":
    from mdata.jobs.export import Selection

    start, end = instant(wish.since, "--since", kit.clock), instant(wish.until, "--until", kit.clock)
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter("--since must be earlier than --until")
    coarse = None if wish.resample is None else _coarse(wish.resample, kit.loaded.settings.timeframes)
    return Selection(start, end, kit.clock.now(), coarse, wish.fill)


def _coarse(text: str, sources: "tuple[Timeframe, ...]") -> "Timeframe":
    from mdata.domain.coarser import parse_coarser

    if len(sources) > 1:
        names = ", ".join(one.name for one in sources)
        raise typer.BadParameter(f"which of {names} should be resampled? Choose one with --timeframe")
    try:
        return parse_coarser(text, sources[0])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--resample") from error


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _verdict(kit: Kit, found: "list[Exported]") -> tuple[int, str | None]:
    missing = []
    for one in found:
        name = f"{one.exchange}:{one.symbol} {one.timeframe}"
        if one.start is None:
            missing.append(f"no candles of {name} are stored")
        elif not one.is_complete:
            count, word = (one.unknown, "unknown") if one.unknown else (one.unobtainable, "unobtainable")
            verb = "is" if count == 1 else "are"
            missing.append(f"{count} of {one.intervals} intervals of {name} {verb} {word}")
        else:
            kit.log.info(_complete(name, one))
    if not missing:
        return OK, None
    reason = f"{'; '.join(missing)}: {_ADVICE}"
    kit.log.warning(reason)
    return WORK_REMAINS, reason


def _complete(name: str, one: "Exported") -> str:
    from mdata.domain.times import iso

    if one.start is None or one.end is None or one.start == one.end:
        return f"this range contains no closed interval of {name}"
    counts = f"intervals={one.intervals} candles={one.candles} provisional={one.provisional}"
    return f"{name} is complete from {iso(one.start)} to {iso(one.end)}: {counts}"
