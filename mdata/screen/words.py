"""Short forms of times, durations and sizes, and the wrapping of lines."""

from rich.cells import cell_len
from rich.text import Text

from mdata.domain.times import human_duration, iso


def date_and_time(instant: int) -> str:
    """Return a time (ms UTC) as `2026-11-24 18:40:03`."""
    return iso(instant)[:19].replace("T", " ")


def last_seen(instant: int | None, now: int) -> str:
    """Return a time of this year as `11-24 18:40`, any other as its date."""
    if instant is None:
        return "-"
    text = iso(instant)
    return text[5:16].replace("T", " ") if text[:4] == iso(now)[:4] else text[:10]


def ago(now: int, instant: int) -> str:
    """Return how long ago something was."""
    return f"{human_duration((now - instant) / 1000)} ago"


def ahead(now: int, instant: int) -> str:
    """Return in how much time something will happen; less than a second away is `now`."""
    return f"in {human_duration((instant - now) / 1000)}" if instant - now >= 1000 else "now"


def short_duration(seconds: int) -> str:
    """Return a duration as `2h 58m`."""
    return human_duration(seconds).replace(" min", "m").replace(" h", "h").replace(" d", "d").replace(" s", "s")


def size(count: int) -> str:
    """Format a number of bytes."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def folded(parts: list[Text], width: int, between: str, indent: str) -> list[Text]:
    """Put parts side by side, on as many lines as they need."""
    lines: list[Text] = []
    for part in parts:
        if lines and cell_len(lines[-1].plain) + len(between) + cell_len(part.plain) <= width:
            lines[-1].append(between).append_text(part)
        else:
            lines.append(Text(indent).append_text(part))
    return lines
