"""Reports the result of a health check to a monitor, as healthchecks.io and similar services expect it.

An error here is only a warning, and no warning contains the address: whoever knows the address can keep the monitor
quiet.
"""

from collections.abc import Callable
from threading import Thread
from urllib.parse import urlsplit, urlunsplit

from mdata import __version__, tls

# The limit for everything together: the name lookup, the connection, and the first line of the answer.
SECONDS = 10.0


def send(url: str, exit_code: int, warn: Callable[[str], None]) -> None:
    """Request `url` if `exit_code` is 0, and `url/<exit_code>` if it is not."""
    parts = urlsplit(url)
    ending = f"/{exit_code}" if exit_code else ""
    address = urlunsplit(parts._replace(path=parts.path.rstrip("/") + ending if ending else parts.path))
    said: list[str | None] = []
    # A name lookup has no time-out; a thread can be abandoned.
    thread = Thread(target=lambda: said.append(_trouble(address)), daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        said.append(str(error))
    else:
        thread.join(SECONDS)
    trouble = said[0] if said else f"it did not answer within {SECONDS:.0f} s"
    if trouble:
        warn(f"could not ping the monitor at PING_URL: {trouble}")


def _trouble(address: str) -> str | None:
    """Send the ping; return what went wrong, without the address, or None."""
    try:
        import httpx

        agent = {"User-Agent": f"mdata/{__version__}"}
        with (
            httpx.Client(trust_env=False, verify=tls.context(), timeout=SECONDS, headers=agent) as client,
            client.stream("GET", address) as answer,
        ):
            return None if answer.is_success else f"it answered with the HTTP status {answer.status_code}"
    except Exception as error:  # noqa: BLE001 - no error here, not even a lack of memory, is more than a warning
        return f"it cannot be reached ({type(error).__name__})"
