"""The store for subcommands that only read."""

from typing import TYPE_CHECKING

from mdata.cli.entry import Kit

if TYPE_CHECKING:
    from mdata.store.engine import Store


def opened(kit: Kit) -> "Store | None":
    """Open the store for reading; if there is none yet, say so and return None."""
    from mdata.store.opening import open_for_reading

    store = open_for_reading(kit.loaded.settings.database_path, kit.log.info)
    if store is None:
        tell_that_nothing_is_stored(kit)
    return store


def tell_that_nothing_is_stored(kit: Kit) -> None:
    """Say that there is no store yet, and what to do about it."""
    kit.log.warning("there is no store yet: run `mdata backfill`")
