"""Which kind of file an export makes: by its name, or by what `--format` says."""

from pathlib import PurePath
from typing import NamedTuple

from mdata.domain.escape import quote
from mdata.domain.suggest import did_you_mean

FORMATS = ("csv", "jsonl", "parquet", "feather", "freqtrade")
_TEXT = {"csv", "jsonl"}
_COMPRESSIONS = ("gz", "zst")


class Kind(NamedTuple):
    """A format, and how its text is compressed: `gz`, `zst`, or an empty text."""

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
    """Return the kind of the file `name`; raise ValueError, with a sentence to be shown, where there is none.

    Its suffix and the format that was `given` must not contradict each other; without either it is CSV.
    """
    suffixes = [suffix.removeprefix(".") for suffix in PurePath(name).suffixes[-2:]]
    compression = suffixes.pop() if suffixes and suffixes[-1] in _COMPRESSIONS else ""
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in {"", *FORMATS} or suffix == "freqtrade":
        raise ValueError(f"mdata writes no .{suffix} files{did_you_mean(suffix, FORMATS[:-1])}; {_ADVICE}")
    if given is not None and suffix not in {"", given}:
        raise ValueError(f"{quote(name)} is the name of a {suffix} file, and --format says {given}")
    found = Kind(given or suffix or "csv", compression)
    if compression and not found.is_text:
        raise ValueError(f"a {found.format} file is compressed in itself: leave .{compression} away")
    return found


_ADVICE = "name it .csv, .jsonl, .csv.gz, .jsonl.zst, .parquet or .feather"


def file_name(exchange: str, symbol: str, timeframe: str, kind: Kind) -> str:
    """Return the name that the file of a series has in a folder of many."""
    return f"{exchange}-{symbol.replace(':', '_')}-{timeframe}{kind.suffix}"
