"""Which schema a file has, and whether the file is ours."""

from pathlib import Path

from mdata.errors import ConfigurationError
from mdata.store.connection import Connection

# "mdat" in ASCII; tells our files from other programs' ones.
APPLICATION_ID = 0x6D646174
SCHEMA_VERSION = 4


def schema_version(path: Path, connection: Connection) -> int:
    """Return the schema version of our file, 0 for a new one; raise ConfigurationError for any other file."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise ConfigurationError(
                f"{path} has schema {version}, written by a newer mdata; this one knows {SCHEMA_VERSION}: update it"
            )
        return int(version)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id or tables:
        raise ConfigurationError(
            f"{path} is a database of another program; it was left as it is: set DATABASE_PATH to another file"
        )
    return 0
