"""The effective settings: options over environment over env file over defaults."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mdata.config.files import EnvFile, find_env_file, read_env_file
from mdata.config.folders import current_folder, user_folder
from mdata.config.table import SETTINGS, Setting, Settings
from mdata.config.values import is_loopback
from mdata.domain.pace import DOCUMENTED_PER_MINUTE, LEAST_DELAY
from mdata.errors import ConfigurationError, MdataError


class Loaded(NamedTuple):
    """The effective settings, where each comes from, and warnings about them.

    `strange_retention` names settings that delete candles, if they come from an env file that was only found in the
    current folder and does not set DATABASE_PATH.
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
    file = EnvFile() if path is None else read_env_file(path)
    found, origins, faults = {}, {}, list(file.faults)
    for setting in SETTINGS:
        text, origin = _source(setting, overrides or {}, environment, file)
        origins[setting.name] = origin
        try:
            found[field_of(setting)] = _value(setting, text, environment)
        except ValueError as error:
            faults.append(f"{origin}: {setting.name} is invalid: {error}")
    if not faults and found["rehearsal"] is not None and not _is_local(found):
        faults.append(f"{origins['MDATA_REHEARSAL']}: MDATA_REHEARSAL needs both Bitfinex URLs on this machine")
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
        raise ValueError("it is empty; remove the line to use the default")
    return setting.parse(text)


def field_of(setting: Setting) -> str:
    """Return the name of a setting in `Settings`."""
    return setting.name.removeprefix("MDATA_").lower()


def _is_local(found: Mapping[str, Any]) -> bool:
    from urllib.parse import urlsplit

    return all(is_loopback(urlsplit(found[name]).hostname or "") for name in ("bitfinex_rest_url", "bitfinex_ws_url"))


def _raise_delay(found: dict[str, Any], origins: Mapping[str, str]) -> list[str]:
    """Raise a delay that only an exchange on this machine would accept, and return the warning about it."""
    from urllib.parse import urlsplit

    delay = found["rate_limit_delay"]
    if delay >= LEAST_DELAY or is_loopback(urlsplit(found["bitfinex_rest_url"]).hostname or ""):
        return []
    found["rate_limit_delay"] = LEAST_DELAY
    meant = f"60 s ÷ {delay:g} s = {60 / delay:.0f} requests per minute" if delay else "no limit at all"
    sentence = (
        f"{origins['RATE_LIMIT_DELAY']}: RATE_LIMIT_DELAY={delay:g} means {meant}, but the exchange blocks clients "
        f"that send more than {DOCUMENTED_PER_MINUTE} per minute; using 60 s ÷ {DOCUMENTED_PER_MINUTE} = "
        f"{LEAST_DELAY:g} s instead"
    )
    return [sentence]


def _if_readable_by_others(file: EnvFile) -> list[str]:
    secret = [file.entries[one.name] for one in SETTINGS if one.is_secret and one.name in file.entries]
    if any(entry.value for entry in secret) and (path := secret[0].path).stat().st_mode & 0o004:
        return [f"{path} contains a secret and everybody can read it: run `chmod o-r {path}`"]
    return []


def _strange_retention(file: EnvFile, path: Path | None, origins: Mapping[str, str]) -> tuple[str, ...]:
    """Return the retention settings of a .env in the current folder that would delete from a store elsewhere."""
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
