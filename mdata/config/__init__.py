"""Settings: options over environment over env file over defaults; the only place that reads the environment."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TextIO

from mdata.config.files import EnvFile, env_file_text, find_env_file, read_env_file
from mdata.config.folders import current_folder, user_folder
from mdata.config.table import ADDRESSES, SETTINGS, Setting, Settings, rest_setting
from mdata.config.values import is_loopback
from mdata.domain.timeframe import Timeframe
from mdata.domain.venue import Venue
from mdata.errors import ConfigurationError, MdataError, NotPermittedError
from mdata.exchange import registry
from mdata.files import make_folder

__all__ = [
    "Loaded", "Row", "Settings", "cache_folder", "env_file_text", "find_env_file", "invocation_id", "is_dumb",
    "is_journal", "listing", "load", "rest_setting", "text_of", "wants_colour", "wants_unicode", "write_env_file",
]  # fmt: skip

_REDACTED = "(set, not shown)"


class Loaded(NamedTuple):
    """The effective settings, where each came from, and what should be looked at.

    `strange_retention` names settings that delete, and stand in an env file that was merely found in the current
    folder and does not say which store it is about.
    """

    settings: Settings
    origins: Mapping[str, str]
    env_file: Path | None
    warnings: tuple[str, ...]
    strange_retention: tuple[str, ...] = ()


class Row(NamedTuple):
    """One line of `mdata config`."""

    name: str
    value: str
    origin: str


def load(
    env_file: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Return the effective settings; raise ConfigurationError, naming each fault's place, before anything else."""
    environment = os.environ if environ is None else environ
    path = find_env_file(env_file, environment, current_folder())
    file = EnvFile() if path is None else read_env_file(path)
    found, origins, faults = {}, {}, list(file.faults)
    for setting in SETTINGS:
        text, origin = _source(setting, overrides or {}, environment, file)
        origins[setting.name] = origin
        try:
            found[_field(setting)] = _value(setting, text, environment)
        except ValueError as error:
            faults.append(f"{origin}: {setting.name} is wrong: {error}")
    if not faults:
        found["addresses"] = MappingProxyType({one.name: found.pop(_field(one)) for one in ADDRESSES})
        faults += _unserved(found["symbols"], found["timeframes"], origins)
    if not faults and found["rehearsal"] is not None and not all(map(_is_local, found["addresses"].values())):
        names = " and ".join(found["addresses"])
        faults.append(f"{origins['MDATA_REHEARSAL']}: MDATA_REHEARSAL needs {names} on this machine")
    if faults:
        raise ConfigurationError("; ".join(faults) + "; correct it and run this again")
    warnings = (*file.warnings, *_if_readable_by_others(file), *_raise_delay(found, origins))
    is_named = env_file is not None or bool(environment.get("MDATA_ENV_FILE"))
    met = None if is_named or path is None or path.parent != current_folder() else path
    return Loaded(Settings(**found), origins, path, warnings, _strange_retention(file, met, origins))


def text_of(name: str, env_file: Path | None = None) -> str:
    """Return the text of one setting, whatever is wrong with others; empty where it cannot be told."""
    (setting,) = (one for one in SETTINGS if one.name == name)
    try:
        path = find_env_file(env_file, os.environ, current_folder())
        file = EnvFile() if path is None else read_env_file(path)
    except MdataError:
        file = EnvFile()
    return _source(setting, {}, os.environ, file)[0]


def _source(
    setting: Setting, overrides: Mapping[str, str], environment: Mapping[str, str], file: EnvFile
) -> tuple[str, str]:
    if setting.name in overrides:
        return overrides[setting.name].strip(), "option"
    if setting.name in environment:
        return environment[setting.name].strip(), "environment"
    if setting.name in file.entries:
        entry = file.entries[setting.name]
        return entry.value.strip(), f"{entry.path}:{entry.line}"
    return setting.default, "default"


def _value(setting: Setting, text: str, environment: Mapping[str, str]) -> Any:
    if not text and setting.name == "DATABASE_PATH":
        return Path(os.path.realpath(user_folder(environment, "XDG_DATA_HOME", ".local/share") / "mdata.db"))
    if not text and setting.name == "RATE_LIMIT_STATE_PATH":
        shared = Path("/var/lib/mdata")
        folder = shared if os.access(shared, os.W_OK) else user_folder(environment, "XDG_STATE_HOME", ".local/state")
        return folder / "rate-limit.json"
    if not text and setting.default:
        raise ValueError("it is empty; leave the line out for the default")
    return setting.parse(text)


def _field(setting: Setting) -> str:
    return setting.name.removeprefix("MDATA_").lower()


def _is_local(url: str) -> bool:
    from urllib.parse import urlsplit

    return is_loopback(urlsplit(url).hostname or "")


def _unserved(symbols: Sequence[str], timeframes: Sequence[Timeframe], origins: Mapping[str, str]) -> list[str]:
    """Return a sentence for each timeframe that an exchange does not serve which the settings name."""
    named = dict.fromkeys(registry.resolve(name)[0] for name in symbols)
    return [
        f"{origins['TIMEFRAMES']}: TIMEFRAMES is wrong: {venue.title} has no {grid.name} candles; there are "
        f"{' '.join(one.name for one in venue.timeframes)}"
        for venue in named
        for grid in timeframes
        if grid not in venue.timeframes
    ]


def _raise_delay(found: dict[str, Any], origins: Mapping[str, str]) -> list[str]:
    """Raise a delay that no exchange but one on this machine would bear, and return the sentence about it."""
    delay = found["rate_limit_delay"]
    named: list[Venue] = [venue for venue, _ in map(registry.resolve, found["symbols"])]
    windows = [
        venue.window
        for venue in named
        if delay < venue.window.least_delay
        and not _is_local(found["addresses"].get(rest_setting(venue), venue.rest_url))
    ]
    if not windows:
        return []
    seconds, most, _ = slowest = max(windows, key=lambda window: window.least_delay)
    found["rate_limit_delay"] = slowest.least_delay
    many = f"{seconds / delay:.0f} requests {'a minute' if seconds == 60 else f'in {seconds:g} s'}" if delay else ""
    meant = f"{seconds:g} s ÷ {delay:g} s = {many}" if delay else "no limit at all"
    sentence = (
        f"{origins['RATE_LIMIT_DELAY']}: RATE_LIMIT_DELAY={delay:g} means {meant}, and the exchange blocks whoever "
        f"sends more than {most}: {seconds:g} s ÷ {most} = {slowest.least_delay:g} s is used instead"
    )
    return [sentence]


def _if_readable_by_others(file: EnvFile) -> list[str]:
    secret = [file.entries[one.name] for one in SETTINGS if one.is_secret and one.name in file.entries]
    if any(entry.value for entry in secret) and (path := secret[0].path).stat().st_mode & 0o004:
        return [f"{path} holds a secret and can be read by everybody: run `chmod o-r {path}`"]
    return []


def _strange_retention(file: EnvFile, path: Path | None, origins: Mapping[str, str]) -> tuple[str, ...]:
    """Return the settings by which the .env of a folder that one happens to be in deletes from a store elsewhere."""
    store = file.entries.get("DATABASE_PATH")
    if path is None or (store is not None and store.value.strip()):
        return ()
    return tuple(
        one.name
        for one in SETTINGS
        if "RETENTION" in one.name
        and origins[one.name].startswith(f"{path}:")
        and file.entries[one.name].value.strip() != one.default
    )


def listing(loaded: Loaded) -> list[Row]:
    """Return every setting with its value as text and its origin; secrets are not shown."""
    rows = []
    for setting in SETTINGS:
        value = loaded.settings.addresses.get(setting.name)
        value = getattr(loaded.settings, _field(setting)) if value is None else value
        text = _REDACTED if setting.is_secret and value else _text(value)
        rows.append(Row(setting.name, text, loaded.origins[setting.name]))
    return rows


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(getattr(one, "name", one)) for one in value)
    if isinstance(value, Mapping):
        return ",".join(f"{name}={days}" for name, days in value.items())
    return str(value)


def write_env_file(*, here: bool, environ: Mapping[str, str] | None = None) -> Path:
    """Write the commented template where `init` puts it, and return the path; an existing file is left alone."""
    environment = os.environ if environ is None else environ
    path = _place_of_init(environment, here=here)
    try:
        make_folder(path.parent)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(env_file_text())
    except FileExistsError as error:
        message = f"{path} exists already and was left as it is; edit it, or remove it first"
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


def cache_folder() -> Path | None:
    """Return where what can be asked for again may be kept; None for a user without a home."""
    try:
        return user_folder(os.environ, "XDG_CACHE_HOME", ".cache")
    except ValueError:
        return None


def is_journal(stream: TextIO) -> bool:
    """Whether `stream` goes to systemd's journal, which reads priorities at the beginning of lines."""
    named = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def invocation_id() -> str | None:
    """Return systemd's id of this run, if it runs under systemd; what cannot be one is none."""
    found = os.environ.get("INVOCATION_ID", "")
    return found if found.isascii() and found.isalnum() else None


def wants_colour() -> bool:
    """Whether a terminal here can and may show colours and moving bars."""
    return not os.environ.get("NO_COLOR") and not is_dumb()


def wants_unicode(stream: TextIO) -> bool:
    """Whether `stream` can and may show block characters; where not, there are ASCII ones."""
    try:
        "█▁▄▒·×".encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return not is_dumb()


def is_dumb() -> bool:
    """Whether the terminal here can do no more than show one line after the other."""
    return os.environ.get("TERM", "") in {"dumb", ""}
