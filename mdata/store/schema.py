"""Which schema a file has, and whether the file is ours."""

from pathlib import Path

from mdata.errors import ConfigurationError
from mdata.store.connection import Connection

# "mdat" in ASCII; distinguishes our files from those of other programs.
APPLICATION_ID = 0x6D646174
SCHEMA_VERSION = 5


def schema_version(path: Path, connection: Connection) -> int:
    """Return the schema version of our file, 0 for a new one; raise ConfigurationError for any other file."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise ConfigurationError(
                f"{path} has schema {version} of a newer mdata; this one supports {SCHEMA_VERSION}: update mdata"
            )
        return int(version)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id or tables:
        raise ConfigurationError(
            f"{path} is the database of another program and was not changed: set DATABASE_PATH to another file"
        )
    return 0
