"""Where a lake is, and whether a place can hold one: if a place lets two writers create one key, commits are lost."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mdata.errors import ConfigurationError
from mdata.lake.trouble import library, told

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# How often, and for how long (s), a server that does not answer, or answers with errors, is asked again.
RETRIES, RETRY_SECONDS = 5, 60

_PROBE = "_mdata_probe_"


def is_folder(url: str) -> bool:
    """Whether a lake is a folder of this machine, not an address."""
    return "://" not in url


def probe(url: str) -> None:
    """Create a key twice, then remove it; raise ConfigurationError if the second attempt is not refused.

    Nothing else keeps two Delta writers apart: if both commit the same version, one of them must be refused.
    """
    obstore = library("obstore")
    with told(url):
        store, key = _store(url), f"{_PROBE}{os.urandom(8).hex()}"
        obstore.put(store, key, b"mdata", mode="create")
        try:
            obstore.put(store, key, b"mdata", mode="create")
        except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
            return
        finally:
            obstore.delete(store, key)
    raise ConfigurationError(
        f"the store of {url} has no conditional puts: it let the same key be created twice, and would lose commits "
        "of several publishers without an error. Nothing was published; use a store that has them (AWS S3, R2, GCS, "
        "Azure, MinIO, Ceph), or a folder"
    )


def names(url: str, table: str) -> set[str]:
    """Return the names of all stored files below a table, relative to it."""
    obstore, prefix = library("obstore"), f"{table}/"
    with told(url):
        parts = obstore.list(_store(url), prefix=table)
        return {one["path"].removeprefix(prefix) for part in parts for one in part}


def _store(url: str) -> "ObjectStore":
    found = library("obstore.store")
    if is_folder(url):
        if Path(url).is_file():
            raise ConfigurationError(f"{url} is a file, but a lake is a folder: choose another place")
        # Readable for whomever the umask allows: a lake is meant to be read by others.
        Path(url).mkdir(parents=True, exist_ok=True)
        return found.LocalStore(url)
    return found.from_url(
        url, retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
    )
