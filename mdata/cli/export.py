"""`mdata export`."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TextIO

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct, instant
from mdata.cli.words import one_of
from mdata.errors import OK, WORK_REMAINS, NotPermittedError, Stopped, StorageError
from mdata.reading.kinds import FORMATS

if TYPE_CHECKING:
    from mdata.domain.timeframe import Timeframe
    from mdata.domain.venue import Venue
    from mdata.jobs.export import Asked, Exported
    from mdata.jobs.wanted import Target
    from mdata.reading.kinds import Kind

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
            "--format", "-f", help="One of csv, jsonl, parquet, feather, freqtrade, if the file's name tells none.",
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
    conduct("export", given, lambda frame: _export(frame, wish))


def _export(frame: Frame, wish: _Wish) -> Answer:
    from mdata.jobs.wanted import targets

    asked, wanted = _asked(frame, wish), targets(frame.loaded.settings)
    if wish.output is None and wish.format != "freqtrade":
        found = _to_stdout(frame, wish, asked, wanted)
        return Answer(*_verdict(frame, found))
    if wish.output is None or wish.is_folder or wish.format == "freqtrade":
        found = _into_folder(frame, wish, asked, wanted)
    else:
        kind = _kind(wish.output.name, wish.format)
        file = _file(wish.output, frame.loaded.settings.database_path)
        found = _into_file(frame, file, kind, asked, wanted)
    return Answer(*_verdict(frame, found), {"output": str(wish.output), "series": [_row(one) for one in found]})


def _asked(frame: Frame, wish: _Wish) -> "Asked":
    from mdata.jobs.export import Asked

    start, end = instant(wish.since, "--since", frame.clock), instant(wish.until, "--until", frame.clock)
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter("--since has to be earlier than --until")
    coarse = None if wish.resample is None else _coarse(wish.resample, frame.loaded.settings.timeframes)
    return Asked(start, end, frame.clock.now(), coarse, wish.fill)


def _coarse(text: str, sources: "tuple[Timeframe, ...]") -> "Timeframe":
    from mdata.domain.coarser import parse_coarser

    if len(sources) > 1:
        names = ", ".join(one.name for one in sources)
        raise typer.BadParameter(f"which of {names} is to be resampled? Say so with --timeframe")
    try:
        return parse_coarser(text, sources[0])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--resample") from error


def _kind(name: str, given: str | None) -> "Kind":
    from mdata.reading.kinds import kind_of

    try:
        return kind_of(name, given)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--output") from error


def _to_stdout(frame: Frame, wish: _Wish, asked: "Asked", wanted: "list[Target]") -> "list[Exported]":
    from mdata.jobs.export import export as work
    from mdata.reading.formats import text_writer

    kind = _kind("", wish.format)
    if not kind.is_text:
        raise typer.BadParameter(f"{kind.format} is nothing for stdout: name a file with --output")
    with _stdout() as stream, text_writer(kind, stream, fill=asked.fill) as writer:
        found = work(frame.loaded.settings.database_path, wanted, asked, writer.write, frame.log.info)
        writer.close({})
    return found


def _into_file(frame: Frame, file: Path, kind: "Kind", asked: "Asked", wanted: "list[Target]") -> "list[Exported]":
    from mdata.files import whole_bytes
    from mdata.jobs.export import export as work
    from mdata.reading.formats import writer

    with whole_bytes(file, _plain_mode()) as stream, writer(kind, stream, fill=asked.fill) as written:
        found = work(frame.loaded.settings.database_path, wanted, asked, written.write, frame.log.info)
        written.close({"series": [_described(one) for one in found]})
    return found


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _into_folder(frame: Frame, wish: _Wish, asked: "Asked", wanted: "list[Target]") -> "list[Exported]":
    from mdata.reading.kinds import Kind

    kind = Kind(wish.format or "csv")
    names = [_name(target, kind, asked) for target in wanted]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise typer.BadParameter(f"two series would be written to {double}: export one of them elsewhere")
    found = []
    for target, name in zip(wanted, names, strict=True):
        file = _file(_folder(wish.output, kind, target.venue) / name, frame.loaded.settings.database_path)
        found += _into_file(frame, file, kind, asked, [target])
    return found


def _name(target: "Target", kind: "Kind", asked: "Asked") -> str:
    from mdata.domain.freqtrade import file_of
    from mdata.exchange import registry
    from mdata.reading.kinds import file_name

    timeframe = (asked.resample or target.timeframe).name
    if kind.format != "freqtrade":
        return file_name(target.venue.name, target.symbol, timeframe, kind)
    try:
        return file_of(*registry.adapter(target.venue).ccxt_pair(target.symbol), timeframe)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _folder(output: Path | None, kind: "Kind", venue: "Venue") -> Path:
    if output is None or (output.exists() and not output.is_dir()):
        raise typer.BadParameter("freqtrade reads a folder, its datadir: name one with --output")
    # What freqtrade calls its datadir has a folder for each exchange.
    folder = output / venue.name if kind.format == "freqtrade" else output
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        message = f"cannot write {folder}: {error.strerror}; check the owner and mode of its folder"
        raise NotPermittedError(message) from error
    except OSError as error:
        raise typer.BadParameter(f"{folder} can be no folder: {error.strerror}", param_hint="--output") from error
    return folder


@contextmanager
def _stdout() -> Iterator[TextIO]:
    """Give stdout; whoever reads it may leave, or be slow when a signal comes, and the disk behind it may be full."""
    try:
        yield sys.stdout
        sys.stdout.flush()
    except (OSError, Stopped) as error:
        # What Python holds still must neither fail once more at its exit nor be waited for.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, Stopped):
            raise
        if isinstance(error, BrokenPipeError):
            raise Stopped(signal.SIGPIPE) from None
        raise StorageError(f"the candles could not be written: {error.strerror}") from error


def _file(output: Path, store: Path) -> Path:
    """Return the file that is to be replaced; refuse what is none, a device above all, and the store itself."""
    from mdata.files import without_planted_links

    try:
        # What it is comes first: a pipe behind /dev/stdout has no place.
        if output.exists() and not output.is_file():
            raise typer.BadParameter(f"{output} is no file; without --output the candles go to stdout")
        found = without_planted_links(output)
        if not found.parent.is_dir():
            raise typer.BadParameter(f"{found.parent} is no folder", param_hint="--output")
    except PermissionError as error:
        message = f"cannot write {output}: {error.strerror}; check the owner and mode of its folder"
        raise NotPermittedError(message) from error
    except (OSError, RuntimeError) as error:
        # Too long, or links in a circle.
        raise typer.BadParameter(f"{output} can be no file: {error}", param_hint="--output") from error
    if found == store.resolve():
        raise typer.BadParameter(f"{output} is the store itself", param_hint="--output")
    return found


def _plain_mode() -> int:
    """Return the mode of a file that a person makes: candles are no secret."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def _verdict(frame: Frame, found: "list[Exported]") -> tuple[int, str | None]:
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
            frame.log.info(_complete(name, one))
    if not missing:
        return OK, None
    reason = f"{'; '.join(missing)}: {_ADVICE}"
    frame.log.warning(reason)
    return WORK_REMAINS, reason


def _complete(name: str, one: "Exported") -> str:
    from mdata.domain.moment import iso

    if one.start is None or one.end is None or one.start == one.end:
        return f"no interval of {name} that has closed lies in this range"
    counts = f"intervals={one.intervals} candles={one.candles} provisional={one.provisional}"
    return f"{name} is complete from {iso(one.start)} to {iso(one.end)}: {counts}"


def _row(one: "Exported") -> dict[str, Any]:
    from dataclasses import asdict

    from mdata.domain.moment import iso

    times = {name: time and iso(time) for name, time in (("start", one.start), ("end", one.end))}
    found = {**asdict(one), **times, "complete": one.is_complete}
    del found["unknown_ranges"]
    return found


def _described(one: "Exported") -> dict[str, Any]:
    """Return what a file says of a series, the unknown ranges too."""
    from mdata.domain.moment import iso

    return {**_row(one), "unknown_ranges": [[iso(start), iso(end)] for start, end in one.unknown_ranges]}
