"""The Delta tables of a lake: opened, created, and changed by one commit at a time."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mdata.domain.publication import Author, Key
from mdata.lake.place import RETRIES, RETRY_SECONDS, is_folder
from mdata.lake.tables import TABLES, schema
from mdata.lake.trouble import library, told

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

# Files are a sixth smaller than with the usual compression (snappy), and take 1.5 times as long; higher levels gain
# next to nothing.
_COMPRESSION = ("ZSTD", 3)
# The log defines the versions, so Delta must not delete its entries after 30 days, as it does by default.
_CONFIGURATION = {"delta.enableExpiredLogCleanup": "false"}


def options_of(url: str) -> dict[str, str] | None:
    """Return deltalake's options for a lake; it takes credentials and address from the environment."""
    if is_folder(url):
        return None
    return {
        "timeout": "30s", "connect_timeout": "5s", "max_retries": str(RETRIES), "retry_timeout": f"{RETRY_SECONDS}s",
    }  # fmt: skip


def open_table(url: str, name: str) -> "DeltaTable":
    """Return a table of a lake as it is now; deltalake raises TableNotFoundError if there is none."""
    return library("deltalake").DeltaTable(f"{url}/{name}", storage_options=options_of(url))


def open_or_make(url: str, name: str, origin: Author) -> "DeltaTable":
    """Return a table of a lake with its constraints; it is created if there is none."""
    deltalake, table = library("deltalake"), TABLES[name]
    try:
        found = open_table(url, name)
    except library("deltalake.exceptions").TableNotFoundError:
        found = _make(url, name, origin)
    for constraint, rule in table.constraints.items():
        # The program that created the table may have ended before adding the constraints; another may be adding them
        # now.
        while f"delta.constraints.{constraint}" not in found.metadata().configuration:
            with suppress(deltalake.exceptions.DeltaError):
                found.alter.add_constraint({constraint: rule}, commit_properties=commit_of(origin, None, 0, ""))
            found.update_incremental()
    return found


def _make(url: str, name: str, origin: Author) -> "DeltaTable":
    deltalake, table = library("deltalake"), TABLES[name]
    try:
        return deltalake.DeltaTable.create(
            f"{url}/{name}",
            schema(table),
            partition_by=list(table.partition_by),
            configuration=_CONFIGURATION,
            storage_options=options_of(url),
            commit_properties=commit_of(origin, None, 0, ""),
        )
    except deltalake.exceptions.DeltaError:
        # Probably another publisher has just created it; if the reason was a different one, opening the table raises
        # an error.
        return open_table(url, name)


def commit_of(origin: Author, key: Key | None, number: int, months: str) -> "CommitProperties":
    """Return what a commit records about itself: its author, and for a series (`key`) its number and its months."""
    deltalake = library("deltalake")
    said = {"mdata": origin.version, "mdata.host": origin.host, "mdata.store": origin.store}
    said |= {"mdata.series": key.name, "mdata.months": months} if key else {}
    numbers = [deltalake.Transaction(application(key), number)] if key else None
    return deltalake.CommitProperties(custom_metadata=said, app_transactions=numbers)


def application(key: Key) -> str:
    """Return the name under which the commits on a series are numbered."""
    return f"mdata/{key.exchange}/{key.symbol}/{key.timeframe}"


def replace_rows(url: str, table: "DeltaTable", rows: Any, where: str, commit: "CommitProperties") -> None:
    """Replace the rows that match `where` with `rows`; raise OvertakenError if another commit has come in between."""
    deltalake = library("deltalake")
    compression, level = _COMPRESSION
    with told(url):
        deltalake.write_deltalake(
            table,
            rows,
            mode="overwrite",
            predicate=where,
            writer_properties=deltalake.WriterProperties(compression=compression, compression_level=level),
            commit_properties=commit,
        )
