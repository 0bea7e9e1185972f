"""Where output goes: to a terminal, and what it can show, or to systemd's journal."""

import os
from typing import TextIO


def is_journal(stream: TextIO) -> bool:
    """Whether `stream` goes to systemd's journal, which reads priorities at the beginning of lines."""
    named = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def invocation_id() -> str | None:
    """Return systemd's id of this run, or None if this run is not under systemd or the value cannot be an id."""
    found = os.environ.get("INVOCATION_ID", "")
    return found if found.isascii() and found.isalnum() else None


def wants_colour() -> bool:
    """Whether colours and moving bars can and may be shown on the terminal."""
    return not os.environ.get("NO_COLOR") and not is_dumb()


def wants_unicode(stream: TextIO) -> bool:
    """Whether `stream` can show block characters; otherwise ASCII is used."""
    try:
        "█▁▄▒·×".encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return not is_dumb()


def is_dumb() -> bool:
    """Whether the terminal can only print line after line."""
    return os.environ.get("TERM", "") in {"dumb", ""}
