"""`mdata export`."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct, instant
from mdata.errors import OK, WORK_REMAINS, NotPermittedError, Stopped, StorageError

if TYPE_CHECKING:
    from mdata.jobs.export import Asked, Exported

_ADVICE = "`mdata backfill` (with --since for what is older), `mdata detect-gaps` and `mdata repair` bring them"


def export(
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
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write this file, whole or not at all.", show_default=False
        ),
    ] = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Write candles as CSV, and say whether they are all there are.

    Ends with 3 when an interval of the range is unknown. A line for every candle, oldest first, with the columns of
    the view `ohlcv`; an interval without trades has none.
    """
    if output == Path("-"):
        output = None
    if json and output is None:
        raise typer.BadParameter("--json describes what --output holds: give both")
    given = Options(env_file, symbol, timeframe, json, quiet, verbose)
    conduct("export", given, lambda frame: _export(frame, since, until, output))


def _export(frame: Frame, since: str | None, until: str | None, output: Path | None) -> Answer:
    from mdata.jobs.export import Asked

    start, end = instant(since, "--since", frame.clock), instant(until, "--until", frame.clock)
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter("--since has to be earlier than --until")
    asked = Asked(start, end, frame.clock.now())
    if output is None:
        with _stdout() as stream:
            found = _write(frame, asked, stream)
        return Answer(*_verdict(frame, found))
    from mdata.files import whole

    with whole(_file(output, frame.loaded.settings.database_path), _plain_mode()) as stream:
        found = _write(frame, asked, stream)
    return Answer(*_verdict(frame, found), {"output": str(output), "series": [_row(one) for one in found]})


def _write(frame: Frame, asked: "Asked", stream: TextIO) -> "list[Exported]":
    import csv
    from contextlib import nullcontext

    from mdata.jobs.export import export as work
    from mdata.jobs.passes import targets
    from mdata.store.candles import PUBLIC
    from mdata.store.engine import open_for_reading

    settings, writer = frame.loaded.settings, csv.writer(stream, lineterminator="\n")
    with open_for_reading(settings.database_path, frame.log.info) or nullcontext() as store:
        writer.writerow(PUBLIC)
        return work(store, targets(settings), asked, writer.writerows)


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
        name = f"{one.symbol} {one.timeframe}"
        if one.start is None:
            missing.append(f"nothing is stored of {name}")
        elif one.unknown:
            verb = "is" if one.unknown == 1 else "are"
            missing.append(f"{one.unknown} of {one.intervals} intervals of {name} {verb} unknown")
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
    return {**asdict(one), **times, "complete": one.is_complete}
