"""Where units may be installed: program, settings and store as the units will see them; rejects what cannot work."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mdata import config
from mdata.config import Loaded, Settings
from mdata.config.systemd import home, user_unit_folder
from mdata.errors import ConfigurationError, NotPermittedError
from mdata.timers.unit_files import Installation

SYSTEM_FOLDER = Path("/etc/systemd/system")
SYSTEM_USER = "mdata"
_STATE_FOLDER = Path("/var/lib/mdata")
# ProtectHome=yes empties these.
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))


@dataclass(frozen=True, slots=True)
class Account:
    """The user that the system's units run as."""

    uid: int
    gid: int
    home: Path


def unit_folder(manager: str) -> Path:
    """Return where the units of the "user" or "system" manager are installed."""
    with _needs_a_home():
        return SYSTEM_FOLDER if manager == "system" else user_unit_folder()


@contextmanager
def _needs_a_home() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(f"cannot find the folder for your units: {error}") from error


def refuse_without_root(manager: str, verb: str) -> None:
    """Raise NotPermittedError for the system's units unless this is root."""
    if manager == "system" and os.geteuid() != 0:
        raise NotPermittedError(f"only root can {verb} the system's units: run `sudo mdata timers {verb} --system`")


def this_program() -> Path:
    """Return the script that starts `mdata`."""
    beside_python = Path(sys.prefix) / "bin" / "mdata"
    return beside_python if beside_python.exists() else Path(os.path.abspath(sys.argv[0]))  # noqa: PTH100 - keeps links


def settings_in_units(here: Loaded, manager: str) -> Settings:
    """Return the settings that the units will see: those of the env file, without variables of this terminal.

    Raise ConfigurationError if they would then use another store than this terminal.
    """
    _refuse_passing(here.env_file)
    with _needs_a_home():
        environ = {"HOME": str(_account().home) if manager == "system" else home()}
    seen = config.load(here.env_file, environ=environ).settings
    if seen.database_path != here.settings.database_path:
        raise ConfigurationError(
            f"the units would use {seen.database_path}, but this terminal uses {here.settings.database_path} "
            f"(DATABASE_PATH from {here.origins['DATABASE_PATH']}): set DATABASE_PATH in "
            f"{here.env_file or 'an env file (`mdata init`)'}"
        )
    return seen


def place_of(manager: str, here: Loaded, seen: Settings, systemd_version: int | None) -> Installation:
    """Return where the units will work; raise an MdataError that says what to do if they cannot work there."""
    program = this_program()
    writable: tuple[Path, ...] = ()
    if manager == "system":
        _refuse_hidden(
            {
                "the program": program,
                "its Python": Path(sys.executable).resolve(),
                "the env file": here.env_file,
                "DATABASE_PATH": seen.database_path,
                "RATE_LIMIT_STATE_PATH": seen.rate_limit_state_path,
                "LAKE_URL": _folder_of_lake(seen),
            }
        )
        account = _account()
        folders = {seen.database_path.parent, seen.rate_limit_state_path.parent}
        folders |= {seen.prometheus_textfile.parent} if seen.prometheus_textfile else set()
        folders |= {lake} if (lake := _folder_of_lake(seen)) else set()
        writable = tuple(sorted(one for one in folders if not one.is_relative_to(_STATE_FOLDER)))
        for folder in (*writable, seen.database_path.parent):
            _refuse_unwritable(folder, account)
        for path in filter(None, (program, here.env_file)):
            _refuse_unreadable(path, account)
    is_deferring = systemd_version is not None and systemd_version >= 257
    return Installation(
        manager, program, here.env_file, seen.database_path, writable, seen.ping_url is None, is_deferring
    )


def _folder_of_lake(settings: Settings) -> Path | None:
    """Return the folder that LAKE_URL names; None where it is an address, or nothing."""
    return None if settings.lake_url is None or "://" in settings.lake_url else Path(settings.lake_url)


def _account() -> Account:
    import pwd

    try:
        found = pwd.getpwnam(SYSTEM_USER)
    except KeyError as error:
        raise ConfigurationError(
            f"the system's units need a user {SYSTEM_USER}: run `make install-system`, which creates it, or use "
            "`mdata timers install --user`"
        ) from error
    return Account(found.pw_uid, found.pw_gid, Path(found.pw_dir))


def _refuse_passing(env_file: Path | None) -> None:
    """Raise ConfigurationError for an env file that only exists for this call, such as `<(decrypt ...)`."""
    if env_file is not None and not (env_file.is_file() or env_file == Path(os.devnull)):
        raise ConfigurationError(
            f"the units need a permanent env file, but {env_file} is not one; give a file on disk"
        )


def _refuse_hidden(paths: Mapping[str, Path | None]) -> None:
    """Raise ConfigurationError for paths in a home folder, which the system's units cannot see (ProtectHome=yes)."""
    for what, path in paths.items():
        if path is not None and any(
            path.resolve().is_relative_to(home) or path.is_relative_to(home) for home in _HOMES
        ):
            raise ConfigurationError(
                f"{what} is {path}, but the system's units cannot read home folders (ProtectHome=yes); run `make "
                "install-system` to install everything elsewhere, or use `mdata timers install --user`"
            )


def _refuse_unwritable(folder: Path, account: Account) -> None:
    if not _may(folder, account, stat.S_IWUSR):
        raise NotPermittedError(
            f"the user {SYSTEM_USER} cannot write to the folder {folder} from the settings; create it for the group: "
            f"`install -d -m 2770 -o {SYSTEM_USER} -g {SYSTEM_USER} {folder}`"
        )


def _refuse_unreadable(path: Path, account: Account) -> None:
    chain: Iterable[Path] = (path, *path.parents)
    closed = next(
        (one for one in chain if not _may(one, account, stat.S_IRUSR if one == path else stat.S_IXUSR)), None
    )
    if closed is not None:
        raise NotPermittedError(
            f"the user {SYSTEM_USER} cannot read {path}, because it has no access to {closed}; grant access "
            "(`chmod`, `chgrp`), or run `make install-system`"
        )


def _may(path: Path, account: Account, bit: int) -> bool:
    """Whether the account has this right (given as the owner's bit) on a path; False if it does not exist."""
    try:
        found = path.stat()
    except OSError:
        return False
    if found.st_uid == account.uid:
        return bool(found.st_mode & bit)
    return bool(found.st_mode & (bit >> 3 if found.st_gid == account.gid else bit >> 6))
