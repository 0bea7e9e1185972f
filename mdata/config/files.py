"""Env files: which one is used, its entries line by line, and the template that `init` writes."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mdata.config.folders import user_folder
from mdata.config.table import CATEGORIES, SETTINGS
from mdata.domain.escape import quote
from mdata.domain.suggest import did_you_mean
from mdata.errors import ConfigurationError, NotPermittedError

if TYPE_CHECKING:
    from dotenv.parser import Binding

_SYSTEM_FILE = Path("/etc/mdata/mdata.env")
_KEY = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)")


class Entry(NamedTuple):
    """A value of an env file, and its line."""

    value: str
    path: Path
    line: int


class EnvFile(NamedTuple):
    """The entries of an env file, its faults, and warnings about it."""

    entries: dict[str, Entry]
    faults: list[str]
    warnings: list[str]

    @classmethod
    def none(cls) -> "EnvFile":
        """Return a file without any entry, to which entries, faults and warnings are added."""
        return cls({}, [], [])


def is_foreign(path: Path) -> bool:
    """Whether a file belongs to another user than this one or root."""
    return path.stat().st_uid not in {0, os.geteuid()}


def find_env_file(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the env file to use: the given one, or else the first that exists; None if there is none."""
    named = explicit or (Path(environ["MDATA_ENV_FILE"]) if environ.get("MDATA_ENV_FILE") else None)
    if named is not None:
        return _named(named, cwd)
    candidates = [cwd / ".env", _SYSTEM_FILE]
    with suppress(ValueError):
        candidates.insert(1, user_folder(environ, "XDG_CONFIG_HOME", ".config") / "mdata.env")
    return next((path for path in candidates if _is_file(path)), None)


def _named(named: Path, cwd: Path) -> Path:
    """Return the path of the env file that was given; raise ConfigurationError if it does not exist."""
    try:
        path = cwd / named.expanduser()
        # A pipe or /dev/null is fine: `--env-file <(decrypt mdata.env)`.
        exists = path.exists() and not path.is_dir()
    except PermissionError as error:
        raise NotPermittedError(f"cannot read the env file {named}: {error.strerror}; check its folder") from error
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(f"cannot find the env file {named}; give its full path") from error
    if not exists:
        raise ConfigurationError(f"the env file {path} does not exist; `mdata init` writes one")
    return path


def _is_file(path: Path) -> bool:
    """Whether there is a readable file; False in a folder that this user cannot enter."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_env_file(path: Path) -> EnvFile:
    """Return the entries and all faults of a file; raise an MdataError if it cannot be read at all."""
    import io

    # python-dotenv skips lines that it cannot read, at most with a log line; its parser reports them.
    from dotenv.parser import parse_stream

    found = EnvFile.none()
    for binding in parse_stream(io.StringIO(_text_of(path))):
        _take(found, binding, path)
    return found


def _take(found: EnvFile, binding: "Binding", path: Path) -> None:
    """Add one line of `path` to the result; error messages never repeat values, because they may be secret."""
    written = binding.original.string
    # For the parser, empty lines belong to the line after them.
    line = binding.original.line + written[: len(written) - len(written.lstrip())].count("\n")
    place = f"{path}:{line}"
    if binding.error:
        begun = _KEY.match(written)
        what = f"the line of {quote(begun[1])}" if begun else "the line"
        found.faults.append(f"{place}: {what} cannot be read; write NAME=value, and close every quote")
    elif binding.key is None:
        return
    elif binding.value is None:
        found.faults.append(f"{place}: {quote(binding.key)} has no value; write NAME=value")
    elif "\n" in binding.value or "\r" in binding.value:
        found.faults.append(f"{place}: the value of {quote(binding.key)} spans several lines; close its quote")
    elif binding.key in found.entries:
        first = found.entries[binding.key].line
        found.faults.append(f"{place}: {quote(binding.key)} is already set on line {first}; keep one of the two")
    else:
        found.entries[binding.key] = Entry(binding.value, path, line)
        found.warnings.extend(_if_unknown(binding.key, place))


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotPermittedError(
            f"cannot read the env file {path}: {error.strerror}; check its owner and mode"
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{path}:{line}: this line is not valid UTF-8; save the file as UTF-8") from error


def _if_unknown(key: str, place: str) -> list[str]:
    names = [setting.name for setting in SETTINGS]
    if key in names:
        return []
    return [f"{place}: there is no setting {quote(key)}{did_you_mean(key.upper(), names)}"]


def env_file_text() -> str:
    """Return the commented template of all settings, each at its default."""
    lines = ["# Settings of mdata. Every line is optional; a setting that is left out has the value shown here."]
    for category, settings in CATEGORIES.items():
        lines += ["", f"# --- {category} ---"]
        for setting in settings:
            shown = f"{setting.name}={setting.default}"
            lines += [f"# {setting.help}", shown if setting.default else f"# {shown}"]
    return "\n".join(lines) + "\n"
