"""How foreign text is quoted inside a message."""

_LONGEST = 40


def quote(text: str) -> str:
    """Return `text` in quotes on one line, shortened to 40 characters, with control characters escaped."""
    return repr(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")
