"""Env files: which one is in effect, what it says line by line, and the template that `init` writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mdata.config.table import CATEGORIES, SETTINGS
from mdata.domain.quote import quote
from mdata.errors import ConfigurationError, NotPermittedError

_SYSTEM_FILE = Path("/etc/mdata/mdata.env")


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of an env file, and where it stands."""

    value: str
    path: Path
    line: int


def find_env_file(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the env file in effect: the named one, else the first that exists; None where there is none."""
    named = explicit or (Path(environ["MDATA_ENV_FILE"]) if environ.get("MDATA_ENV_FILE") else None)
    if named is not None:
        path = cwd / named.expanduser()
        if not path.is_file():
            raise ConfigurationError(f"the env file {path} does not exist; `mdata init` writes one")
        return path
    base = environ.get("XDG_CONFIG_HOME", "")
    home = Path(base) if base.startswith("/") else Path(environ.get("HOME") or "/nonexistent") / ".config"
    candidates = (cwd / ".env", home / "mdata" / "mdata.env", _SYSTEM_FILE)
    return next((path for path in candidates if path.is_file()), None)


def read_env_file(path: Path) -> tuple[dict[str, Entry], list[str]]:
    """Return the values of a file and the warnings about it; raise ConfigurationError for a line it cannot mean."""
    import io

    # python-dotenv skips lines that it cannot read, with a log line at most; the parser itself tells them.
    from dotenv.parser import parse_stream

    entries: dict[str, Entry] = {}
    warnings: list[str] = []
    for binding in parse_stream(io.StringIO(_text_of(path))):
        place = f"{path}:{binding.original.line}"
        if binding.error:
            raise ConfigurationError(
                f"{place}: {quote(binding.original.string.strip())} cannot be read; is a quote not closed?"
            )
        if binding.key is None:
            continue
        if binding.value is None:
            raise ConfigurationError(f"{place}: {binding.key} has no value; write {binding.key}=...")
        if binding.key in entries:
            raise ConfigurationError(
                f"{place}: {binding.key} stands here again, after line {entries[binding.key].line}"
            )
        entries[binding.key] = Entry(binding.value, path, binding.original.line)
        warnings += _if_unknown(binding.key, place)
    return entries, warnings


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotPermittedError(f"cannot read the env file {path}: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{path}:{line}: the file is not UTF-8 here; save it as UTF-8") from error


def _if_unknown(key: str, place: str) -> list[str]:
    names = [setting.name for setting in SETTINGS]
    if key in names:
        return []
    from difflib import get_close_matches

    close = get_close_matches(key.upper(), names, 1)
    return [f"{place}: mdata knows no setting {key}" + (f"; did you mean {close[0]}?" if close else "")]


def env_file_text() -> str:
    """Return the commented template of all settings, each at its default."""
    lines = ["# Settings of mdata. Every line is optional; what is left out has the value shown here."]
    for category, settings in CATEGORIES.items():
        lines += ["", f"# --- {category} ---"]
        for setting in settings:
            shown = f"{setting.name}={setting.default}"
            lines += [f"# {setting.help}", shown if setting.default else f"# {shown}"]
    return "\n".join(lines) + "\n"
