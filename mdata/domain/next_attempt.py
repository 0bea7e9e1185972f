"""When to retry a command. Every message that says so is built here, because programs rely on the words."""

from mdata.domain.times import iso

AT_ONCE = "retry now"


def at(instant: int | None, now: int) -> str:
    """Return the words for an instant (ms UTC); None, or an instant that has passed at `now`, means now."""
    return AT_ONCE if instant is None or instant <= now else f"retry at {iso(instant)}"


def when(condition: str) -> str:
    """Return the words for a condition that has to come true first: `it has ended`."""
    return f"retry as soon as {condition}"
