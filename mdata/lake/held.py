"""What the files of a lake contain, according to the log; no file is read."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from mdata.domain.publication import Key

if TYPE_CHECKING:
    from deltalake import DeltaTable


class Held(NamedTuple):
    """What a partition contains: rows (None if unknown), bytes, and when it was last written (ms UTC)."""

    rows: int | None
    bytes: int
    modified: int


def files_of(table: "DeltaTable") -> Iterable[tuple[str, Key, str, Held]]:
    """Yield the name of each file of a table, its series and period, and what it contains."""
    files = table.get_add_actions(flatten=True)

    def column(name: str) -> list[Any]:
        return files.column(name).to_pylist() if name in files.column_names else [None] * files.num_rows

    keys = map(Key, *(column(f"partition.{name}") for name in ("exchange", "symbol", "timeframe")))
    sizes = map(Held, column("num_records"), column("size_bytes"), column("modification_time"))
    return zip(map(unquote, column("path")), keys, column("partition.period"), sizes, strict=True)


def together(one: Held | None, other: Held) -> Held:
    """Return what two parts of a partition contain together."""
    if one is None:
        return other
    rows = None if one.rows is None or other.rows is None else one.rows + other.rows
    return Held(rows, one.bytes + other.bytes, max(one.modified, other.modified))
