"""The oldest SQLite that can read what mdata writes."""

from mdata.errors import ConfigurationError
from mdata.store.sqlite import SQLITE_VERSION

_OLDEST = (3, 37, 0)  # STRICT tables


def refuse_old_engine() -> None:
    """Raise ConfigurationError where this interpreter's SQLite is too old; nothing has been opened then."""
    if tuple(map(int, SQLITE_VERSION.split("."))) < _OLDEST:
        from mdata import extras

        raise ConfigurationError(
            f"this Python has SQLite {SQLITE_VERSION}, and mdata needs 3.37 or newer: run "
            f"`{extras.install(extras.SQLITE)}`, or use a newer Python"
        )
