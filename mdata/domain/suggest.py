"""The closest valid word for a mistyped one."""

from collections.abc import Iterable


def did_you_mean(text: str, words: Iterable[str]) -> str:
    """Return `; did you mean …?` with the nearest of `words`, or an empty text if none is near."""
    from difflib import get_close_matches

    close = get_close_matches(text, list(words), 1)
    return f"; did you mean {close[0]}?" if close else ""
