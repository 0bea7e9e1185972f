"""When the same command may get further. Every sentence that says so is built here: programs rely on its words."""

from mdata.domain.times import iso

_MAY = "the next attempt may be made"
AT_ONCE = f"{_MAY} at once"


def at(instant: int | None, now: int) -> str:
    """Return the words for an instant (ms UTC); None, and what has passed at `now`, is at once."""
    return AT_ONCE if instant is None or instant <= now else f"{_MAY} at {iso(instant)}"


def when(condition: str) -> str:
    """Return the words for what has to come true before: `that has ended`."""
    return f"{_MAY} as soon as {condition}"
