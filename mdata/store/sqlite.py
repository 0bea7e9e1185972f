"""Which SQLite is used, and whether mdata can work with it.

SQLite 3.7.0 to 3.51.2 can lose committed pages when two connections of a WAL database write and checkpoint at the
same instant (fixed in 3.51.3, and in 3.50.7 and 3.44.6). If `pysqlite3` is installed, its newer engine is used; with
an older engine, the write lock around every transaction prevents this race.
"""

from typing import TYPE_CHECKING, Any

from mdata.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlite3

    OPTIONS: dict[str, Any] = {}
else:
    try:
        import pysqlite3 as sqlite3

        # Extended result codes, which the standard library always gives: SQLITE_OPEN_EXRESCODE.
        OPTIONS = {"flags": sqlite3.SQLITE_OPEN_READWRITE | 0x02000000}
    except ImportError:
        import sqlite3

        OPTIONS = {}

__all__ = ["OPTIONS", "SQLITE_VERSION", "has_wal_reset_bug", "refuse_old_engine", "sqlite3", "wal_reset_warning"]

_OLDEST = (3, 37, 0)  # STRICT tables

SQLITE_VERSION: str = sqlite3.sqlite_version


def has_wal_reset_bug(version: str = SQLITE_VERSION) -> bool:
    """Whether this SQLite can lose pages when two WAL writers meet (see the module's docstring)."""
    numbers = tuple(int(part) for part in version.split("."))
    if numbers[:2] == (3, 44):
        return numbers < (3, 44, 6)
    if numbers[:2] == (3, 50):
        return numbers < (3, 50, 7)
    return (3, 7, 0) <= numbers < (3, 51, 3)


def wal_reset_warning(version: str = SQLITE_VERSION) -> tuple[str, str] | None:
    """Return a message about an SQLite that can lose pages, and what to do about it; None for any other."""
    if not has_wal_reset_bug(version):
        return None
    from mdata import extras

    return (
        f"SQLite {version} can lose pages if two programs write at the same time (mdata's own jobs never do)",
        f"do not let other programs write to the store, or run `{extras.install(extras.SQLITE)}`",
    )


def refuse_old_engine() -> None:
    """Raise ConfigurationError if this interpreter's SQLite is too old; nothing has been opened then."""
    if tuple(map(int, SQLITE_VERSION.split("."))) < _OLDEST:
        from mdata import extras

        raise ConfigurationError(
            f"this Python has SQLite {SQLITE_VERSION}, and mdata needs 3.37 or newer: run "
            f"`{extras.install(extras.SQLITE)}`, or use a newer Python"
        )
