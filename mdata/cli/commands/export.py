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

_ADVICE = "`mdata backfill` (with --since for what is older), `mdata detect-gaps` and `mdata repair` bring them"


class _Wish(NamedTuple):
    """What the options of a call said."""

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
        typer.Option(metavar="INSTANT", help="From here on, and not all that is wanted.", show_default=False),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Until here, and not to the newest candle.", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE|FOLDER/", help="Write this file, or one for each series into a folder.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", help=f"One of {', '.join(FORMATS)}, if the file's name tells none.",
            show_default=False, **one_of(FORMATS, "FORMAT"),
        ),
    ] = None,
    resample: Annotated[
        str | None,
        typer.Option(metavar="TIMEFRAME", help="Coarser candles, made of these: 10m, 4h, 1D, 1W, 1M.",
                     show_default=False),
    ] = None,
    fill: Annotated[
        bool, typer.Option("--fill", help="Flat candles where it is proven that nobody traded.")
    ] = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:  # fmt: skip
    """Write candles, and say whether they are all there are.

    Ends with 3 when an interval of the range is unknown. A row for every candle, oldest first, with the columns of
    the view `ohlcv`; an interval without trades has none, unless --fill makes one.

    The name of the file tells the format: .csv, .jsonl (and .gz or .zst behind these), .parquet, .feather; without
    one, CSV goes to stdout. A file is written whole or not at all. freqtrade takes a folder, its datadir.
    """
    if output == "-":
        output = None
    if json and output is None:
        raise typer.BadParameter("--json describes what --output holds: give both")
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    file = None if output is None else Path(output)
    # A path forgets the slash at its end; the shell's completion writes one behind a folder that is there.
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
        raise typer.BadParameter("--since has to be earlier than --until")
    coarse = None if wish.resample is None else _coarse(wish.resample, kit.loaded.settings.timeframes)
    return Selection(start, end, kit.clock.now(), coarse, wish.fill)


def _coarse(text: str, sources: "tuple[Timeframe, ...]") -> "Timeframe":
    from mdata.domain.coarser import parse_coarser

    if len(sources) > 1:
        names = ", ".join(one.name for one in sources)
        raise typer.BadParameter(f"which of {names} is to be resampled? Say so with --timeframe")
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
            missing.append(f"nothing is stored of {name}")
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
        return f"no interval of {name} that has closed lies in this range"
    counts = f"intervals={one.intervals} candles={one.candles} provisional={one.provisional}"
    return f"{name} is complete from {iso(one.start)} to {iso(one.end)}: {counts}"
