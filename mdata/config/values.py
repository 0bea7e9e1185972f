"""Parsers from the text of a setting to its value; each raises ValueError with a message for the user."""

import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from mdata.domain.escape import quote
from mdata.domain.share import Share
from mdata.domain.timeframe import Timeframe
from mdata.exchange import registry

T = TypeVar("T")

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}
_LAKES = ("s3", "gs", "az")
_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers in this range."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise ValueError(f"{quote(text)} is not a whole number between {least} and {most}")
        return int(text)

    return parse


def decimal(least: float, most: float) -> Callable[[str], float]:
    """Return a parser of finite numbers in this range."""

    def parse(text: str) -> float:
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not least <= number <= most:
            raise ValueError(f"{quote(text)} is not a number between {least:g} and {most:g}")
        return number

    return parse


def truth(text: str) -> bool:
    """Parse a boolean."""
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError(f"{quote(text)} is not true or false")


def symbols(text: str) -> tuple[str, ...]:
    """Parse trading pairs, separated by commas or spaces, to the exchange's notation."""
    return _listed(text, registry.parse_symbol)


def timeframes(text: str) -> tuple[Timeframe, ...]:
    """Parse timeframes, separated by commas or spaces."""
    return _listed(text, timeframe)


def timeframe(text: str) -> Timeframe:
    """Return the timeframe with this name; 1m (minute) and 1M (month) differ."""
    served = registry.timeframes()
    if text in served:
        return served[text]
    refused = dict(pair for venue in registry.venues() for pair in venue.refused)
    if text.lower() in refused:
        raise ValueError(f"{quote(text)} is not supported: {refused[text.lower()]}")
    close = [name for name in served if name.lower() == text.lower()] or get_close_matches(text, served, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ValueError(f"{quote(text)} is not a timeframe; {hint}valid are {' '.join(served)}")


def _listed(text: str, parse: Callable[[str], T]) -> tuple[T, ...]:
    found = dict.fromkeys(parse(part) for part in re.split(r"[,\s]+", text) if part)
    if not found:
        raise ValueError("it is empty")
    return tuple(found)


def optional_share(text: str) -> Share | None:
    """Return the share that `2/5` names, or None for an empty text."""
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"{quote(text)} is not a share; write 2/5 for the second of five")
    return Share(int(found[1]), int(found[2]))


def days_by_timeframe(text: str) -> Mapping[str, int]:
    """Return days per timeframe, from `1m=365,5m=730`."""
    found: dict[str, int] = {}
    for part in re.split(r"[,\s]+", text):
        if part:
            name, equals, days = part.partition("=")
            if not equals:
                raise ValueError(f"{quote(part)} does not have the form 1m=365")
            name = timeframe(name).name
            if name in found:
                raise ValueError(f"{name} appears twice")
            found[name] = whole(0, 36_525)(days)
    return MappingProxyType(found)


def level(text: str) -> str:
    """Return the name of a log level."""
    if text.upper() in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        return text.upper()
    raise ValueError(f"{quote(text)} is not a log level; use DEBUG, INFO, WARNING or ERROR")


def path(text: str) -> Path:
    """Return an absolute path; `~` is the home folder."""
    if not text or not _is_readable(text):
        raise ValueError(f"{quote(text)} is not a path")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise ValueError("it is a URL, not the path of a file on this machine")
    if variable := re.search(r"\$(\{|[A-Za-z_])", text):
        raise ValueError(
            f"{quote(text)} contains {quote(variable[0])}, which is not expanded here; write the value itself"
        )
    try:
        return Path(os.path.abspath(Path(_native(text)).expanduser()))  # noqa: PTH100 - keeps links
    except RuntimeError:
        raise ValueError(f"the home folder in {quote(text)} is unknown; write the full path") from None


def _is_readable(text: str) -> bool:
    """Whether text is printable, also with LC_ALL=C, which makes Python keep UTF-8 as surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape").decode().isprintable()
    except UnicodeError:
        return False


def _native(text: str) -> str:
    """Return a name in the form that Python passes to the file system: an env file is UTF-8 whatever LC_ALL says."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8", "surrogateescape"))
    return text


def real_path(text: str) -> Path:
    """Return an absolute path without symbolic links: two names of one file must not have two locks."""
    return Path(os.path.realpath(path(text)))


def optional_path(text: str) -> Path | None:
    """Return an absolute path, or None for an empty text."""
    return path(text) if text else None


def optional_command(text: str) -> str | None:
    """Return a command line unchanged, or None for an empty text."""
    if not text.isprintable():
        raise ValueError("it contains control characters")
    return text or None


def optional_url(text: str) -> str | None:
    """Return a URL, or None for an empty text."""
    if text:
        _check_url(text, "https", "http")
    return text or None


def optional_lake(text: str) -> str | None:
    """Return the place of a lake (a folder's absolute path, or an address), or None for an empty text."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return str(real_path(text)) if text else None
    scheme, _, rest = text.partition("://")
    if scheme not in _LAKES:
        raise ValueError(
            f"a lake is a folder, or an address that begins with {', '.join(f'{one}://' for one in _LAKES)}"
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/=+-]*", rest):
        raise ValueError(
            "the address of a lake is a bucket and folders in it, and nothing else; credentials come from the "
            "environment (AWS_ACCESS_KEY_ID and the like)"
        )
    return text.rstrip("/")


def url(secure: str, plain: str) -> Callable[[str], str]:
    """Return a parser of base URLs: `secure` ones for any host, `plain` ones only for this machine."""

    def parse(text: str) -> str:
        _check_url(text, secure, plain)
        if "?" in text:
            raise ValueError("a base URL must not have a query")
        return text.rstrip("/")

    return parse


def _check_url(text: str, secure: str, plain: str) -> None:
    """Raise ValueError for a URL that must not be used; the message never repeats it, because it may be secret."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"it is not a {secure}:// URL") from None
    if parts.scheme not in {secure, plain} or not host or port == 0:
        raise ValueError(f"it is not a {secure}:// URL")
    # Programs read spaces and backslashes differently, and might contact different hosts.
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("a URL must not contain spaces, backslashes or non-ASCII letters")
    if "@" in parts.netloc or "#" in text:
        raise ValueError("this URL must not contain a user, password or fragment")
    if parts.scheme == plain and not is_loopback(host):
        raise ValueError(f"{plain}:// is only allowed for this machine (127.0.0.1, ::1, localhost); use {secure}://")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def rehearsal(text: str) -> tuple[int, float, float] | None:
    """Return origin (ms UTC), boot time (s) and speed of a rehearsal's clock, or None for an empty text."""
    if not text:
        return None
    try:
        wall, boot, speed = text.split(",")
        found = int(wall), float(boot), float(speed)
    except ValueError:
        found = (0, 0.0, 0.0)
    if not (0 < found[0] < 2**53 and math.isfinite(found[1]) and 0.001 <= found[2] <= 100_000):
        raise ValueError("it does not have the form that `mdata sandbox` prints")
    return found
