"""The folders that settings start from: the current one, and those that belong to the user (XDG)."""

import os
from collections.abc import Mapping
from pathlib import Path

from mdata.errors import ConfigurationError


def current_folder() -> Path:
    """Return the current folder; raise ConfigurationError where it has been removed meanwhile."""
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigurationError("the current folder is gone or closed to you; change to another one") from error


def user_folder(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    """Return mdata's own folder below `variable` (XDG_..._HOME), else below `below_home` of the home folder.

    Raise ValueError, with a sentence fit to be shown, for a user without a home.
    """
    base = environ.get(variable, "")
    # The XDG specification has relative ones ignored.
    return (Path(base) if base.startswith("/") else home_folder(environ) / below_home) / "mdata"


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return the user's home folder; raise ValueError where there is none."""
    if environ.get("HOME"):
        return Path(environ["HOME"])
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise ValueError("this user has no home folder; name a path, or set HOME") from None


def cache_folder() -> Path | None:
    """Return where what can be asked for again may be kept; None for a user without a home."""
    try:
        return user_folder(os.environ, "XDG_CACHE_HOME", ".cache")
    except ValueError:
        return None
