"""Where exported candles go: stdout, a file, or a folder with a file for each series."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import typer

from mdata.cli.entry import Kit
from mdata.domain.freqtrade import file_of
from mdata.domain.times import iso
from mdata.domain.venue import Venue
from mdata.errors import NotPermittedError, Stopped, StorageError
from mdata.exchange import registry
from mdata.fetching.wanted import Target
from mdata.files import whole_bytes, without_planted_links
from mdata.jobs.export import Exported, Selection
from mdata.jobs.export import export as work
from mdata.reading.kinds import Kind, file_name, kind_of


def _kind(name: str, given: str | None) -> Kind:
    try:
        return kind_of(name, given)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--output") from error


def to_stdout(kit: Kit, format_: str | None, asked: Selection, wanted: list[Target]) -> list[Exported]:
    """Write the candles of all series to stdout, one after the other."""
    from mdata.reading.formats import text_writer

    kind = _kind("", format_)
    if not kind.is_text:
        raise typer.BadParameter(f"{kind.format} cannot be written to stdout: give a file with --output")
    with _stdout() as stream, text_writer(kind, stream, fill=asked.fill) as writer:
        found = work(kit.loaded.settings.database_path, wanted, asked, writer.write, kit.log.info)
        writer.close({})
    return found


def into_file(kit: Kit, output: Path, format_: str | None, asked: Selection, wanted: list[Target]) -> list[Exported]:
    """Write the candles of all series into one file, completely or not at all."""
    kind = _kind(output.name, format_)
    return _into(kit, _file(output, kit.loaded.settings.database_path), kind, asked, wanted)


def _into(kit: Kit, file: Path, kind: Kind, asked: Selection, wanted: list[Target]) -> list[Exported]:
    from mdata.reading.formats import writer

    with whole_bytes(file, _plain_mode()) as stream, writer(kind, stream, fill=asked.fill) as written:
        found = work(kit.loaded.settings.database_path, wanted, asked, written.write, kit.log.info)
        written.close({"series": [_described(one) for one in found]})
    return found


def into_folder(
    kit: Kit, output: Path | None, format_: str | None, asked: Selection, wanted: list[Target]
) -> list[Exported]:
    """Write a file for each series into a folder."""
    kind = Kind(format_ or "csv")
    names = [_name(target, kind, asked) for target in wanted]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise typer.BadParameter(
            f"two series would be written to the same file {double}: export one of them to another folder"
        )
    found = []
    for target, name in zip(wanted, names, strict=True):
        file = _file(_folder(output, kind, target.venue) / name, kit.loaded.settings.database_path)
        found += _into(kit, file, kind, asked, [target])
    return found


def _name(target: Target, kind: Kind, asked: Selection) -> str:
    timeframe = (asked.resample or target.timeframe).name
    if kind.format != "freqtrade":
        return file_name(target.venue.name, target.symbol, timeframe, kind)
    try:
        return file_of(*registry.adapter(target.venue).ccxt_pair(target.symbol), timeframe)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _folder(output: Path | None, kind: Kind, venue: Venue) -> Path:
    if output is None or (output.exists() and not output.is_dir()):
        raise typer.BadParameter("freqtrade reads its data from a folder (datadir): give that folder with --output")
    # freqtrade's datadir has a folder for each exchange.
    folder = output / venue.name if kind.format == "freqtrade" else output
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        message = f"cannot write {folder}: {error.strerror}; check the owner and mode of its folder"
        raise NotPermittedError(message) from error
    except OSError as error:
        raise typer.BadParameter(
            f"{folder} cannot be used as a folder: {error.strerror}", param_hint="--output"
        ) from error
    return folder


@contextmanager
def _stdout() -> Iterator[TextIO]:
    """Yield stdout, and handle a reader that closes the pipe or stalls, and a full disk."""
    try:
        yield sys.stdout
        sys.stdout.flush()
    except (OSError, Stopped) as error:
        # Python's buffered output must not fail again at exit or delay it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, Stopped):
            raise
        if isinstance(error, BrokenPipeError):
            raise Stopped(signal.SIGPIPE) from None
        raise StorageError(f"could not write the candles: {error.strerror}") from error


def _file(output: Path, store: Path) -> Path:
    """Return the file to replace; reject the store and anything that is not a regular file, such as a device."""
    try:
        # Check the type first: a pipe behind /dev/stdout has no path.
        if output.exists() and not output.is_file():
            raise typer.BadParameter(f"{output} is not a regular file; without --output the candles go to stdout")
        found = without_planted_links(output)
        if not found.parent.is_dir():
            raise typer.BadParameter(f"{found.parent} is not a folder", param_hint="--output")
    except PermissionError as error:
        message = f"cannot write {output}: {error.strerror}; check the owner and mode of its folder"
        raise NotPermittedError(message) from error
    except (OSError, RuntimeError) as error:
        # The name is too long, or symbolic links form a circle.
        raise typer.BadParameter(f"{output} cannot be used as a file: {error}", param_hint="--output") from error
    if found == store.resolve():
        raise typer.BadParameter(f"{output} is the store itself", param_hint="--output")
    return found


def _plain_mode() -> int:
    """Return the usual mode of a new file under the umask: candles are not secret."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def row(one: Exported) -> dict[str, Any]:
    """Return what is reported about an exported series."""
    times = {name: time and iso(time) for name, time in (("start", one.start), ("end", one.end))}
    found = {**asdict(one), **times, "complete": one.is_complete}
    del found["unknown_ranges"]
    return found


def _described(one: Exported) -> dict[str, Any]:
    """Return the metadata of a series for the file, including its unknown ranges."""
    return {**row(one), "unknown_ranges": [[iso(start), iso(end)] for start, end in one.unknown_ranges]}
