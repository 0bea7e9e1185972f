"""What this process talks to: a terminal and what that can show, or systemd's journal."""

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
