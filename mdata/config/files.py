"""Env files: which one is in effect, what it says line by line, and the template that `init` writes."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
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
    """A value of an env file, and where it stands."""

    value: str
    path: Path
    line: int


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What an env file says, what is wrong with it, and what should be looked at."""

    entries: dict[str, Entry] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def find_env_file(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the env file in effect: the named one, else the first that exists; None where there is none."""
    named = explicit or (Path(environ["MDATA_ENV_FILE"]) if environ.get("MDATA_ENV_FILE") else None)
    if named is not None:
        return _named(named, cwd)
    candidates = [cwd / ".env", _SYSTEM_FILE]
    with suppress(ValueError):
        candidates.insert(1, user_folder(environ, "XDG_CONFIG_HOME", ".config") / "mdata.env")
    return next((path for path in candidates if _is_file(path)), None)


def _named(named: Path, cwd: Path) -> Path:
    """Return the path of the env file that was asked for; raise ConfigurationError where there is none."""
    try:
        path = cwd / named.expanduser()
        # A pipe or /dev/null will do: `--env-file <(decrypt mdata.env)`.
        exists = path.exists() and not path.is_dir()
    except PermissionError as error:
        raise NotPermittedError(f"cannot read the env file {named}: {error.strerror}; check its folder") from error
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(f"the env file {named} cannot be found; name its whole path") from error
    if not exists:
        raise ConfigurationError(f"the env file {path} does not exist; `mdata init` writes one")
    return path


def _is_file(path: Path) -> bool:
    """Whether there is a file to be read; a folder closed to this user holds none for them."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_env_file(path: Path) -> EnvFile:
    """Return what a file says and all that is wrong with it; raise an MdataError where it cannot be read at all."""
    import io

    # python-dotenv skips lines that it cannot read, with a log line at most; the parser itself tells them.
    from dotenv.parser import parse_stream

    found = EnvFile()
    for binding in parse_stream(io.StringIO(_text_of(path))):
        _take(found, binding, path)
    return found


def _take(found: EnvFile, binding: "Binding", path: Path) -> None:
    """Add one line of `path` to what was found; values are never repeated in a fault, for they may be secret."""
    written = binding.original.string
    # The parser counts the empty lines before a line as its own.
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
        found.faults.append(f"{place}: {quote(binding.key)} goes on over several lines; close its quote")
    elif binding.key in found.entries:
        first = found.entries[binding.key].line
        found.faults.append(f"{place}: {quote(binding.key)} stands here again, after line {first}; keep one")
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
        raise ConfigurationError(f"{path}:{line}: the file is not UTF-8 here; save it as UTF-8") from error


def _if_unknown(key: str, place: str) -> list[str]:
    names = [setting.name for setting in SETTINGS]
    if key in names:
        return []
    return [f"{place}: mdata knows no setting {quote(key)}{did_you_mean(key.upper(), names)}"]


def env_file_text() -> str:
    """Return the commented template of all settings, each at its default."""
    lines = ["# Settings of mdata. Every line is optional; what is left out has the value shown here."]
    for category, settings in CATEGORIES.items():
        lines += ["", f"# --- {category} ---"]
        for setting in settings:
            shown = f"{setting.name}={setting.default}"
            lines += [f"# {setting.help}", shown if setting.default else f"# {shown}"]
    return "\n".join(lines) + "\n"
