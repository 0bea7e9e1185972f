"""The store as a subcommand finds it that only reads."""

from typing import TYPE_CHECKING

from mdata.cli.entry import Kit

if TYPE_CHECKING:
    from mdata.store.engine import Store


def opened(kit: Kit) -> "Store | None":
    """Open the store for reading; where there is none yet, say so and return None."""
    from mdata.store.opening import open_for_reading

    store = open_for_reading(kit.loaded.settings.database_path, kit.log.info)
    if store is None:
        tell_that_nothing_is_stored(kit)
    return store


def tell_that_nothing_is_stored(kit: Kit) -> None:
    """Say that nothing is stored yet, and what to do about it."""
    kit.log.warning("nothing is stored yet: run `mdata backfill`")
