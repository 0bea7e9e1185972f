"""The effective settings: options come before the environment, the env file, and the defaults, in this order."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from mdata.config.files import EnvFile, find_env_file, is_foreign, read_env_file
from mdata.config.folders import current_folder, user_folder
from mdata.config.table import ADDRESSES, SETTINGS, Setting, Settings, rest_setting
from mdata.config.values import is_loopback
from mdata.domain.share import Share
from mdata.domain.timeframe import Timeframe
from mdata.domain.venue import Venue
from mdata.errors import ConfigurationError, MdataError
from mdata.exchange import registry


class Loaded(NamedTuple):
    """The effective settings, where each comes from, and warnings about them.

    `strange_retention` names settings that delete candles, if they come from an env file that was only found in the
    current folder, and if this file either does not set DATABASE_PATH or belongs to another user.
    """

    settings: Settings
    origins: Mapping[str, str]
    env_file: Path | None
    warnings: tuple[str, ...]
    strange_retention: tuple[str, ...] = ()


def load(
    env_file: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Return the effective settings; raise ConfigurationError with all faults and their places."""
    environment = os.environ if environ is None else environ
    path = find_env_file(env_file, environment, current_folder())
    file = EnvFile.none() if path is None else read_env_file(path)
    found, origins, faults = {}, {}, list(file.faults)
    for setting in SETTINGS:
        text, origin = _source(setting, overrides or {}, environment, file)
        origins[setting.name] = origin
        try:
            found[field_of(setting)] = _value(setting, text, environment)
        except ValueError as error:
            # Someone who typed an option does not know the name of the setting, so the message leaves it out.
            where = "on the command line" if origin == "option" else f"{origin}: {setting.name} is invalid"
            faults.append(f"{where}: {error}")
    if not faults:
        found["addresses"] = MappingProxyType({one.name: found.pop(field_of(one)) for one in ADDRESSES})
        faults += _unserved(found["symbols"], found["timeframes"], origins)
    if not faults and found["share"] is not None and origins["SYMBOLS"] != "option":
        faults += _narrow(found, origins)
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
    """Return the text of one setting even if others are invalid; empty if it cannot be read."""
    (setting,) = (one for one in SETTINGS if one.name == name)
    try:
        path = find_env_file(env_file, os.environ, current_folder())
        file = EnvFile.none() if path is None else read_env_file(path)
    except MdataError:
        file = EnvFile.none()
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
        raise ValueError("it is empty; remove the line to use the default")
    return setting.parse(text)


def field_of(setting: Setting) -> str:
    """Return the name of a setting in `Settings`."""
    return setting.name.removeprefix("MDATA_").lower()


def _is_local(url: str) -> bool:
    from urllib.parse import urlsplit

    return is_loopback(urlsplit(url).hostname or "")


def _unserved(symbols: Sequence[str], timeframes: Sequence[Timeframe], origins: Mapping[str, str]) -> list[str]:
    """Return a sentence for each configured timeframe that one of the configured exchanges does not serve."""
    named = dict.fromkeys(registry.resolve(name)[0] for name in symbols)
    return [
        f"{origins['TIMEFRAMES']}: TIMEFRAMES is wrong: {venue.title} has no {grid.name} candles; there are "
        f"{' '.join(one.name for one in venue.timeframes)}"
        for venue in named
        for grid in timeframes
        if grid not in venue.timeframes
    ]


def _narrow(found: dict[str, Any], origins: Mapping[str, str]) -> list[str]:
    """Keep only the SYMBOLS of this host's share; return what is wrong with that."""
    share: Share = found["share"]
    found["symbols"] = share.of_these(found["symbols"])
    if found["symbols"]:
        return []
    return [f"{origins['SHARE']}: SHARE={share} leaves none of SYMBOLS to this host: divide them into fewer shares"]


def _raise_delay(found: dict[str, Any], origins: Mapping[str, str]) -> list[str]:
    """Raise a delay that is only accepted for an exchange on this machine, and return the warning about it."""
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
    many = f"{seconds / delay:.0f} requests {'per minute' if seconds == 60 else f'in {seconds:g} s'}" if delay else ""
    meant = f"{seconds:g} s ÷ {delay:g} s = {many}" if delay else "no limit at all"
    sentence = (
        f"{origins['RATE_LIMIT_DELAY']}: RATE_LIMIT_DELAY={delay:g} means {meant}, but the exchange blocks clients "
        f"that send more than {most} per minute; using {seconds:g} s ÷ {most} = "
        f"{slowest.least_delay:g} s instead"
    )
    return [sentence]


def _if_readable_by_others(file: EnvFile) -> list[str]:
    secret = [file.entries[one.name] for one in SETTINGS if one.is_secret and one.name in file.entries]
    if any(entry.value for entry in secret) and (path := secret[0].path).stat().st_mode & 0o004:
        return [f"{path} contains a secret and everybody can read it: run `chmod o-r {path}`"]
    return []


def _strange_retention(file: EnvFile, path: Path | None, origins: Mapping[str, str]) -> tuple[str, ...]:
    """Return the retention settings that are followed only after a question.

    They come from a .env in the current folder that does not name the store, or that belongs to another user.
    """
    store = file.entries.get("DATABASE_PATH")
    if path is None or (store is not None and store.value.strip() and not is_foreign(path)):
        return ()
    return tuple(
        one.name
        for one in SETTINGS
        if "RETENTION" in one.name
        and origins[one.name].startswith(f"{path}:")
        and file.entries[one.name].value.strip() != one.default
    )
