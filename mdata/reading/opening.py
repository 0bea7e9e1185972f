"""`mdata.open`: a store or a lake, by its path or address."""

import os
from pathlib import Path

from mdata.reading.reader import Reader
from mdata.store.snapshot import look


def open(path: str | Path | None = None) -> Reader:  # noqa: A001 - it is called `mdata.open`
    """Return a reader of the store at `path` (by default the store of the settings), or of the lake at `path`.

    Raise NotThereError if there is none, and the same errors as the command line if the file cannot be read.
    """
    if path is not None and _is_lake(str(path)):
        from mdata.reading.lake import LakeReader

        return LakeReader.at(str(path))
    if path is None:
        from mdata import config

        found = config.load().settings.database_path
    else:
        found = Path(path).expanduser()
    # The log of a store is beside the file itself, not beside a link to it.
    reader = Reader(Path(os.path.realpath(found)))
    look(reader.path, lambda _: None)
    return reader


def _is_lake(place: str) -> bool:
    """Whether a place is an address, or a folder that something was published to: a store is a file."""
    return "://" in place or (Path(place).expanduser() / "candles" / "_delta_log").is_dir()
