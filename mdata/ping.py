"""Telling a monitor how a health check ended, as healthchecks.io and its like want it.

Nothing that goes wrong here is more than a warning, and none holds the address: who knows it can keep the monitor
quiet.
"""

from collections.abc import Callable
from threading import Thread
from urllib.parse import urlsplit, urlunsplit

from mdata import __version__, tls

# For all of it: finding the host, connecting, and the first line of the answer.
SECONDS = 10.0


def send(url: str, exit_code: int, warn: Callable[[str], None]) -> None:
    """Ask for `url` where `exit_code` is 0, for `url/<exit_code>` where it is not."""
    parts = urlsplit(url)
    ending = f"/{exit_code}" if exit_code else ""
    address = urlunsplit(parts._replace(path=parts.path.rstrip("/") + ending if ending else parts.path))
    said: list[str | None] = []
    # Looking up a host knows no time-out; a thread can be left behind.
    thread = Thread(target=lambda: said.append(_trouble(address)), daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        said.append(str(error))
    else:
        thread.join(SECONDS)
    trouble = said[0] if said else f"it has not answered within {SECONDS:.0f} s"
    if trouble:
        warn(f"the monitor at PING_URL was not told: {trouble}")


def _trouble(address: str) -> str | None:
    """Ask, and return what went wrong, in words that do not hold the address; None when all is well."""
    try:
        import httpx

        agent = {"User-Agent": f"mdata/{__version__}"}
        with (
            httpx.Client(trust_env=False, verify=tls.context(), timeout=SECONDS, headers=agent) as client,
            client.stream("GET", address) as answer,
        ):
            return None if answer.is_success else f"it answered with the HTTP status {answer.status_code}"
    except Exception as error:  # noqa: BLE001 - a monitor's trouble, a machine without memory: all only a warning
        return f"it cannot be reached ({type(error).__name__})"
