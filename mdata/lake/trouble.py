"""Errors of the lake's libraries, each turned into one sentence and the fitting exit code."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from mdata import extras
from mdata.errors import (
    ConfigurationError,
    MdataError,
    MissingExtraError,
    NotPermittedError,
    StorageError,
    UnreachableError,
)

_LIBRARIES = {"deltalake", "obstore", "arro3"}
# The addresses at which a cloud machine asks for its credentials: they appear in an error if no credentials were
# found elsewhere.
_OWN_RIGHTS = ("169.254.169.254", "metadata.google.internal")
# Only the text of an error shows of which kind it is: it contains the HTTP status or the code of S3.
_REFUSED = re.compile(
    r"\b40[13]\b|AccessDenied|Forbidden|Unauthorized|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken"
    r"|lacks valid authentication|lack the necessary permissions|Permission denied|Operation not permitted"
)
_NO_PLACE = re.compile(r"NoSuchBucket|bucket does not exist|ContainerNotFound", re.IGNORECASE)
_DISK = re.compile(r"No space left|Input/output error|Read-only file system|Disk quota")
_SAID = re.compile(r"\x1b\[[0-9;]*m|[\s↳]+")
_NETWORK = re.compile(
    r"error sending request|error decoding response|HTTP error|timed out|Connection|connect|\b50\d\b|\b429\b|retries"
    r"|request or response body|Server Error"
)
_LONGEST = 300
# Limits of the machine are reported by the command line.
_LIMITS = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}


class OvertakenError(Exception):
    """Another program has committed to the same series in the meantime: look again, and decide again."""


def library(name: str) -> Any:
    """Import a library of the lake; raise MissingExtraError if it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _LIBRARIES:
            raise
        command = f"{extras.install(extras.DELTALAKE)} '{extras.OBSTORE}'"
        raise MissingExtraError(f"{package} is not installed: `{command}` brings what a lake needs") from error


@contextmanager
def told(place: str) -> Iterator[None]:
    """Turn errors about the lake at `place` into an MdataError, or OvertakenError."""
    try:
        yield
    except (MdataError, OvertakenError):
        raise
    except Exception as error:
        # An error from elsewhere is a bug of ours, or a limit of the machine.
        if not _is_theirs(error):
            raise
        if type(error).__name__ == "CommitFailedError":
            raise OvertakenError(str(error)) from error
        raise _meaning(place, str(error)) from error


def _is_theirs(error: Exception) -> bool:
    kind = type(error)
    if isinstance(error, OSError):
        return error.errno not in _LIMITS
    # deltalake's query engine raises only plain exceptions.
    return kind is Exception or kind.__module__.partition(".")[0] in {*_LIBRARIES, "_internal"}


def _meaning(place: str, text: str) -> MdataError:
    said = _SAID.sub(" ", text.partition("Debug source:")[0]).strip()
    said = f"“{said if len(said) <= _LONGEST else said[:_LONGEST] + '…'}”"
    if any(address in text for address in _OWN_RIGHTS):
        return NotPermittedError(
            f"the lake {place} needs credentials: set them in the environment (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or those of your store)"
        )
    if _NO_PLACE.search(text):
        return ConfigurationError(f"the bucket of the lake {place} does not exist: {said}; create it first")
    if _DISK.search(text):
        return StorageError(f"the lake {place} cannot be written: {said}")
    if _REFUSED.search(text):
        return NotPermittedError(f"the lake {place} denies access: {said}; check the credentials and their rights")
    if _NETWORK.search(text):
        return UnreachableError(f"the lake {place} cannot be reached: {said}; what was committed stays")
    return StorageError(f"the lake {place} cannot be read or written: {said}")
