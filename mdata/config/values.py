"""From the text of a setting to its value; every parser raises ValueError with a sentence fit to be shown."""

import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from mdata.domain.quote import quote
from mdata.domain.symbol import parse_symbol
from mdata.domain.timeframe import TIMEFRAMES, Timeframe

T = TypeVar("T")

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}
_UNKNOWN_TIMEFRAMES = {
    "4h": "Bitfinex has no 4h candles: use 1h, 3h or 6h",
    "7D": "Bitfinex's 7D candles have been broken since 2016: use 1W",
    "14D": "Bitfinex's 14D candles cannot be trusted: use 1W or 1D",
}


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers in this range."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise ValueError(f"{quote(text)} is no whole number from {least} to {most}")
        return int(text)

    return parse


def decimal(least: float, most: float) -> Callable[[str], float]:
    """Return a parser of finite numbers in this range."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise ValueError(f"{quote(text)} is no number from {least:g} to {most:g}")
        return number

    return parse


def truth(text: str) -> bool:
    """Return whether the text says yes."""
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError(f"{quote(text)} is neither true nor false")


def symbols(text: str) -> tuple[str, ...]:
    """Return trading pairs, separated by commas or spaces, as the exchange writes them."""
    return _listed(text, parse_symbol)


def timeframes(text: str) -> tuple[Timeframe, ...]:
    """Return timeframes, separated by commas or spaces."""
    return _listed(text, timeframe)


def timeframe(text: str) -> Timeframe:
    """Return the timeframe of this name; 1m and 1M are different ones."""
    if text in TIMEFRAMES:
        return TIMEFRAMES[text]
    if text in _UNKNOWN_TIMEFRAMES:
        raise ValueError(f"{quote(text)} is not served: {_UNKNOWN_TIMEFRAMES[text]}")
    close = [name for name in TIMEFRAMES if name.lower() == text.lower()] or get_close_matches(text, TIMEFRAMES, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ValueError(f"{quote(text)} is no timeframe; {hint}there are {' '.join(TIMEFRAMES)}")


def _listed(text: str, parse: Callable[[str], T]) -> tuple[T, ...]:
    found = dict.fromkeys(parse(part) for part in re.split(r"[,\s]+", text) if part)
    if not found:
        raise ValueError("it is empty")
    return tuple(found)


def days_by_timeframe(text: str) -> Mapping[str, int]:
    """Return days per timeframe, from `1m=365,5m=730`."""
    found: dict[str, int] = {}
    for part in re.split(r"[,\s]+", text):
        if part:
            name, equals, days = part.partition("=")
            if not equals:
                raise ValueError(f"{quote(part)} is not of the form 1m=365")
            found[timeframe(name).name] = whole(0, 36_525)(days)
    return MappingProxyType(found)


def level(text: str) -> str:
    """Return the name of a log level."""
    if text.upper() in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        return text.upper()
    raise ValueError(f"{quote(text)} is no log level; there are DEBUG, INFO, WARNING and ERROR")


def path(text: str) -> Path:
    """Return an absolute path; `~` is the home folder."""
    if "\0" in text or not text:
        raise ValueError(f"{quote(text)} is no path")
    return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - links stay as they are written


def optional_path(text: str) -> Path | None:
    """Return an absolute path, or None for an empty text."""
    return path(text) if text else None


def optional(text: str) -> str | None:
    """Return the text, or None for an empty one."""
    return text or None


def url(secure: str, plain: str) -> Callable[[str], str]:
    """Return a parser of URLs: `secure` ones to anywhere, `plain` ones to this machine only."""

    def parse(text: str) -> str:
        from urllib.parse import urlsplit

        parts = urlsplit(text)
        host = parts.hostname
        if parts.scheme not in {secure, plain} or not host or text != text.strip() or not text.isprintable():
            raise ValueError(f"it is no {secure}:// address")
        if parts.username is not None or parts.password is not None or parts.fragment or parts.query:
            raise ValueError("an address here has no user, password, query or fragment")
        if parts.port == 0:
            raise ValueError("its port is 0")
        if parts.scheme == plain and not is_loopback(host):
            raise ValueError(f"{plain}:// is for this machine only (127.0.0.1, ::1, localhost); use {secure}://")
        return text.rstrip("/")

    return parse


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
        raise ValueError("it is not of the form that `mdata sandbox` prints")
    return found
