"""Which kind of file an export writes: from its name, or from `--format`."""

from pathlib import PurePath
from typing import NamedTuple

from mdata.domain.escape import quote
from mdata.domain.suggest import did_you_mean

FORMATS = ("csv", "jsonl", "parquet", "feather", "freqtrade")
_TEXT = {"csv", "jsonl"}
_COMPRESSIONS = ("gz", "zst")


class Kind(NamedTuple):
    """A format, and the compression of its text: `gz`, `zst`, or an empty text for none."""

    format: str = "csv"
    compression: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it can be written to a stream of text."""
        return self.format in _TEXT

    @property
    def suffix(self) -> str:
        """Return how the name of such a file ends."""
        name = "feather" if self.format == "freqtrade" else self.format
        return f".{name}.{self.compression}" if self.compression else f".{name}"


def kind_of(name: str, given: str | None) -> Kind:
    """Return the kind of the file `name`; raise ValueError with a message for the user if there is none.

    Its suffix and the `given` format must not contradict each other; without either, the kind is CSV.
    """
    suffixes = [suffix.removeprefix(".") for suffix in PurePath(name).suffixes[-2:]]
    compression = suffixes.pop() if suffixes and suffixes[-1] in _COMPRESSIONS else ""
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in {"", *FORMATS} or suffix == "freqtrade":
        raise ValueError(f"mdata cannot write .{suffix} files{did_you_mean(suffix, FORMATS[:-1])}; {_ADVICE}")
    if given is not None and suffix not in {"", given}:
        raise ValueError(f"{quote(name)} is the name of a {suffix} file, but --format says {given}")
    found = Kind(given or suffix or "csv", compression)
    if compression and not found.is_text:
        raise ValueError(f"a {found.format} file is already compressed: remove .{compression}")
    return found


_ADVICE = "use .csv, .jsonl, .csv.gz, .jsonl.zst, .parquet or .feather"


def file_name(exchange: str, symbol: str, timeframe: str, kind: Kind) -> str:
    """Return the file name of a series in a folder of many."""
    return f"{exchange}-{symbol.replace(':', '_')}-{timeframe}{kind.suffix}"
