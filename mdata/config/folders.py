"""The folders that settings refer to: the current one, and the user's own (XDG)."""

import os
from collections.abc import Mapping
from pathlib import Path

from mdata.errors import ConfigurationError


def current_folder() -> Path:
    """Return the current folder; raise ConfigurationError if it has been removed."""
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigurationError(
            "the current folder was removed or you may not enter it; change to another one"
        ) from error


def user_folder(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    """Return mdata's folder inside the folder that `variable` (XDG_..._HOME) names.

    If the variable names none, return mdata's folder inside the folder `below_home` of the home folder.

    Raise ValueError, with a message for the user, if the user has no home folder.
    """
    base = environ.get(variable, "")
    # The XDG specification says to ignore relative paths.
    return (Path(base) if base.startswith("/") else home_folder(environ) / below_home) / "mdata"


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return the user's home folder; raise ValueError if there is none."""
    if environ.get("HOME"):
        return Path(environ["HOME"])
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise ValueError("this user has no home folder; set HOME, or give a path") from None


def cache_folder() -> Path | None:
    """Return the folder for cached data; None for a user without a home folder."""
    try:
        return user_folder(os.environ, "XDG_CACHE_HOME", ".cache")
    except ValueError:
        return None
