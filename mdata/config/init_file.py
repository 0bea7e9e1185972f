"""The env file that `mdata init` writes."""

import os
from collections.abc import Mapping
from pathlib import Path

from mdata.config.files import env_file_text
from mdata.config.folders import current_folder, user_folder
from mdata.errors import ConfigurationError, NotPermittedError
from mdata.files import make_folder


def write_env_file(*, here: bool, environ: Mapping[str, str] | None = None) -> Path:
    """Write the commented template to the place of `init`, and return its path; an existing file is not changed."""
    environment = os.environ if environ is None else environ
    path = _place_of_init(environment, here=here)
    try:
        make_folder(path.parent)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(env_file_text())
    except FileExistsError as error:
        message = f"{path} exists already and was not changed; edit it, or remove it first"
        raise ConfigurationError(message) from error
    except OSError as error:
        raise NotPermittedError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    return path


def _place_of_init(environment: Mapping[str, str], *, here: bool) -> Path:
    if here:
        return current_folder() / ".env"
    try:
        return user_folder(environment, "XDG_CONFIG_HOME", ".config") / "mdata.env"
    except ValueError as error:
        raise ConfigurationError(f"cannot tell where to write the env file: {error}") from error
